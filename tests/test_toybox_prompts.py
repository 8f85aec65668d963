"""The Toybox's questions: the words are PaliGemma's, and the answers are true."""

import re
from collections import Counter

import numpy as np
import pytest

from toybox.prompts import (
    TASKS,
    Example,
    all_examples,
    all_prompt_texts,
    caption,
    count,
    detect,
    left,
    presence,
    sample_example,
    sample_segment_label,
    segment,
    where,
)
from toybox.scenes import IMAGE_SIZE, Scene, SceneObject, draw_scene
from vlm.regions.boxes import parse_detections


def make_scene(*objects: tuple[str, tuple[int, int, int, int]], background: str = "grass") -> Scene:
    pixels = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    owner = np.full((IMAGE_SIZE, IMAGE_SIZE), -1, np.int8)
    return Scene(pixels, tuple(SceneObject(label, box) for label, box in objects), owner, background)


def make_scene_of(*labels: str, background: str = "grass") -> Scene:
    return make_scene(*((label, (0, 0, 10, 10)) for label in labels), background=background)


def cat_at(y: int, x: int) -> tuple[str, tuple[int, int, int, int]]:
    return "cat", (y - 10, x - 10, y + 10, x + 10)


@pytest.mark.parametrize(
    ("labels", "background", "sentence"),
    [
        (["cat"], "grass", "a cat on grass"),
        (["apple"], "sand", "an apple on sand"),
        (["dog", "cat", "dog"], "snow", "a cat and two dogs on snow"),
        (["fish", "fish", "fish", "bus"], "water", "a bus and three fish on water"),
        (["tree", "cat", "apple"], "sky", "an apple, a cat and a tree in the sky"),
        (["dog", "cat", "bird", "car"], "night", "a bird, a car, a cat and a dog at night"),
        (["butterfly"] * 4, "night", "four butterflies at night"),
    ],
)
def test_captions_name_kinds_in_alphabetical_order_with_numbers_as_words(labels, background, sentence):
    scene = make_scene_of(*labels, background=background)
    assert caption(scene) == Example("caption", "caption en", sentence)


def test_counts_are_digits():
    scene = make_scene_of("bus", "cat", "bus")
    assert count(scene, "bus") == Example("count", "answer en how many buses are there?", "2")
    assert count(scene, "cat") == Example("count", "answer en how many cats are there?", "1")
    assert count(scene, "fish") == Example("count", "answer en how many fish are there?", "0")


def test_presence_is_yes_or_no():
    scene = make_scene_of("cat", "cat")
    assert presence(scene, "cat") == Example("presence", "answer en is there a cat?", "yes")
    assert presence(scene, "apple") == Example("presence", "answer en is there an apple?", "no")


@pytest.mark.parametrize(
    ("y", "x", "position"),
    [
        (20, 20, "top left"),
        (20, 56, "top"),
        (20, 90, "top right"),
        (56, 20, "left"),
        (56, 56, "center"),
        (56, 90, "right"),
        (90, 20, "bottom left"),
        (90, 56, "bottom"),
        (90, 90, "bottom right"),
    ],
)
def test_where_answers_with_a_ninth_of_the_picture(y, x, position):
    assert where(make_scene(cat_at(y, x)), "cat") == Example("where", "answer en where is the cat?", position)


def test_where_is_not_asked_within_3_pixels_of_a_line_between_thirds():
    # The lines are at 112 / 3 = 37.33 and 74.67.
    asked = [at for at in range(30, 82) if where(make_scene(cat_at(at, 20)), "cat") is not None]
    assert asked == [*range(30, 35), *range(41, 72), *range(78, 82)]
    assert asked == [at for at in range(30, 82) if where(make_scene(cat_at(20, at)), "cat") is not None]


def test_where_is_asked_only_of_one_of_a_kind():
    scene = make_scene(cat_at(20, 20), cat_at(90, 90))
    assert where(scene, "cat") is None
    assert where(scene, "dog") is None


def test_left_compares_centers_in_whatever_order_they_are_asked():
    scene = make_scene(("cat", (0, 10, 20, 30)), ("dog", (80, 16, 90, 36)))
    prompt = "answer en which is further left, the cat or the dog?"
    assert left(scene, "cat", "dog") == Example("left", prompt, "cat")
    prompt = "answer en which is further left, the dog or the cat?"
    assert left(scene, "dog", "cat") == Example("left", prompt, "cat")


def test_left_is_not_asked_of_centers_less_than_6_pixels_apart():
    assert left(make_scene(("cat", (0, 10, 20, 30)), ("dog", (80, 15, 90, 36))), "cat", "dog") is None


def test_left_is_asked_only_of_one_of_each_kind():
    scene = make_scene(cat_at(20, 20), cat_at(20, 50), ("dog", (0, 80, 20, 100)))
    assert left(scene, "cat", "dog") is None
    assert left(scene, "dog", "bird") is None
    assert left(scene, "dog", "dog") is None


def test_detect_goes_from_top_to_bottom_whatever_the_kinds_and_their_order():
    scene = make_scene(("cat", (56, 28, 84, 56)), ("dog", (0, 0, 28, 28)), ("cat", (28, 84, 56, 112)))
    dog, high_cat = "<loc0000><loc0000><loc0256><loc0256> dog", "<loc0256><loc0767><loc0512><loc1023> cat"
    low_cat = "<loc0512><loc0256><loc0767><loc0512> cat"
    assert detect(scene, ["cat"]) == Example("detect", "detect cat", f"{high_cat} ; {low_cat}")
    for prompt in ("cat ; dog", "dog ; cat"):
        expected = Example("detect", f"detect {prompt}", f"{dog} ; {high_cat} ; {low_cat}")
        assert detect(scene, prompt.split(" ; ")) == expected


def test_detect_goes_by_the_top_edge_also_between_kinds():
    scene = make_scene(("cat", (56, 28, 84, 56)), ("dog", (28, 0, 56, 28)), ("cat", (0, 84, 28, 112)))
    found = parse_detections(detect(scene, ["dog", "cat"]).suffix, IMAGE_SIZE, IMAGE_SIZE)
    assert [detection.label for detection in found] == ["cat", "dog", "cat"]


def test_detect_is_silent_about_what_is_absent():
    scene = make_scene(("dog", (0, 0, 28, 28)))
    assert detect(scene, ["cat", "dog"]).suffix == "<loc0000><loc0000><loc0256><loc0256> dog"
    assert detect(scene, ["cat", "bird"]) == Example("detect", "detect cat ; bird", "")


def test_detect_refuses_no_labels_and_doubled_labels():
    for labels in ([], ["cat", "cat"]):
        with pytest.raises(ValueError, match="labels are"):
            detect(make_scene_of("cat"), labels)


def test_detections_read_back_are_the_boxes_of_the_scene():
    for seed in range(50):
        scene = draw_scene(seed)
        labels = sorted({thing.label for thing in scene.objects})
        found = parse_detections(detect(scene, labels).suffix, IMAGE_SIZE, IMAGE_SIZE)
        truth = sorted(scene.objects, key=lambda thing: thing.box)
        assert [detection.label for detection in found] == [thing.label for thing in truth]
        errors = np.subtract([detection.box for detection in found], [thing.box for thing in truth])
        assert np.abs(errors).max() <= 0.5 * IMAGE_SIZE / 1023 + 1e-9


def test_segment_is_box_and_shape_of_each_of_a_kind_from_top_to_bottom():
    scene = make_scene(("cat", (56, 28, 84, 56)), ("dog", (0, 0, 28, 28)), ("cat", (28, 84, 56, 112)))
    codes = {0: tuple(range(16)), 2: tuple(range(16, 32))}
    lower, upper = ("".join(f"<seg{code:03d}>" for code in codes[index]) for index in (0, 2))
    cats = f"<loc0256><loc0767><loc0512><loc1023>{upper} cat ; <loc0512><loc0256><loc0767><loc0512>{lower} cat"
    assert segment(scene, "cat", codes) == Example("segment", "segment cat", cats)
    assert segment(scene, "bird", codes) == Example("segment", "segment bird", "")


def test_one_segmentation_in_ten_asks_for_what_is_not_there():
    scene, rng = make_scene_of("cat", "dog"), np.random.default_rng(0)
    labels = [sample_segment_label(scene, rng) for _ in range(1000)]
    assert 60 < sum(label not in ("cat", "dog") for label in labels) < 140
    assert 350 < labels.count("cat") < 550


def test_samples_are_the_task_asked_for_and_repeat_with_their_seed():
    scene = make_scene(("cat", (10, 10, 30, 30)), ("dog", (80, 80, 100, 100)))
    for task in TASKS[:-1]:  # all but "segment", whose answers need codes
        first, second = (sample_example(scene, np.random.default_rng(3), task) for _ in range(2))
        assert first == second
        assert first.task == task


@pytest.mark.parametrize("task", ["where", "left"])
def test_an_impossible_sample_becomes_another_question_under_its_own_name(task):
    scene = make_scene_of("cat", "cat")
    examples = [sample_example(scene, np.random.default_rng(seed), task) for seed in range(30)]
    assert {example.task for example in examples} == {"count", "presence"}
    assert all(("how many" in example.prompt) == (example.task == "count") for example in examples)


def test_an_unknown_task_is_named_in_the_error():
    with pytest.raises(ValueError, match="'segment'"):
        sample_example(make_scene_of("cat"), np.random.default_rng(0), "segment")


def test_half_of_the_presence_questions_are_about_what_is_there():
    rng = np.random.default_rng(0)
    answers = Counter(sample_example(make_scene_of("cat", "dog"), rng, "presence").suffix for _ in range(500))
    assert 200 < answers["yes"] < 300
    assert answers["yes"] + answers["no"] == 500


def test_detect_samples_ask_for_one_to_three_labels_most_of_them_there_in_any_order():
    rng = np.random.default_rng(0)
    scene = make_scene_of("apple", "cat", "dog", "turtle")
    prompts = [sample_example(scene, rng, "detect").prompt for _ in range(300)]
    asked = [prompt.removeprefix("detect ").split(" ; ") for prompt in prompts]
    assert {len(labels) for labels in asked} == {1, 2, 3}
    flat = [label for labels in asked for label in labels]
    assert 0.7 < np.mean([label in ("apple", "cat", "dog", "turtle") for label in flat]) < 0.9
    pairs = [labels for labels in asked if len(labels) == 2]
    assert 0.3 < np.mean([pair == sorted(pair) for pair in pairs]) < 0.7


def test_all_examples_has_each_task_that_the_scene_allows():
    rng = np.random.default_rng(0)
    rich = make_scene(("cat", (10, 10, 30, 30)), ("dog", (80, 80, 100, 100)))
    assert tuple(example.task for example in all_examples(rich, rng)) == TASKS[:-1]
    twins = make_scene_of("cat", "cat")
    assert [example.task for example in all_examples(twins, rng)] == [*TASKS[:3], "detect"]


def test_all_prompt_texts_hold_each_word_of_each_sample_with_its_space():
    def words(text: str) -> set[str]:
        """Words with the space before them, if any: as pieces of a tokenizer they differ."""
        return set(re.findall(r" ?\w+| ?[^\w\s]", re.sub(r"<loc\d{4}>", "", text)))

    known = set().union(*map(words, all_prompt_texts()))
    rng = np.random.default_rng(0)
    for seed in range(300):
        for example in all_examples(draw_scene(seed), rng):
            assert words(example.prompt) | words(example.suffix) <= known


def test_all_prompt_texts_are_a_few_thousand_at_most_and_each_comes_once():
    texts = list(all_prompt_texts())
    assert len(texts) == len(set(texts)) < 5000
