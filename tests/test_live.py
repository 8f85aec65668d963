"""The live model in JavaScript, run in Node, against the package: the same weights must give the same numbers."""

import ast
import base64
import json
import re
import shutil
import subprocess
from contextlib import ExitStack, nullcontext
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from live import export
from PIL import Image
from toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE
from toybox.prompts import all_examples
from toybox.scenes import draw_scene
from toybox.tokenizer import ENGLISH
from torch import Tensor
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
