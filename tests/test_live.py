"""The live model in JavaScript, run in Node, against the package: the same weights must give the same numbers."""

import ast
import base64
import copy
import json
import re
import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock, patch

import numpy as np
import pytest
import torch
from book_site.live import add_live, copy_live, hash_data
from PIL import Image
from torch import Tensor

from live import FIGURE_SCRIPTS, MODEL_SCRIPTS, export
from toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE
from toybox.prompts import all_examples, caption
from toybox.scenes import draw_scene
from toybox.tokenizer import ENGLISH
from vlm import gemma, paligemma
from vlm.config import PaliGemmaConfig
from vlm.generate import choose_token, filter_top_p, generate
from vlm.image_processing import process_images
from vlm.inside.logit_lens import logit_lens
from vlm.inside.recording import record_attention, record_hidden_states
from vlm.inside.scoring import score_answers
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
    return [draw_scene(seed, "test") for seed in range(20)]


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
@pytest.mark.parametrize("count", [8, pytest.param(20, marks=pytest.mark.slow)])
def test_the_logits_of_some_scenes_are_pytorchs(weights, shipped, scenes, count):
    model, processor, _ = shipped
    cases = questions(scenes[:count])
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
def test_the_answers_about_12_scenes_are_pytorchs(weights, shipped, scenes):
    check_answers(weights, shipped, questions(scenes[8:]))


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
    assert scales[0] == 1  # dividing by 0 would give NaN, which is no whole number
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
    sizes = [(112, 112), (112, 50), (31, 112), (1, 1), (2, 300), (57, 91), (400, 333), (113, 111), (1000, 7)]
    sizes += [(150, 300), (150, 212)]  # Pillow begins with the height
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
        {"pixels": as_pixels(scene.image), "prompt": f"segment {scene.objects[0].label}"}
        for scene in scenes[:8]
        if scene.objects
    ]
    count = 0
    for answer in run(weights, *[("ask", request) for request in requests]):
        detections = parse_detections(answer["text"], 112, 112)
        for mine, expected in zip(answer["detections"], decode_masks(detections, decoder, 112, 112), strict=True):
            differing = (mine["mask"].reshape(112, 112) != expected).sum()
            assert differing <= 2  # pixels whose number is 0 up to rounding
            count += 1
    assert count >= 5


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

VISION_LAYERS = "vision_tower.vision_model.encoder.layers."
TEXT_LAYERS = "language_model.model.layers."


@pytest.fixture(scope="module")
def case(scenes):
    """A request, its image and prompt, and the right answer."""
    scene = scenes[3]
    image, prompt = scene.image, "caption en"
    return {"pixels": as_pixels(image), "prompt": prompt}, image, prompt, caption(scene).suffix


def read_in_one_pass(model, processor, image, prompt: str, suffix: str):
    """Logits [S, V], attention by layer and hidden states by layer of the sequence without its `<eos>`."""
    with record_attention(model) as attention, record_hidden_states(model) as states:
        logits = python_logits(model, processor, image, prompt, suffix)
    return logits, attention, states


@needs_node
def test_what_is_recorded_is_what_pytorch_has(weights, shipped, case):
    model, processor, _ = shipped
    request, image, prompt, suffix = case
    names = ["attention", "hidden_states", "logits", "mask", "positions"]
    names += ["pixel_values", "image_attention", "image_hidden_states", "image_features", "logit_lens"]
    [answer] = run(weights, ("score", request | {"suffix": suffix, "record": names}))
    record, first = answer["record"], answer["prompt"]["length"] - 1
    logits, attention, states = read_in_one_pass(model, processor, image, prompt, suffix)

    def check(found, expected, tolerance=TOLERANCE):
        torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-5, atol=tolerance)

    check(record["logits"], logits[first:])
    for layer in range(4):
        check(record["attention"][layer], attention[f"{TEXT_LAYERS}{layer}.self_attn"][0][0])
        check(record["image_attention"][layer], attention[f"{VISION_LAYERS}{layer}.self_attn"][0][0])
        check(record["hidden_states"][layer + 1], states[f"{TEXT_LAYERS}{layer}"][0][0])
        check(record["image_hidden_states"][layer + 1], states[f"{VISION_LAYERS}{layer}"][0][0])
    inputs = processor(prompt, image, suffix)
    check(record["pixel_values"], inputs["pixel_values"][0], tolerance=0)
    with torch.inference_mode():
        features = model.get_image_features(inputs["pixel_values"])
        check(record["image_features"], features[0])
        check(record["hidden_states"][0], model.embed_inputs(inputs["input_ids"][:, :-1], features)[0])
        lens = logit_lens(model.language_model, states[f"{TEXT_LAYERS}1"][0][0, first:])
    visible = paligemma.make_prefix_lm_mask(inputs["attention_mask"], inputs["token_type_ids"], torch.float32) == 0
    check(record["mask"], visible[0, 0, :-1, :-1].float(), tolerance=0)
    check(record["positions"], torch.arange(1, len(logits) + 1).float(), tolerance=0)
    best, ids = lens.softmax(-1).topk(5)
    assert [[one["id"] for one in row] for row in record["logit_lens"][2]] == ids.tolist()
    check([[one["probability"] for one in row] for row in record["logit_lens"][2]], best, tolerance=1e-5)


@needs_node
def test_probabilities_are_those_of_the_softmax_and_the_runners_up_come_next(weights, shipped, case):
    model, processor, _ = shipped
    request, image, prompt, suffix = case
    scored, asked = run(weights, ("score", request | {"suffix": suffix}), ("ask", request))
    [expected] = score_answers(model, processor, [prompt], [image], [suffix])
    found = torch.tensor([token["probability"] for token in scored["tokens"]])
    torch.testing.assert_close(found, expected.exp(), rtol=1e-4, atol=1e-5)
    assert asked["text"] == suffix and asked["tokens"] == scored["tokens"]  # the model is right here
    assert asked["tokens"][-1]["isEnd"]
    logits = python_logits(model, processor, image, prompt, suffix)[asked["prompt"]["length"] - 1 :]
    for token, row in zip(asked["tokens"], logits, strict=True):
        assert [one["id"] for one in token["runnersUp"]] == row.topk(5).indices.tolist()[1:]
        assert token["position"] == asked["prompt"]["length"] - 1 + asked["tokens"].index(token)


@needs_node
def test_without_a_cache_everything_is_the_same_and_costs_more(weights, case):
    request = case[0] | {"record": ["attention", "hidden_states", "mask", "positions", "logits"]}
    fast, slow = run(weights, ("ask", request), ("ask", request | {"cache": False}))
    assert fast["text"] == slow["text"]
    for name in ("attention", "hidden_states"):
        for left, right in zip(fast["record"][name], slow["record"][name], strict=True):
            np.testing.assert_allclose(left, right, rtol=0, atol=1e-4)
    for name in ("mask", "positions"):
        np.testing.assert_array_equal(fast["record"][name], slow["record"][name])
    np.testing.assert_allclose(fast["record"]["logits"], slow["record"]["logits"], rtol=0, atol=1e-4)
    assert slow["multiplications"]["tokens"] > 20 * fast["multiplications"]["tokens"] > 0


@needs_node
def test_multiplications_are_counted_as_the_formulas_say(weights, case):
    [answer] = run(weights, ("ask", case[0]))
    N, D, F, P, L, T, V = 64, 192, 576, 14, 4, 128, 1921
    tower = N * 3 * P * P * D + L * (N * (4 * D * D + 2 * D * F) + 2 * N * N * D) + N * D * T
    S = answer["prompt"]["length"]
    prompt = L * (S * (2 * T * T + 2 * T * 64 + 3 * T * 384) + 2 * S * S * T) + T * V
    assert answer["multiplications"]["image"] == tower
    assert answer["multiplications"]["prompt"] == prompt


@needs_node
def test_each_token_has_the_multiplications_of_its_pass(weights, case):
    fast, slow = run(weights, ("ask", case[0]), ("ask", case[0] | {"cache": False}))
    L, T, V = 4, 128, 1921
    S = fast["prompt"]["length"]

    def count(new: int, seen: int) -> int:
        return L * (new * (2 * T * T + 2 * T * 64 + 3 * T * 384) + 2 * new * seen * T) + T * V

    for step, (quick, long) in enumerate(zip(fast["tokens"], slow["tokens"], strict=True)):
        assert quick["multiplications"] == count(1 if step else S, S + step)
        assert long["multiplications"] == count(S + step, S + step)
    assert sum(token["multiplications"] for token in slow["tokens"][1:]) == slow["multiplications"]["tokens"]


@needs_node
def test_a_head_that_is_knocked_out_adds_nothing(weights, shipped, case):
    model, processor, _ = shipped
    request, image, prompt, suffix = case
    edits = {"knockOut": [[1, 2], [3, 0]]}
    scored = {"suffix": suffix, "record": ["logits", "attention"], "edits": edits}
    [answer] = run(weights, ("score", request | scored))
    damaged = copy.deepcopy(model)
    for layer, head in edits["knockOut"]:
        with torch.no_grad():
            damaged.language_model.model.layers[layer].self_attn.o_proj.weight[:, 32 * head : 32 * (head + 1)] = 0
    expected = python_logits(damaged, processor, image, prompt, suffix)[answer["prompt"]["length"] - 1 :]
    torch.testing.assert_close(torch.tensor(answer["record"]["logits"]), expected, rtol=0, atol=TOLERANCE)
    assert answer["record"]["attention"][1][2].max() == 0 and answer["record"]["attention"][1][1].max() > 0


@needs_node
def test_covered_patches_are_gray_and_positions_can_be_all_one(weights, shipped, case):
    model, processor, _ = shipped
    request, image, prompt, suffix = case
    pixels = np.asarray(image).copy()
    edits = {"coverPatches": [0, 9, 63]}
    scored = {"suffix": suffix, "record": ["logits", "pixel_values", "positions"]}
    covered, ones, plain = run(
        weights,
        ("score", request | scored | {"edits": edits}),
        ("score", request | scored | {"edits": {"allPositionsOne": True}}),
        ("score", request | scored),
    )
    values = covered["record"]["pixel_values"].copy()
    for y, x in ((0, 0), (14, 14), (98, 98)):
        assert (values[:, y : y + 14, x : x + 14] == 0).all()
        values[:, y : y + 14, x : x + 14] = plain["record"]["pixel_values"][:, y : y + 14, x : x + 14]
    np.testing.assert_array_equal(values, plain["record"]["pixel_values"])
    assert not np.allclose(covered["record"]["logits"], plain["record"]["logits"])
    assert set(ones["record"]["positions"]) == {1.0}
    with patch.object(paligemma, "make_position_ids", lambda mask, new: torch.ones(1, new, dtype=torch.long)):
        expected = python_logits(model, processor, Image.fromarray(pixels), prompt, suffix)
    expected = expected[ones["prompt"]["length"] - 1 :]
    torch.testing.assert_close(torch.tensor(ones["record"]["logits"]), expected, rtol=0, atol=TOLERANCE)


@needs_node
def test_a_second_prompt_about_an_image_runs_the_tower_only_to_record_it(weights, case, scenes):
    request = case[0]
    covered, other = {"edits": {"coverPatches": [5]}}, {"pixels": as_pixels(scenes[8].image)}
    changes = [{}, {}, {"record": ["image_features"]}, other, covered]
    answers = run(weights, *[("ask", request | change) for change in changes])
    assert [one["multiplications"]["image"] > 0 for one in answers] == [True, False, True, True, True]
    assert answers[0]["tokens"] == answers[1]["tokens"] != answers[3]["tokens"]
    assert answers[2]["record"]["image_features"].shape == (64, 128)


# ---- bugs ----

right_mask, right_positions = paligemma.make_prefix_lm_mask, paligemma.make_position_ids
right_embed, right_merge = gemma.GemmaModel.embed, paligemma.merge_image_features


def change(owner, name: str, function):
    return patch.object(owner, name, function)


def change_mlp(activation):
    forward = lambda self, x: self.down_proj(activation(self.gate_proj(x)) * self.up_proj(x))  # noqa: E731
    return change(gemma.GemmaMLP, "forward", forward)


def change_mask(function):
    return change(paligemma, "make_prefix_lm_mask", function)


def plain_weight(self, states):
    return states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def turn_neighbors(states, cos, sin):
    turned = torch.stack([-states[..., 1::2], states[..., ::2]], dim=-1).flatten(-2)
    return states * cos + turned * sin


def inverted(attention_mask, types, dtype):
    return torch.where(right_mask(attention_mask, types, dtype) == 0, torch.finfo(dtype).min, 0.0)


PLANTED = {
    "images-divided": lambda: change(
        paligemma, "merge_image_features", lambda e, f, m: right_merge(e, f / f.shape[-1] ** 0.5, m)
    ),
    "image-shifted": lambda: change(
        paligemma, "merge_image_features", lambda e, f, m: right_merge(e, f.roll(1, dims=1), m)
    ),
    "text-not-scaled": lambda: change(gemma.GemmaModel, "embed", lambda self, ids: self.embed_tokens(ids)),
    "text-scaled-twice": lambda: change(
        gemma.GemmaModel, "embed", lambda self, ids: right_embed(self, ids) * self.config.hidden_size**0.5
    ),
    "causal-prefix": lambda: change_mask(lambda a, t, d: right_mask(a, torch.ones_like(t), d)),
    "padding-visible": lambda: change_mask(lambda a, t, d: right_mask(torch.ones_like(a), t, d)),
    "mask-inverted": lambda: change_mask(inverted),
    "norm-without-1": lambda: change(gemma.GemmaRMSNorm, "forward", plain_weight),
    "rotate-neighbors": lambda: change(gemma, "apply_rotary_pos_emb", turn_neighbors),
    "heads-tiled": lambda: change(gemma, "repeat_kv", lambda x, n: x.repeat(1, n, 1, 1)),
    "exact-gelu": lambda: change_mlp(torch.nn.functional.gelu),
    "silu": lambda: change_mlp(torch.nn.functional.silu),
}
DECODED = "positions-restarted"  # shows only where tokens come one by one


@pytest.fixture(scope="module")
def bugged_logits(weights, case):
    """By bug, and without one; 5 rows of padding first."""
    request, _, _, suffix = case
    calls = [
        ("logits", request | {"suffix": suffix, "padding": 5, "bugs": [bug] if bug else []}) for bug in (None, *PLANTED)
    ]
    return dict(zip((None, *PLANTED), run(weights, *calls), strict=True))


@needs_node
@pytest.mark.parametrize("bug", [None, *PLANTED])
def test_a_bug_does_to_the_logits_what_it_does_in_python(shipped, case, bugged_logits, bug):
    model, processor, _ = shipped
    _, image, prompt, suffix = case
    plain, found = bugged_logits[None], bugged_logits[bug]
    with PLANTED[bug]() if bug else nullcontext():
        expected = python_logits(model, processor, image, prompt, suffix, padding=5)
    torch.testing.assert_close(torch.tensor(found[5:]), expected[5:], rtol=1e-4, atol=5e-4)
    assert (np.abs(found[5:] - plain[5:]).max() > 0.002) == (bug is not None)


@needs_node
def test_positions_that_restart_at_decode_do_what_they_do_in_python(weights, shipped, case):
    model, processor, _ = shipped
    request, image, prompt, _ = case
    [answer] = run(weights, ("ask", request | {"bugs": [DECODED], "record": ["positions"]}))
    restarted = lambda mask, new: right_positions(mask[:, -new:], new)  # noqa: E731
    with patch.object(paligemma, "make_position_ids", restarted):
        assert answer["text"] == generate(model, processor, prompt, image)[0]
    positions = answer["record"]["positions"]
    assert set(positions[answer["prompt"]["length"] :]) == {1.0}


@needs_node
def test_every_bug_has_a_test_a_name_and_a_sentence(weights):
    [bugs] = run(weights, ("bugs", None))
    assert [bug["name"] for bug in bugs if bug["name"] != DECODED] == list(PLANTED)
    assert all(bug["label"] and bug["says"].endswith(".") for bug in bugs)


@needs_node
def test_compare_finds_the_module_where_a_bug_acts(weights, case):
    """All modules before it agree to the bit; it and all after it differ."""
    request = case[0] | {"padding": 5, "maxNewTokens": 4}
    merges = {"images-divided", "image-shifted", "text-not-scaled", "text-scaled-twice"}
    bugs = [*PLANTED, DECODED]
    calls = [("compare", request | {"bugs": [bug]}) for bug in bugs]
    not_padded = ("compare", case[0] | {"bugs": ["padding-visible"]})
    covered = ("compare", request | {"edits": {"coverPatches": [20]}})
    *compared, none, unseen, from_the_start = run(weights, *calls, ("compare", request), not_padded, covered)
    names = [error["name"] for error in none["errors"]]
    for same in (none, unseen):
        assert all(error["error"] == 0 for error in same["errors"]) and same["right"]["text"] == same["wrong"]["text"]
    for bug, found in zip(bugs, compared, strict=True):
        first = names.index("language_model.embed" if bug in merges else "language_model.layers.0")
        departed = [error["error"] > 0 for error in found["errors"]]
        assert departed == [index >= first for index in range(len(names))], bug
    assert all(error["error"] > 0 for error in from_the_start["errors"])
    assert names[0] == "vision_tower.embeddings" and names[-1] == "language_model.lm_head"


# ---- what the chapters say of bugs, measured on 16 scenes ----

SPARED = {"caption": ("exact-gelu", "silu", "image-shifted"), "detect": ("exact-gelu",)}
SPOILED = {
    "caption": ("heads-tiled", "causal-prefix", "norm-without-1", "text-not-scaled"),
    "detect": ("heads-tiled", "rotate-neighbors", "positions-restarted", "image-shifted", "silu"),
}
ENOUGH = 20  # tokens, in which a spoiled answer has left the right one


@needs_node
@pytest.mark.slow
@pytest.mark.parametrize("task", ["caption", "detect"])
def test_bugs_spare_and_spoil_the_answers_that_the_chapters_name(weights, task):
    asked = [draw_scene(seed, "test") for seed in range(500, 516)]
    prompts = ["caption en" if task == "caption" else f"detect {scene.objects[0].label}" for scene in asked]
    requests = [{"pixels": as_pixels(scene.image), "prompt": p} for scene, p in zip(asked, prompts)]
    calls = [("ask", request | {"bugs": [bug] if bug else []}) for bug in (None, *SPARED[task]) for request in requests]
    for bug in SPOILED[task]:
        calls += [("ask", request | {"bugs": [bug], "maxNewTokens": ENOUGH}) for request in requests]
    answers = [[token["id"] for token in answer["tokens"]] for answer in run(weights, *calls)]
    right, *others = [answers[start : start + 16] for start in range(0, len(answers), 16)]
    for bug, found in zip(SPARED[task] + SPOILED[task], others, strict=True):
        count = sum(ids == expected[: len(ids)] for ids, expected in zip(found, right))
        assert count == (16 if bug in SPARED[task] else 0), bug


# ---- pauses and speed ----

LONGEST_PAUSE = 100  # milliseconds for which a page may not answer to its reader
PLAIN = (
    250  # milliseconds of the processor that the plain loops below take on a machine of 2023 with nothing else to do
)


@needs_node
def test_work_on_the_pages_own_thread_is_cut_into_short_pieces_and_is_as_fast_as_plain_loops(
    weights, case, scenes, record_property
):
    """Time of the processor, which other programs hardly change; a slower one has a higher limit in proportion."""
    segment = {"pixels": as_pixels(scenes[8].image), "prompt": f"segment {scenes[8].objects[0].label}"}
    [measured] = run(weights, ("measure", [case[0], segment]))
    record_property("milliseconds", measured)
    assert measured["longest"] <= LONGEST_PAUSE * max(measured["plain"] / PLAIN, 1)
    assert measured["answer"] <= 2 * measured["plain"]


# ---- messages ----


@needs_node
def test_what_is_wrong_with_a_request_is_said(weights, case):
    request = case[0]
    wrong = {
        "The prompt is empty": {"prompt": " "},
        "The prompt contains <eos>": {"prompt": "a <eos>"},
        "half of a character": {"prompt": "a \ud800"},
        'no bug "typo"': {"bugs": ["typo"]},
        '"typo" cannot be recorded': {"record": ["typo"]},
        "no head 0 in a layer 4": {"edits": {"knockOut": [[4, 0]]}},
        "shorten the prompt": {"prompt": "cat " * 500},
        "3 or 4 bytes": {"pixels": {"data": np.zeros(7, np.uint8), "width": 2, "height": 2}},
        "temperature is -1": {"temperature": -1},
        "Top-p is 0": {"topP": 0},
        "maxNewTokens is 0": {"maxNewTokens": 0},
    }
    found = run(weights, *[("ask", request | change) for change in wrong.values()])
    for text, result in zip(wrong, found, strict=True):
        assert text in result["error"]


@needs_node
def test_a_request_can_be_stopped_and_the_next_one_is_answered(weights, case):
    [messages] = run(weights, ("stop", case[0]))
    assert messages[1] == {"kind": "failed", "id": 1, "message": "stopped"}
    assert messages[-1]["kind"] == "result" and messages[-1]["id"] == 2


# ---- the pages ----

DATA = ("weights.bin", "weights_data.js", "toys_data.js")


def test_every_script_is_loaded_once_and_those_of_the_worker_are_the_models():
    scripts = [*MODEL_SCRIPTS, *FIGURE_SCRIPTS]
    assert sorted(scripts) == sorted(path.stem for path in (ROOT / "live").glob("*.js"))
    engine = (ROOT / "live" / "engine.js").read_text(encoding="utf-8")
    parts = re.search(r"WORKER_PARTS = \[(.*?)\n  \]", engine, re.DOTALL)[1]
    assert re.findall(r'"(\w+)"', parts) == [name for name in MODEL_SCRIPTS if name not in ("parts", "engine")]


@pytest.mark.parametrize(
    ("builder", "body", "loads"),
    [
        ("html", '<div class="live-figure" data-figure="playground">', True),
        ("html", "<p>no figure</p>", False),
        ("singlehtml", '<div class="live-figure" data-figure="playground">', False),
    ],
)
def test_only_a_page_with_a_live_figure_loads_the_scripts(builder, body, loads, tmp_path):
    app = Mock(outdir=tmp_path)
    app.builder.name = builder
    (tmp_path / "_static" / "live").mkdir(parents=True)
    for name in DATA:
        (tmp_path / "_static" / "live" / name).write_text("data", encoding="utf-8")
    add_live(app, "book/some", "page.html", {"body": body}, None)
    names = [call.args[0] for call in app.add_js_file.call_args_list]
    assert names[:1] == ["live/parts.js"] * loads and names[-1:] == ["live/start.js"] * loads
    assert app.add_css_file.called == loads
    versioned = [call.args[0] for call in app.add_js_file.call_args_list if "data-version" in call.kwargs]
    assert versioned == ["live/engine.js", "live/pictures.js"] * loads


@pytest.mark.parametrize("changed", DATA)
def test_other_data_have_another_version(tmp_path, changed):
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before, after):
        folder.mkdir()
        for name in DATA:
            (folder / name).write_text("new" if (folder, name) == (after, changed) else "old", encoding="utf-8")
    assert hash_data(before) != hash_data(after)


def test_every_file_that_a_script_loads_has_the_version_in_its_address():
    loads = re.compile(r"(\w+(?:\.bin|_data\.js))[^ ]*`, HERE")
    texts = [(ROOT / "live" / f"{name}.js").read_text(encoding="utf-8") for name in (*MODEL_SCRIPTS, *FIGURE_SCRIPTS)]
    assert sorted(name for text in texts for name in loads.findall(text)) == sorted(DATA)
    assert sum(text.count("?v=${version}") for text in texts) == len(DATA)


def test_the_build_puts_everything_beside_the_pages(tmp_path):
    app = Mock(outdir=tmp_path)
    app.builder.name = "html"
    copy_live(app)
    written = {path.name for path in (tmp_path / "_static" / "live").iterdir()}
    assert written >= {"engine.js", "live.css", "toys_data.js", "weights.bin", "weights_data.js"}
