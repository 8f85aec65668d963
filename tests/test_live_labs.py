"""What the small live figures compute, run in Node, against the package."""

import ast
import itertools
import json
import re
import subprocess

import numpy as np
import pytest
import torch
from test_live import NODE, ROOT, TEXT_LAYERS, TOLERANCE, as_pixels, dequantized, needs_node, python_logits, run
from torch import Tensor, nn

from live import FIGURE_SCRIPTS, MODEL_SCRIPTS, export
from live.jupyter import make_page, show
from toybox.prompts import caption
from toybox.scenes import draw_scene
from vlm.attention_mask import limit_to_window, make_position_ids, make_prefix_lm_mask
from vlm.gemma import apply_rotary_pos_emb, rotary_cos_sin
from vlm.generate import filter_top_p
from vlm.regions.boxes import box_iou

DEFINED = re.compile(r'VLM\.figures\.define\("([^"]+)"')
SCENE = draw_scene(3, "test")
PROMPT, SUFFIX = "caption en", caption(SCENE).suffix


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    export.export(folder)
    return folder / "weights.bin"


def compute(*calls) -> list:
    """The results of some calls, each a name of tests/live_labs_runner.js and its arguments."""
    command = [NODE, str(ROOT / "tests" / "live_labs_runner.js")]
    result = subprocess.run(
        command, input=json.dumps(calls), capture_output=True, text=True, encoding="utf-8", timeout=100
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def as_tensor(values: Tensor) -> dict:
    return {"data": values.flatten().tolist(), "shape": list(values.shape)}


def score(weights, **request) -> dict:
    [answer] = run(weights, ("score", {"pixels": as_pixels(SCENE.image), "prompt": PROMPT, "suffix": SUFFIX} | request))
    return answer


# ---- the mask lab ----

WRONG_RULES = {
    "right": lambda mask, types: (mask, types),
    "causal": lambda mask, types: (mask, torch.ones_like(types)),
    "everything": lambda mask, types: (mask, torch.zeros_like(types)),
    "padding": lambda mask, types: (torch.ones_like(mask), types),
}


def rows_of_a_batch():
    names = ("padding", "image", "prompt", "answer", "window")
    for numbers in itertools.product((0, 1, 3), (1, 4), (4,), (1, 2, 5), (0, 1, 2, 4)):
        counts = dict(zip(names, numbers))
        for cached in range(counts["answer"]):
            yield counts | {"cached": cached}


def python_row(counts: dict, rule: str = "right") -> tuple[Tensor, Tensor]:
    """What is visible, [S, T], and the position ids, [T]."""
    prefix = counts["padding"] + counts["image"] + counts["prompt"]
    attention_mask = torch.tensor([[0] * counts["padding"] + [1] * (prefix - counts["padding"] + counts["answer"])])
    types = torch.tensor([[0] * prefix + [1] * counts["answer"]])
    if counts["cached"]:
        types = types[:, prefix + counts["cached"] :]
    seen_mask, seen_types = WRONG_RULES[rule](attention_mask, types)
    mask = make_prefix_lm_mask(seen_mask, seen_types, torch.float32)
    if counts["window"]:
        mask = limit_to_window(mask, types, counts["window"])
    return mask[0, 0] == 0, make_position_ids(attention_mask, attention_mask.shape[1])[0]


@needs_node
@pytest.mark.parametrize("rule", WRONG_RULES)
def test_the_mask_lab_has_the_masks_and_positions_of_the_package(rule):
    rows = list(rows_of_a_batch())
    for counts, found in zip(rows, compute(*[("layOut", counts, rule) for counts in rows]), strict=True):
        visible, positions = python_row(counts, rule)
        assert found["visible"] == visible.tolist(), counts
        assert found["positions"] == positions.tolist()


@needs_node
def test_the_mask_lab_gives_a_reason_of_the_right_kind_for_each_cell():
    hides = ("which no token attends to", "do not attend", "later", "before that")
    rows = list(rows_of_a_batch())
    for counts, reasons in zip(rows, compute(*[("explainAll", counts) for counts in rows]), strict=True):
        hidden = [[any(part in reason for part in hides) for reason in row] for row in reasons]
        visible, _ = python_row(counts)
        is_padding = torch.arange(visible.shape[1])[-visible.shape[0] :] < counts["padding"]
        assert torch.tensor(hidden)[~is_padding].tolist() == (~visible)[~is_padding].tolist(), counts


# ---- the rotation ----


def python_score(query: Tensor, key: Tensor, query_position: int, key_position: int) -> float:
    rotated = []
    for states, position in ((query, query_position), (key, key_position)):
        cos, sin = rotary_cos_sin(torch.tensor([[position]]), 32, 10_000.0, torch.float32)
        rotated.append(apply_rotary_pos_emb(states, cos[0, 0, 0], sin[0, 0, 0]))
    return (rotated[0] @ rotated[1] / 16).item()


@needs_node
def test_the_rotation_has_the_scores_of_the_package():
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 32, generator=generator)
    positions = [(0, 0), (7, 3), (100, 0), (0, 100), (57, 53)]
    found = compute(*[("rotatedScore", query.tolist(), key.tolist(), *pair) for pair in positions])
    expected = [python_score(query, key, *pair) for pair in positions]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert abs(found[1] - found[4]) < 1e-5 < abs(found[1] - found[2])  # the distance alone


@needs_node
@pytest.mark.parametrize("back", [0, 1, 4, 20])
def test_a_head_that_looks_back_has_its_best_score_there(back):
    [scores] = compute(("scoresByDistance", back, list(range(-100, 101))))
    assert int(np.argmax(scores)) - 100 == back
    assert max(scores) == pytest.approx(1, abs=1e-5)


# ---- patch similarity ----


@needs_node
def test_similarity_is_the_cosine_and_kinds_are_counted_by_pixels():
    states = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    owner = np.full((4, 4), -1)
    owner[:2, :2] = 1  # a whole patch
    owner[0, 2:] = 0  # half of a patch
    owner[2, 0] = 0  # a quarter
    toys = [{"label": "cat"}, {"label": "dog"}]
    similarity, kinds = compute(("toRow", as_tensor(states), 2), ("findKinds", owner.flatten().tolist(), toys, 4))
    expected = torch.cosine_similarity(states[2], states, dim=-1)
    np.testing.assert_allclose(similarity, expected, rtol=0, atol=1e-6)
    assert kinds == ["dog", "cat", None, "ground"]


# ---- gates ----


@needs_node
def test_gates_are_ranked_by_what_they_let_through():
    gates, proposals = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0))
    [ranked, openings] = compute(
        ("rankGates", as_tensor(gates), as_tensor(proposals), 1), ("openings", as_tensor(gates), 7, 3)
    )
    opening = nn.functional.gelu(gates, approximate="tanh")
    through = opening[1] * proposals[1]
    assert [one["gate"] for one in ranked] == through.abs().argsort(descending=True).tolist()
    for one in ranked:
        gate = one["gate"]
        expected = [gates[1, gate], opening[1, gate], proposals[1, gate], through[gate]]
        found = [one["input"], one["opening"], one["proposal"], one["through"]]
        np.testing.assert_allclose(found, torch.stack(expected), rtol=0, atol=1e-5)
    np.testing.assert_allclose(openings, opening[:, 7], rtol=0, atol=1e-5)


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


@needs_node
def test_the_size_of_the_weights_is_that_of_their_tensors(weights):
    model, _, _ = dequantized()
    tensors = {id(parameter): parameter for parameter in model.parameters()}.values()
    matrices = [tensor for tensor in tensors if tensor.dim() > 1]
    numbers = sum(tensor.numel() for tensor in matrices)
    vectors = sum(tensor.numel() for tensor in tensors if tensor.dim() == 1)
    rows = sum(len(tensor) for tensor in matrices)
    [counts] = run(weights, ("weights", None))
    assert counts == {"numbers": numbers, "rows": rows, "matrices": len(matrices), "vectors": vectors}
    sizes = compute(*[("countBytes", counts, *case) for case in ((32, False), (4, False), (4, True))])
    assert sizes == [
        4 * (numbers + vectors),
        numbers / 2 + 4 * (rows + vectors),
        numbers / 2 + 4 * (len(matrices) + vectors),
    ]


@needs_node
def test_boxes_are_compared_by_the_packages_iou():
    cats = [(10.0, 10.0, 50.0, 60.0), (20.0, 15.0, 55.0, 60.0)]
    found, right = ([{"label": label, "box": box}] for label, box in zip(("cat", "cat"), cats))
    [same, other, none] = compute(
        ("meanIou", found, right), ("meanIou", [{"label": "dog", "box": cats[0]}], right), ("meanIou", [], right)
    )
    assert same == pytest.approx(box_iou(*cats)) and 0 < same < 1
    assert (other, none) == (0, 0)


# ---- sampling ----


@needs_node
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.3, 1.0), (2.5, 0.7), (1.0, 0.05)])
def test_what_is_drawn_from_is_softmax_and_top_p(temperature, top_p):
    logits = 3 * torch.randn(80, generator=torch.Generator().manual_seed(0))
    [found] = compute(("distribution", logits.tolist(), temperature, top_p))
    expected = filter_top_p((logits[None] / temperature).softmax(-1), top_p)[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@needs_node
def test_at_temperature_0_the_most_likely_token_has_all_and_draws_repeat_with_the_seed():
    logits = [0.0, 2.0, 1.9]
    cold, first, again, other, counted = compute(
        ("distribution", logits, 0, 1.0),
        *[("drawIds", logits, 1.0, 1.0, seed, 20) for seed in (3, 3, 4)],
        ("countEqual", ["a", "b", "a"]),
    )
    assert cold == [0, 1, 0]
    assert first == again != other and set(first) == {0, 1, 2}
    assert counted == [["a", 2], ["b", 1]]


# ---- the tokenizer ----


@needs_node
@pytest.mark.parametrize("text", ["two cats and a turtle", "Turtleneck <loc0512> caf\u00e9 \U0001f422", " ", ""])
def test_merges_go_from_characters_and_bytes_to_the_tokens_one_pair_at_a_time(weights, text):
    _, processor, _ = dequantized()
    steps, [ids] = run(weights, ("mergeSteps", text), ("encode", [text]))
    assert [piece["id"] for piece in steps[-1]] == ids
    assert ids == processor.tokenizer.encode(text, add_special_tokens=False)
    whole = "".join(piece["text"] for piece in steps[0])
    for before, after in itertools.pairwise(steps):
        assert len(after) == len(before) - 1 and "".join(piece["text"] for piece in after) == whole
        [place] = compute(("findMerge", before, after))
        assert after[place]["text"] == before[place]["text"] + before[place + 1]["text"]
    [counts] = compute(("countKinds", steps[0]))
    spelled = [*text.replace(" <loc0512> ", "  ").replace("caf\u00e9", "caf").replace("\U0001f422", "")]
    in_bytes = len(text.encode()) - len("".join(c for c in text if c.isascii()))
    assert counts == {"merged": 0, "character": len(spelled), "byte": in_bytes, "added": text.count("<loc")}


# ---- the chapters and notebooks ----

PLACE = re.compile(r'<div class="live-figure" data-figure="([^"]+)"([^>]*)>\n# <p>This figure needs JavaScript\.')
FIGURES = {name for path in (ROOT / "live").glob("*.js") for name in DEFINED.findall(path.read_text(encoding="utf-8"))}


def read_places(text: str) -> list[tuple[str, dict]]:
    return [(name, dict(re.findall(r'data-(\S+)="([^"]*)"', rest))) for name, rest in PLACE.findall(text)]


def read_calls(text: str) -> list[tuple[str, dict]]:
    calls = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "show" and node.args
    ]
    ordered = sorted(calls, key=lambda call: call.lineno)
    return [
        (call.args[0].value, {word.arg.replace("_", "-"): word.value.value for word in call.keywords})
        for call in ordered
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "book").glob("*.py")), ids=lambda path: path.stem)
def test_each_live_figure_of_a_chapter_is_in_its_notebook_too(path):
    text = path.read_text(encoding="utf-8")
    places = read_places(text)
    assert places == read_calls(text) and len(places) == text.count('class="live-figure"')
    assert {name for name, _ in places} <= FIGURES
    assert "interact(" not in text


def test_a_notebooks_page_has_all_scripts_and_the_weights_where_they_are_needed():
    light, heavy = (make_page(name, {"scene": 'a"b'}) for name in ("mask-lab", "gates"))
    for script in (*MODEL_SCRIPTS, *FIGURE_SCRIPTS):
        assert (ROOT / "live" / f"{script}.js").read_text(encoding="utf-8") in light
    assert "VLM.weightsData = " not in light.replace("VLM.weightsData = VLM", "") and len(light) < 400_000
    assert 'VLM.weightsData = "' in heavy and "VLM.toyPictures = {" in heavy
    assert 'data-figure="gates" data-scene="a&quot;b"' in heavy
    assert light.count("</script>") == light.count("<script>")
    assert "<iframe srcdoc=" in show("mask-lab", padding=3).data
