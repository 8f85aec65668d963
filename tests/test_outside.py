"""The scenes of the other generator are what they promise, the sums over them are right, and the weights hold there."""

import ast
import json
import os
from functools import cache
from pathlib import Path

import foreign_images
import numpy as np
import outside
import outside_scenes
import pytest
from checkpoints import save_random_checkpoint
from foreign_images import PICTURES, QUESTIONS, find_degenerate, make_pairs
from outside import BARS, BEFORE, ask, evaluate_outside, format_table, names_toys
from outside_scenes import MOST_KINDS, NAMED, ROWS, SIDE, draw_outside_scene

from toybox import CHECKPOINT_DIRECTORY
from toybox.prompts import caption, detect
from toybox.questions import Answer
from toybox.scenes import Scene
from toybox.sprites import load_sprite
from vlm.generate import generate
from vlm.image_processing import process_images
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor

NUM_SCENES = 40
SOLID = 128
FULL = [row for row, wanted in ROWS.items() if not (wanted.outside or wanted.visible)]
FULL_CROSS = len(PICTURES) * len(QUESTIONS)


@pytest.fixture(scope="module", params=ROWS)
def drawn(request):
    return request.param, [draw_outside_scene(request.param, number) for number in range(NUM_SCENES)]


def whole_size(label: str, num_pixels: int) -> float:
    """The side of a toy's square, from how many pixels show it whole, however it is turned."""
    return (num_pixels / (np.array(load_sprite(label))[..., 3] >= SOLID).mean()) ** 0.5


def place(row: str, seed: int) -> list[np.ndarray]:
    """For each toy, bool [3 S, 3 S]: its pixels on a table around the picture, which is the middle."""
    placed = None
    rng = np.random.default_rng(seed)
    while placed is None:
        placed = outside_scenes._place_all(rng, ["cat", "dog"], ROWS[row])
    masks = []
    for sprite, (x, y) in placed:
        solid, mask = np.array(sprite)[..., 3] >= SOLID, np.zeros((3 * SIDE, 3 * SIDE), bool)
        mask[SIDE + y : SIDE + y + solid.shape[0], SIDE + x : SIDE + x + solid.shape[1]] = solid
        masks.append(mask)
    return masks


def share_inside(mask: np.ndarray) -> float:
    return mask[SIDE : 2 * SIDE, SIDE : 2 * SIDE].sum() / mask.sum()


def test_nothing_of_the_training_draws_these_scenes():
    tree = ast.parse(Path(outside_scenes.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    used = {(getattr(node, "module", None), alias.name) for node in imports for alias in node.names}
    of_toybox = {(module, name) for module, name in used if "toybox" in f"{module} {name}"}
    assert of_toybox == {
        ("toybox.scenes", "Scene"),
        ("toybox.scenes", "SceneObject"),
        ("toybox.sprites", "LABELS"),
        ("toybox.sprites", "load_sprite"),
    }


def test_a_scene_depends_on_its_row_and_number_alone(drawn):
    row, scenes = drawn
    for number in (7, 3):
        again = draw_outside_scene(row, number)
        assert np.array_equal(again.pixels, scenes[number].pixels) and np.array_equal(again.owner, scenes[number].owner)
        assert again.objects == scenes[number].objects and again.background == scenes[number].background
    assert len({scene.pixels.tobytes() for scene in scenes}) == NUM_SCENES


def test_rows_that_differ_in_sizes_alone_have_other_scenes():
    for number in range(5):
        small, smallest = draw_outside_scene("small", number), draw_outside_scene("smallest", number)
        assert (small.background, outside.kinds(small)) != (smallest.background, outside.kinds(smallest))


def test_the_truth_is_what_one_sees(drawn):
    row, scenes = drawn
    fewest, most = ROWS[row].numbers
    assert {len(scene.objects) for scene in scenes} == set(range(fewest, most + 1))
    for scene in scenes:
        assert scene.pixels.shape == (SIDE, SIDE, 3) and scene.pixels.dtype == np.uint8
        assert set(np.unique(scene.owner)) - {-1} == set(range(len(scene.objects)))
        for index, thing in enumerate(scene.objects):
            y_min, x_min, y_max, x_max = thing.box
            window = scene.owner[y_min:y_max, x_min:x_max] == index
            assert window.sum() == (scene.owner == index).sum()
            assert window[0].any() and window[-1].any() and window[:, 0].any() and window[:, -1].any()


def test_one_prompt_can_name_all_kinds(drawn):
    _, scenes = drawn
    assert all(len(outside.kinds(scene)) <= MOST_KINDS for scene in scenes)


@pytest.mark.parametrize("row", FULL)
def test_toys_have_the_sizes_of_their_row_and_are_whole(row):
    smallest, largest = ROWS[row].sizes
    sizes = []
    for number in range(NUM_SCENES):
        scene = draw_outside_scene(row, number)
        sizes += [whole_size(thing.label, scene.mask(i).sum()) for i, thing in enumerate(scene.objects)]
    assert smallest - 1 < min(sizes) and max(sizes) < largest + 1  # whole pixels
    assert max(sizes) - min(sizes) > 0.7 * (largest - smallest)


def test_the_last_toy_lies_partly_outside():
    least, most = ROWS["outside"].outside
    lost = []
    for seed in range(40):
        cat, dog = place("outside", seed)
        assert share_inside(cat) == 1 and not (cat & dog).any()
        lost.append(1 - share_inside(dog))
    assert least <= min(lost) and max(lost) <= most
    assert max(lost) - min(lost) > 0.7 * (most - least)


def test_the_first_toy_lies_partly_behind_the_second():
    least, most = ROWS["hidden"].visible
    seen = []
    for seed in range(40):
        cat, dog = place("hidden", seed)
        assert share_inside(cat) == 1 and share_inside(dog) == 1
        seen.append(1 - (cat & dog).sum() / cat.sum())
    assert least <= min(seen) and max(seen) <= most
    assert max(seen) - min(seen) > 0.7 * (most - least)


def test_only_grounds_with_a_name_are_named(drawn):
    row, scenes = drawn
    grounds = [scene.background for scene in scenes]
    if set(ROWS[row].grounds) <= set(NAMED):
        assert set(grounds) == set(NAMED)
    elif set(ROWS[row].grounds).isdisjoint(NAMED):
        assert set(grounds) == {None}
    else:
        assert 0.25 < grounds.count(None) / len(grounds) < 0.75


def test_unnamed_grounds_have_any_color():
    corners = np.array([draw_outside_scene("any_color", number).pixels[0, 0] for number in range(100)])
    assert (np.quantile(corners, 0.1, axis=0) < 60).all() and (np.quantile(corners, 0.9, axis=0) > 195).all()


@cache
def known_scenes() -> dict[bytes, Scene]:
    scenes = [draw_outside_scene(row, number) for row in ROWS for number in range(6)]
    return {scene.pixels.tobytes(): scene for scene in scenes}


def oracle(model, processor, prompts, images, max_new_tokens=60):
    """Knows the scenes by their pictures."""
    answers = []
    for prompt, image in zip(prompts, images, strict=True):
        scene = known_scenes()[np.array(image).tobytes()]
        if prompt.startswith("caption"):
            answers.append(Answer(caption(scene).suffix, False))
        elif prompt.startswith("detect"):
            answers.append(Answer(detect(scene, prompt.removeprefix("detect ").split(" ; ")).suffix, False))
        else:
            answers.append(Answer("1", False))
    return answers


def test_the_truth_holds_every_bar(monkeypatch):
    monkeypatch.setattr(outside, "ask", oracle)
    report = evaluate_outside(None, None, 6)
    assert list(report) == list(ROWS)
    for row, measures in report.items():
        assert [measures[name] for name in ("caption", "toys", "precision", "recall")] == [1.0] * 4
        assert measures["mean_iou"] > 0.97 and measures["degenerate"] == 0
        assert ("count" in measures) == (row == "large")
    assert report["large"]["count"] == 1.0
    table = format_table(report)
    assert table.count("held") == len(ROWS) - 1 and "missed" not in table
    assert "1.000 (0.255)" in table


def test_one_wrong_answer_of_six_lowers_each_measure(monkeypatch):
    def nearly(*arguments):
        answers = oracle(*arguments)
        text = {"c": "a cat at noon", "<": "<loc0000><loc0000><loc0010><loc0010> cat", "1": "2"}
        wrong = text.get(answers[0].text[0], text["c"])
        return [Answer(wrong, True), *answers[1:]]

    monkeypatch.setattr(outside, "ask", nearly)
    report = evaluate_outside(None, None, 6)
    for row, measures in report.items():
        assert measures["caption"] == measures["toys"] == round(5 / 6, 4)
        assert measures["precision"] < 1 and measures["recall"] < 1
        assert measures["degenerate"] == (3 if row == "large" else 2)
    assert report["large"]["count"] == measures["caption"]
    assert format_table(report).count("missed: caption") == len(ROWS) - 1


def test_a_caption_may_have_the_right_toys_on_the_wrong_ground():
    scenes = (draw_outside_scene("near", number) for number in range(20))
    scene = next(scene for scene in scenes if scene.background == "sand")
    toys = caption(scene).suffix.removesuffix(" on sand")
    assert toys != caption(scene).suffix
    assert all(names_toys(scene, toys + ground) for ground in ("", " on sand", " in the sky"))
    assert not any(names_toys(scene, answer) for answer in (f"{toys} and a walrus on sand", toys[:-1], ""))


def test_the_table_has_the_six_rows_of_before_and_its_bars():
    assert set(BEFORE) < set(ROWS) and len(BEFORE) == 6
    assert BARS == {"caption": 0.85, "precision": 0.9, "recall": 0.9}
    assert ROWS["outside"].outside == (0.1, 0.35) and ROWS["hidden"].visible == (0.4, 0.7)
    assert ROWS["small"].sizes == (18, 22) and ROWS["smallest"].sizes == (14, 18) and ROWS["large"].sizes == (70, 105)


def test_what_is_asked_in_batches_is_what_is_asked_one_by_one(tmp_path, monkeypatch):
    model, tokenizer = load_hf_model(save_random_checkpoint(tmp_path))
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    monkeypatch.setattr(outside, "BATCH_SIZE", 2)
    images = [draw_outside_scene("near", number).image for number in range(3)]
    prompts = ["caption en", "detect cat ; dog", "ocr"]
    answers = ask(model, processor, prompts, images, 5)
    expected = [generate(model, processor, *pair, max_new_tokens=5)[0] for pair in zip(prompts, images, strict=True)]
    assert [answer.text for answer in answers] == expected
    assert any(answer.is_degenerate for answer in answers)  # a model that knows nothing does not end in time


def test_every_kind_of_picture_meets_every_kind_of_question():
    pairs = make_pairs(FULL_CROSS)
    assert len({(pair.picture, pair.question) for pair in pairs}) == FULL_CROSS
    again = make_pairs(30)
    assert [pair.prompt for pair in again] == [pair.prompt for pair in pairs[:30]]
    assert all(
        np.array_equal(np.array(one.image), np.array(other.image)) for one, other in zip(again, pairs[:30], strict=True)
    )
    pixels = process_images([pair.image for pair in pairs], SIDE)  # [pairs, 3, S, S]
    assert pixels.isfinite().all()
    assert len(pixels.flatten(1).unique(dim=0)) > 0.9 * FULL_CROSS  # black is often black
    assert len({pair.prompt for pair in pairs}) > 120


def test_the_answers_that_degenerate_are_found(monkeypatch):
    limits = {}

    def runs_in_circles_on_pages(model, processor, prompts, images, max_new_tokens):
        limits[max_new_tokens] = prompts
        return [Answer("", image.size == (400, 400)) for image in images]

    monkeypatch.setattr(foreign_images, "ask", runs_in_circles_on_pages)
    pairs = make_pairs(FULL_CROSS)
    found = find_degenerate(None, None, pairs)
    assert {id(pair) for pair, _ in found} == {id(pair) for pair in pairs if pair.picture == "page"}
    assert sum(map(len, limits.values())) == FULL_CROSS
    assert all(prompt.startswith("segment ") for prompt in limits[220])
    assert not any(prompt.startswith("segment ") for prompt in limits[60])


# A model that is exactly as good as a bar falls this far below it once in ten thousand runs: the scenes are few.
MODEL_SCENES = 50
MARGINS = {"caption": 0.19, "precision": 0.16, "recall": 0.16}
MODEL = Path(os.environ.get("TOYBOX_MODEL", CHECKPOINT_DIRECTORY))


def needs_trained_weights():
    """Skips the test while the shipped weights are those of the first Toybox, whose tokenizer was another one.

    TOYBOX_MODEL names the directory of a model to test in their place.
    """
    evaluation = json.loads((CHECKPOINT_DIRECTORY / "evaluation.json").read_text(encoding="utf-8"))
    are_old = "ocr" not in evaluation["tasks"]
    return pytest.mark.skipif(are_old and MODEL == CHECKPOINT_DIRECTORY, reason="the weights are of the first Toybox")


@pytest.fixture(scope="module")
def toybox():
    model, tokenizer = load_hf_model(MODEL)
    return model, PaliGemmaProcessor.for_model(model, tokenizer)


@pytest.mark.slow
@needs_trained_weights()
def test_the_weights_hold_outside_their_own_scenes(toybox):
    report = evaluate_outside(*toybox, MODEL_SCENES)
    below = {
        (row, name): measures[name]
        for row, measures in report.items()
        if row not in outside.WITHOUT_BARS
        for name, bar in BARS.items()
        if measures[name] < bar - MARGINS[name]
    }
    assert not below
    assert sum(measures["degenerate"] for measures in report.values()) == 0


@pytest.mark.slow
@needs_trained_weights()
def test_the_weights_end_their_answers_on_foreign_pictures(toybox):
    found = find_degenerate(*toybox, make_pairs(FULL_CROSS))
    assert [(pair.picture, pair.prompt, answer.text) for pair, answer in found] == []
