"""The live model in JavaScript, run in Node, against the package: the same weights must give the same numbers."""

import ast
import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from live import export
from toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE
from toybox.prompts import all_examples
from toybox.scenes import draw_scene
from toybox.tokenizer import ENGLISH
from vlm.config import PaliGemmaConfig
from vlm.generate import choose_token, filter_top_p, generate
from vlm.image_processing import process_images
from vlm.loader import load_hf_model, save_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import parse_detections
from vlm.regions.mask_vqvae import load_mask_decoder
from vlm.regions.segmentation import decode_masks, paste_mask

ROOT = Path(__file__).resolve().parent.parent
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="NO NODE: install Node.js 18 or later to test the live model")
TOLERANCE = 1e-4  # of logits, whose largest are about 30


# ---- running it ----


def pack_value(value):
    if isinstance(value, np.ndarray):
        return {str(value.dtype): base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()}
    raise TypeError(f"{type(value).__name__} does not go into JSON")


def unpack_value(value: dict):
    for dtype in ("float32", "uint8"):
        if dtype in value:
            return np.frombuffer(base64.b64decode(value[dtype]), dtype)
    return value["data"].reshape(value["shape"]) if set(value) == {"data", "shape"} else value


def run(weights: Path, *calls) -> list:
    """The results of some calls, each a name of tests/live_runner.js and its argument."""
    job = json.dumps({"weights": str(weights), "calls": calls}, default=pack_value)
    command = [NODE, str(ROOT / "tests" / "live_runner.js")]
    result = subprocess.run(command, input=job, capture_output=True, text=True, encoding="utf-8", timeout=500)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout, object_hook=unpack_value)


def as_pixels(image: Image.Image) -> dict:
    return {"data": np.asarray(image).reshape(-1), "width": image.width, "height": image.height}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    export.export(folder)
    return folder / "weights.bin"


def dequantized(checkpoint: Path = CHECKPOINT_DIRECTORY):
    """The checkpoint's model and mask decoder with the numbers that the page computes with, and a processor."""
    model, tokenizer = load_hf_model(checkpoint)
    decoder = load_mask_decoder(MASK_VQVAE_FILE)
    quantized = export.quantize_all(model, decoder)
    for prefix, module in (("", model), (export.MASK_PREFIX, decoder)):
        state = {
            name: export.dequantize(*quantized[prefix + name]).view(tensor.shape)
            for name, tensor in module.state_dict().items()
            if prefix + name in quantized
        }
        module.load_state_dict(state, strict=False)
    return model, PaliGemmaProcessor.for_model(model, tokenizer), decoder


@pytest.fixture(scope="module")
def shipped():
    return dequantized()


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(seed, "test") for seed in range(40)]


def questions(scenes) -> list[tuple[Image.Image, str, str]]:
    """Image, prompt and right answer: a question of another task for each scene."""
    rng = np.random.default_rng(0)
    asked = []
    for index, scene in enumerate(scenes):
        examples = all_examples(scene, rng)
        example = examples[index % len(examples)]
        asked.append((scene.image, example.prompt, example.suffix))
    return asked


def python_logits(model, processor, image, prompt: str, suffix: str, padding: int = 0) -> Tensor:
    """[S, V], padded on the left, without the `<eos>` that the processor appends."""
    inputs = processor(prompt, image, suffix)
    inputs.pop("labels")
    inputs = {name: tensor[:, :-1] if tensor.dim() == 2 else tensor for name, tensor in inputs.items()}
    for name, value in (("input_ids", 0), ("attention_mask", 0), ("token_type_ids", 0)):
        inputs[name] = torch.nn.functional.pad(inputs[name], (padding, 0), value=value)
    with torch.inference_mode():
        return model(**inputs).logits[0]


# ---- the model ----


@needs_node
def test_the_logits_of_20_scenes_are_pytorchs(weights, shipped, scenes):
    model, processor, _ = shipped
    cases = questions(scenes[:20])
    calls = [("logits", {"pixels": as_pixels(image), "prompt": p, "suffix": s}) for image, p, s in cases]
    for case, found in zip(cases, run(weights, *calls), strict=True):
        torch.testing.assert_close(torch.tensor(found), python_logits(model, processor, *case), rtol=0, atol=TOLERANCE)


def check_answers(weights, shipped, cases):
    model, processor, _ = shipped
    requests = [{"pixels": as_pixels(image), "prompt": prompt} for image, prompt, _ in cases]
    found = run(weights, *[("ask", request) for request in requests])
    for (image, prompt, _), answer in zip(cases, found, strict=True):
        assert answer["text"] == generate(model, processor, prompt, image)[0]
        assert answer["text"] == "".join(token["text"] for token in answer["tokens"])


@needs_node
def test_the_answers_about_40_scenes_are_pytorchs(weights, shipped, scenes):
    check_answers(weights, shipped, questions(scenes))


@needs_node
@pytest.mark.slow
def test_the_answers_about_200_scenes_are_pytorchs(weights, shipped):
    check_answers(weights, shipped, questions([draw_scene(seed, "test") for seed in range(1000, 1200)]))


@needs_node
def test_another_checkpoint_of_the_family_needs_no_change_of_code(tmp_path):
    config = json.loads((CHECKPOINT_DIRECTORY / "config.json").read_text(encoding="utf-8"))
    config["vision_config"] |= {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2, "image_size": 70}
    config["vision_config"] |= {"num_hidden_layers": 2}
    config["text_config"] |= {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "vocab_size": 1984}
    config["text_config"] |= {"num_attention_heads": 6, "num_key_value_heads": 1, "head_dim": 16, "rope_theta": 5000.0}
    torch.manual_seed(0)
    other = PaliGemmaForConditionalGeneration(PaliGemmaConfig.from_dict(config))
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    other.language_model.lm_head.weight = torch.nn.Parameter(torch.randn(1984, 48))  # a head of its own
    save_hf_model(other, tmp_path / "checkpoint")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(CHECKPOINT_DIRECTORY / name, tmp_path / "checkpoint")
    export.export(tmp_path, tmp_path / "checkpoint")
    model, processor, _ = dequantized(tmp_path / "checkpoint")
    image = draw_scene(0, "test").image
    case = {"pixels": as_pixels(image), "prompt": "detect cat", "suffix": "<loc0001> a dog"}
    [found] = run(tmp_path / "weights.bin", ("logits", case))
    expected = python_logits(model, processor, image, "detect cat", "<loc0001> a dog")
    torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-5, atol=TOLERANCE)


@needs_node
def test_the_parameters_have_pytorchs_names_and_sizes(weights, shipped):
    [found] = run(weights, ("parameters", None))
    assert dict(found) == {name: tensor.numel() for name, tensor in shipped[0].state_dict().items()}


FILES = ("attention", "siglip", "gemma", "attention_mask", "kv_cache", "paligemma")
# What Python has, and JavaScript need not: no batches, no training, no second language model, no dtypes.
LEFT_OUT = {"PaliGemmaOutput", "nextTokenLoss", "softCap", "tieWeights", "makeLayerMasks", "reset", "device", "dtype"}
LEFT_OUT |= {"limitToWindow", "splitHeads"}  # Gemma 2's; in tensor.js
RENAMED = {"new": "numNew"}  # a word of JavaScript
JAVASCRIPT_ALONE = {"hooks", "options", "tap", "layerIdx", "rotateHalf"}


def camel(name: str) -> str:
    return re.sub("_([a-z])", lambda match: match[1].upper(), name)


def python_signatures() -> dict[str, list[str]]:
    """Of the classes, functions and methods of the core, their parameters in JavaScript's spelling, in order."""
    signatures = {}

    def add(node, owner: str = ""):
        if isinstance(node, ast.ClassDef):
            signatures[node.name] = []
            for child in node.body:
                add(child, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            name = "constructor" if node.name == "__init__" else camel(node.name)
            signatures[owner + name] = [camel(argument.arg) for argument in node.args.args if argument.arg != "self"]

    for file in FILES:
        for node in ast.parse((ROOT / "vlm" / f"{file}.py").read_text(encoding="utf-8")).body:
            add(node)
    return {name: names for name, names in signatures.items() if name.split(".")[-1] not in LEFT_OUT}


def javascript_signatures() -> dict[str, list[str]]:
    found, owner = {}, ""
    for line in (ROOT / "live" / "model.js").read_text(encoding="utf-8").splitlines():
        if match := re.match(r"  class (\w+)", line):
            owner = match[1]
            found[owner] = []
        elif match := re.match(r"  (  )?(?:async )?(?:function )?(\w+)\((.*)\) \{$", line):
            names = [name.partition(" =")[0] for name in match[3].split(", ") if name]
            found[f"{owner}." * bool(match[1]) + match[2]] = names
    return found


def test_model_js_has_the_names_of_the_python_files_in_their_order():
    python, javascript = python_signatures(), javascript_signatures()
    shared = [name for name in python if not name.endswith(".constructor")]
    assert [name for name in javascript if not name.endswith(".constructor")] == shared
    for name, names in javascript.items():
        own = [parameter for parameter in names if parameter not in JAVASCRIPT_ALONE]
        expected = [RENAMED.get(parameter, parameter) for parameter in python[name]]
        assert own == [parameter for parameter in expected if parameter in own], name


def test_model_js_can_be_read_in_one_go():
    assert len((ROOT / "live" / "model.js").read_text(encoding="utf-8").splitlines()) < 350


# ---- the weights file ----


def test_the_weights_file_has_three_megabytes_at_most(weights):
    assert weights.stat().st_size <= 3_000_000
    text = (weights.parent / "weights_data.js").read_text(encoding="utf-8")
    assert base64.b64decode(text.split('"')[1]) == weights.read_bytes()


def test_a_row_of_zeros_stays_zero_and_the_largest_number_stays_itself():
    rows = torch.tensor([[0.0, 0.0], [0.5, -2.0]])
    values, scales = export.quantize(rows, 63)
    assert values.tolist() == [[0, 0], [16, -63]]
    torch.testing.assert_close(export.dequantize(values, scales)[1, 1], torch.tensor(-2.0))
    assert export.dequantize(values, scales)[0].tolist() == [0.0, 0.0]


def test_a_tokenizer_of_another_kind_is_refused(tmp_path):
    values = json.loads((CHECKPOINT_DIRECTORY / "tokenizer.json").read_text(encoding="utf-8"))
    values["pre_tokenizer"] = {"type": "Whitespace"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ValueError, match="pre_tokenizer"):
        export.read_tokenizer(tmp_path / "tokenizer.json")


# ---- tokenizer, processor, regions ----


def random_texts(count: int) -> list[str]:
    """Texts of all planes of Unicode, the prompts' words, tokens spelled out and cut short."""
    rng = np.random.default_rng(0)
    words = [*ENGLISH.split(), "caption en", "detect", "<loc0100>", "<seg012>", "<loc12>", "<image", "<eos>", "<bos>"]
    words += ["cat", "▁", "▁▁", " ", "  ", "\n", "\t", "é", "\u0301", "ﬁ", "猫", "🐱", "👩\u200d👧", "\u200f", "\ufeff"]
    words += ["\ufffd", "\x00", "<0x41>", "<mask>"]

    def character() -> str:
        while 0xD800 <= (code := int(rng.integers(0x110000 if rng.random() < 0.5 else 0x3000))) <= 0xDFFF:
            pass
        return chr(code)

    def piece() -> str:
        return character() if rng.random() < 0.5 else words[rng.integers(len(words))]

    return ["", *(rng.choice(["", " "]).join(piece() for _ in range(rng.integers(1, 20))) for _ in range(count - 1))]


@needs_node
def test_a_thousand_texts_have_the_ids_of_transformers(weights, shipped):
    tokenizer, texts = shipped[1].tokenizer, random_texts(1000)
    [found] = run(weights, ("encode", texts))
    assert found == [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    assert {ord(character) >> 16 for text in texts for character in text} == set(range(17))


@needs_node
def test_any_ids_are_decoded_as_by_transformers(weights, shipped):
    processor, rng = shipped[1], np.random.default_rng(1)
    size = len(processor.tokenizer)
    lists = [processor.tokenizer.encode(text, add_special_tokens=False) for text in random_texts(300)]
    lists += [rng.integers(size, size=12).tolist() for _ in range(200)]
    lists += [rng.integers(5, 261, size=6).tolist() for _ in range(200)]  # bytes, most of them no UTF-8
    [found] = run(weights, ("decode", lists))
    assert found == [processor.decode(ids) for ids in lists]


@needs_node
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_images_of_any_size_become_the_same_pixel_values(weights, mode):
    rng = np.random.default_rng(2)
    sizes = [
        (112, 112),
        (112, 50),
        (31, 112),
        (1, 1),
        (2, 300),
        (57, 91),
        (400, 333),
        (113, 111),
        (1000, 7),
        (150, 300),
    ]
    images = []
    for width, height in sizes:
        noise = rng.integers(0, 256, (height, width, len(mode)), dtype=np.uint8)
        noise[: height // 2] = noise[: height // 2] // 128 * 255  # hard edges, where bicubic goes beyond 0..255
        images.append(Image.fromarray(noise, mode))
    found = run(weights, *[("image", {"image": as_pixels(image), "size": 112}) for image in images])
    for image, values in zip(images, found, strict=True):
        expected = process_images([image], 112)[0].numpy()
        np.testing.assert_array_equal(values.reshape(expected.shape), expected)


def random_answers(count: int) -> list[str]:
    rng = np.random.default_rng(3)
    pieces = [f"<loc{value:04}>" for value in (0, 5, 100, 512, 900, 1023)] * 4 + ["<loc1024>", "<loc12>", "<loc>"]
    pieces += [f"<seg{value:03}>" for value in (0, 64, 127)] + ["<seg128>", "<seg1>", " ; ", ";", " cat", " a dog", " "]
    whole = "<loc0100><loc0200><loc0300><loc0400>"
    texts = ["".join(rng.choice([*pieces, whole], size=rng.integers(0, 14))) for _ in range(count)]
    return texts + [f"{whole}{'<seg010>' * codes} cat ; {whole} dog" for codes in (15, 16, 17)]


@needs_node
def test_answers_are_read_as_in_python(weights):
    texts = random_answers(1000)
    [found] = run(weights, ("detections", texts))
    expected = [parse_detections(text, 112, 112) for text in texts]
    assert [[(one["label"], tuple(one["box"])) for one in row] for row in found] == [
        [(one.label, one.box) for one in row] for row in expected
    ]
    codes = [[one["maskCodes"] and tuple(one["maskCodes"]) for one in row] for row in found]
    assert codes == [[one.mask_codes for one in row] for row in expected]
    assert any(row for row in expected) and any(code for row in codes for code in row)


@needs_node
def test_masks_are_decoded_as_in_python(weights, shipped):
    codes = np.random.default_rng(4).integers(0, 128, (5, 16))
    found = run(weights, *[("decodeMask", row.tolist()) for row in codes])
    with torch.inference_mode():
        expected = shipped[2](torch.tensor(codes)).numpy()
    np.testing.assert_allclose(np.reshape(found, expected.shape), expected, rtol=0, atol=1e-5)


@needs_node
def test_masks_are_pasted_as_in_python(weights):
    rng = np.random.default_rng(5)
    boxes = [sorted(rng.uniform(-10, 125, 2)) + sorted(rng.uniform(-10, 125, 2)) for _ in range(60)]
    boxes = [(y0, x0, y1, x1) for y0, y1, x0, x1 in boxes]
    boxes += [(0.5, 1.5, 2.5, 3.5), (3.0, 3.0, 3.2, 3.2), (0, 0, 200, 112)]
    values = rng.normal(size=(len(boxes), 64, 64)).astype(np.float32)
    jobs = [{"values": v.ravel(), "box": box, "height": 120, "width": 112} for v, box in zip(values, boxes)]
    for job, value, found in zip(jobs, values, run(weights, *[("pasteMask", job) for job in jobs]), strict=True):
        expected = paste_mask(value, job["box"], 120, 112)
        np.testing.assert_array_equal(found.reshape(120, 112), expected)


@needs_node
def test_an_answer_to_segment_has_pythons_boxes_and_masks(weights, shipped, scenes):
    _, _, decoder = shipped
    requests = [
        {"pixels": as_pixels(scene.image), "prompt": f"segment {scene.objects[0].label}"} for scene in scenes[:10]
    ]
    count = 0
    for answer in run(weights, *[("ask", request) for request in requests]):
        detections = parse_detections(answer["text"], 112, 112)
        for mine, expected in zip(answer["detections"], decode_masks(detections, decoder, 112, 112), strict=True):
            differing = (mine["mask"].reshape(112, 112) != expected).sum()
            assert differing <= 2  # pixels whose number is 0 up to rounding
            count += 1
    assert count >= 10


# ---- sampling ----


@needs_node
def test_top_p_keeps_the_tokens_that_python_keeps(weights):
    rng = np.random.default_rng(6)
    rows = torch.softmax(torch.tensor(rng.normal(size=(20, 50)) * 3), dim=-1).float()
    limits = [*np.linspace(0.05, 1, 20)]
    calls = [("filterTopP", {"probabilities": row.numpy(), "topP": limit}) for row, limit in zip(rows, limits)]
    for row, limit, found in zip(rows, limits, run(weights, *calls), strict=True):
        torch.testing.assert_close(torch.tensor(found), filter_top_p(row[None], limit)[0], rtol=0, atol=1e-6)


@needs_node
def test_draws_have_the_probabilities_of_the_softmax_and_repeat_with_the_seed(weights):
    logits = np.array([2.0, 1.0, 0.0, -3.0], np.float32)
    job = {"logits": logits, "temperature": 0.7, "topP": 0.9, "seed": 5, "count": 20000}
    first, second, other = run(weights, ("draw", job), ("draw", job), ("draw", job | {"seed": 6}))
    assert first == second != other
    expected = filter_top_p(torch.softmax(torch.tensor(logits) / 0.7, -1)[None], 0.9)[0].numpy()
    np.testing.assert_allclose(np.bincount(first, minlength=4) / 20000, expected, rtol=0, atol=0.015)


@needs_node
def test_temperature_0_takes_the_most_likely(weights):
    logits = np.array([0.5, 3.0, 2.9], np.float32)
    [drawn] = run(weights, ("draw", {"logits": logits, "temperature": 0, "topP": 1, "seed": 0, "count": 3}))
    assert drawn == [choose_token(torch.tensor(logits)[None]).item()] * 3


# ---- probabilities, what is recorded, what is changed ----


@pytest.fixture(scope="module")
def case(scenes):
    """A request, its image and prompt, and an answer to it."""
    image, prompt, suffix = questions(scenes)[2]
    return {"pixels": as_pixels(image), "prompt": prompt}, image, prompt, suffix
