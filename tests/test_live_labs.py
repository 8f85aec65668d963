"""What the small live figures compute, run in Node, against the package."""

import numpy as np
import pytest
import torch
from test_live import TEXT_LAYERS, TOLERANCE, as_pixels, dequantized, needs_node, python_logits, run
from torch import Tensor

from live import export
from toybox.prompts import caption
from toybox.scenes import draw_scene

SCENE = draw_scene(3, "test")
PROMPT, SUFFIX = "caption en", caption(SCENE).suffix


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    export.export(folder)
    return folder / "weights.bin"


def score(weights, **request) -> dict:
    [answer] = run(weights, ("score", {"pixels": as_pixels(SCENE.image), "prompt": PROMPT, "suffix": SUFFIX} | request))
    return answer


# ---- gates ----


@needs_node
def test_gates_and_proposals_are_pytorchs(weights):
    model, processor, _ = dequantized()
    kept: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if name.endswith(("mlp.gate_proj", "mlp.up_proj")):
            module.register_forward_hook(lambda _module, _inputs, output, name=name: kept.update({name: output[0]}))
    python_logits(model, processor, SCENE.image, PROMPT, SUFFIX)
    record = score(weights, record=["gates", "proposals"])["record"]
    for layer in range(4):
        for name, projection in (("gates", "gate_proj"), ("proposals", "up_proj")):
            expected = kept[f"{TEXT_LAYERS}{layer}.mlp.{projection}"]
            torch.testing.assert_close(torch.tensor(record[name][layer]), expected, rtol=1e-5, atol=TOLERANCE)


@needs_node
def test_a_shut_gate_adds_nothing(weights):
    model, processor, _ = dequantized()
    shut = [[0, 7], [0, 8], [3, 383]]
    answer = score(weights, record=["logits"], edits={"shutGates": shut})
    for layer, gate in shut:
        with torch.no_grad():
            model.language_model.model.layers[layer].mlp.down_proj.weight[:, gate] = 0
    expected = python_logits(model, processor, SCENE.image, PROMPT, SUFFIX)[answer["prompt"]["length"] - 1 :]
    torch.testing.assert_close(torch.tensor(answer["record"]["logits"]), expected, rtol=0, atol=TOLERANCE)
    assert not np.allclose(answer["record"]["logits"], score(weights, record=["logits"])["record"]["logits"])
    assert "no gate 384 in a layer 0" in score(weights, edits={"shutGates": [[0, 384]]})["error"]


# ---- weights of fewer bits ----


def round_weights(model, bits: int, per_matrix: bool):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                rows = parameter.flatten(1)
                largest = rows.abs().amax() if per_matrix else rows.abs().amax(1, keepdim=True)
                scale = largest / (2 ** (bits - 1) - 1)
                parameter.copy_((torch.floor(rows / scale + 0.5) * scale).view_as(parameter))


@needs_node
@pytest.mark.parametrize(("bits", "per_matrix"), [(8, False), (4, False), (4, True), (2, False)])
def test_weights_of_fewer_bits_are_rounded_as_in_python(weights, bits, per_matrix):
    model, processor, _ = dequantized()
    exact = score(weights, record=["logits"])["record"]["logits"]
    answer = score(weights, record=["logits"], rounding={"bits": bits, "perMatrix": per_matrix})
    round_weights(model, bits, per_matrix)
    expected = python_logits(model, processor, SCENE.image, PROMPT, SUFFIX)[answer["prompt"]["length"] - 1 :]
    difference = np.abs(answer["record"]["logits"] - expected.numpy()).max()
    assert difference < 0.05 * np.abs(expected.numpy() - exact).max()  # halfway cases may go the other way


@needs_node
def test_an_image_is_read_again_with_other_weights(weights):
    request = {"pixels": as_pixels(SCENE.image), "prompt": PROMPT}
    answers = run(weights, *[("ask", request | change) for change in ({}, {"rounding": {"bits": 4}}, {}, {})])
    assert [answer["multiplications"]["image"] > 0 for answer in answers] == [True, True, True, False]
    assert answers[0]["tokens"] == answers[2]["tokens"] != answers[1]["tokens"]
