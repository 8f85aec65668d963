"""The Toybox's questions: the words are PaliGemma's, and the answers are true."""

import re
from collections import Counter

import numpy as np
import pytest

from toybox.colors import COLORS, NATURAL_COLORS
from toybox.prompts import (
    ADJECTIVES,
    TASKS,
    Example,
    all_examples,
    all_prompt_texts,
    caption,
    color,
    count,
    detect,
    find_referred,
    left,
    ocr,
    presence,
    refer,
    sample_example,
    sample_segment_phrase,
    segment,
    where,
)
from toybox.scenes import IMAGE_SIZE, Scene, SceneObject, draw_scene
from toybox.signs import WORDS
from toybox.sprites import plural
from toybox.strangers import HEARD
from vlm.regions.boxes import parse_detections

QUESTIONS = [task for task in TASKS if task != "segment"]  # whose answers need codes
CARS = ("car", (56, 28, 84, 56), "red"), ("car", (0, 0, 28, 28), "blue"), ("car", (28, 84, 56, 112), "red")


def make_scene(*objects: tuple, background: str | None = "grass", sign: str | None = None) -> Scene:
    """Each object is a label, a box and, if it is to have one, a color."""
    pixels = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    owner = np.full((IMAGE_SIZE, IMAGE_SIZE), -1, np.int8)
    return Scene(pixels, tuple(SceneObject(*thing) for thing in objects), owner, background, sign)


def make_scene_of(*labels: str, background: str | None = "grass") -> Scene:
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
        (["bus"] * 5, "sky", "five buses in the sky"),
        (["cat"] * 6, None, "six cats"),
        (["cat"] * 7 + ["apple"], None, "an apple and seven cats"),
        (["dog", "car"], None, "a car and a dog"),
        ([], "grass", "nothing on grass"),
        ([], "night", "nothing at night"),
        ([], None, "nothing"),
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
        labels = sorted({thing.label for thing in scene.objects}) or ["cat"]
        found = parse_detections(detect(scene, labels).suffix, IMAGE_SIZE, IMAGE_SIZE)
        truth = sorted(scene.objects, key=lambda thing: thing.box)
        assert [detection.label for detection in found] == [thing.label for thing in truth]
        for detection, thing in zip(found, truth, strict=True):
            assert np.abs(np.subtract(detection.box, thing.box)).max() <= 0.5 * IMAGE_SIZE / 1023 + 1e-9


def test_segment_is_box_and_shape_of_each_of_a_kind_from_top_to_bottom():
    scene = make_scene(("cat", (56, 28, 84, 56)), ("dog", (0, 0, 28, 28)), ("cat", (28, 84, 56, 112)))
    codes = {0: tuple(range(16)), 2: tuple(range(16, 32))}
    lower, upper = ("".join(f"<seg{code:03d}>" for code in codes[index]) for index in (0, 2))
    cats = f"<loc0256><loc0767><loc0512><loc1023>{upper} cat ; <loc0512><loc0256><loc0767><loc0512>{lower} cat"
    assert segment(scene, "cat", codes) == Example("segment", "segment cat", cats)
    assert segment(scene, "bird", codes) == Example("segment", "segment bird", "")


def test_segment_with_an_adjective_is_of_what_it_means_alone():
    scene = make_scene(*CARS)
    codes = {index: (index,) * 16 for index in range(3)}
    upper, lower = ("<loc0256><loc0767><loc0512><loc1023>", 2), ("<loc0512><loc0256><loc0767><loc0512>", 0)
    red = " ; ".join(f"{box}{f'<seg{code:03d}>' * 16} red car" for box, code in (upper, lower))
    assert segment(scene, "car", codes, "red") == Example("segment", "segment red car", red)
    left_car = f"<loc0000><loc0000><loc0256><loc0256>{'<seg001>' * 16} left car"
    assert segment(scene, "car", {1: codes[1]}, "left") == Example("segment", "segment left car", left_car)
    assert segment(scene, "car", {}, "green") == Example("segment", "segment green car", "")


def test_color_is_asked_of_the_only_one_of_a_kind_that_comes_in_colors():
    scene = make_scene(("car", (0, 0, 9, 9), "blue"), ("cat", (20, 0, 29, 9)), *[("bus", (40, 0, 49, 9), "red")] * 2)
    assert color(scene, "car") == Example("color", "answer en what color is the car?", "blue")
    for label in ("cat", "bus", "fish"):  # without a color, two of them, not there
        assert color(scene, label) is None


def test_ocr_is_the_word_on_the_sign_or_nothing():
    assert ocr(make_scene(sign="STOP")) == Example("ocr", "ocr", "STOP")
    assert ocr(make_scene()) == Example("ocr", "ocr", "")


def test_refer_finds_the_leftmost_rightmost_largest_and_smallest():
    cats = ("cat", (0, 50, 30, 80)), ("cat", (60, 10, 80, 30)), ("cat", (60, 60, 100, 100))
    scene = make_scene(*cats, ("dog", (0, 0, 112, 112)))
    found = {adjective: find_referred(scene, adjective, "cat") for adjective in ADJECTIVES}
    assert found == {"left": [1], "right": [2], "largest": [2], "smallest": [1]}
    box = "<loc0548><loc0091><loc0731><loc0274>"
    assert refer(scene, "left", "cat") == Example("refer", "detect left cat", f"{box} left cat")
    assert refer(scene, "smallest", "cat") == Example("refer", "detect smallest cat", f"{box} smallest cat")


def test_refer_goes_by_the_middles_not_by_the_edges():
    wide, narrow = ("cat", (0, 10, 20, 90)), ("cat", (50, 20, 70, 40))
    assert find_referred(make_scene(wide, narrow), "left", "cat") == [1]


@pytest.mark.parametrize(("apart", "is_clear"), [(5.5, False), (6, True)])
def test_left_and_right_need_middles_six_pixels_apart(apart, is_clear):
    scene = make_scene(("cat", (0, 10, 20, 30)), ("cat", (50, 10 + apart, 70, 30 + apart)))
    for adjective, index in (("left", 0), ("right", 1)):
        assert find_referred(scene, adjective, "cat") == ([index] if is_clear else None)
        assert (refer(scene, adjective, "cat") is not None) == is_clear


@pytest.mark.parametrize(("side", "is_clear"), [(25, False), (26, True)])
def test_largest_and_smallest_need_areas_a_third_apart(side, is_clear):
    scene = make_scene(("cat", (0, 0, 20, 20)), ("cat", (50, 50, 70, 50 + side)))  # 26 / 20 = 1.3
    for adjective, index in (("smallest", 0), ("largest", 1)):
        assert find_referred(scene, adjective, "cat") == ([index] if is_clear else None)


def test_only_the_first_two_must_be_far_apart():
    scene = make_scene(("cat", (0, 10, 20, 30)), ("cat", (30, 60, 50, 80)), ("cat", (60, 62, 80, 82)))
    assert find_referred(scene, "left", "cat") == [0]
    assert find_referred(scene, "right", "cat") is None


def test_one_of_a_kind_is_the_leftmost_and_the_largest_and_none_is_nothing():
    scene = make_scene(cat_at(50, 50))
    for adjective in ADJECTIVES:
        assert find_referred(scene, adjective, "cat") == [0]
        assert refer(scene, adjective, "dog") == Example("refer", f"detect {adjective} dog", "")


def test_a_color_means_all_of_that_color_from_top_to_bottom_and_may_mean_none():
    scene = make_scene(*CARS)
    assert find_referred(scene, "red", "car") == [0, 2]
    upper, lower = "<loc0256><loc0767><loc0512><loc1023>", "<loc0512><loc0256><loc0767><loc0512>"
    assert refer(scene, "red", "car") == Example("refer", "detect red car", f"{upper} red car ; {lower} red car")
    assert refer(scene, "green", "car") == Example("refer", "detect green car", "")


def test_without_an_adjective_all_of_a_kind_are_meant():
    assert find_referred(make_scene_of("cat", "dog", "cat"), "", "cat") == [0, 2]


def test_an_unknown_adjective_is_named_in_the_error():
    with pytest.raises(ValueError, match="'top'"):
        find_referred(make_scene_of("cat"), "top", "cat")


def test_phrases_of_samples_are_clear_and_colors_are_there_or_not():
    rng, phrases, numbers = np.random.default_rng(0), Counter(), Counter()
    absent = {name: Counter() for name in COLORS}
    for seed in range(600):
        scene = draw_scene(seed)
        example = sample_example(scene, rng, "refer")
        if example.task != "refer":
            continue
        adjective, label = example.prompt.removeprefix("detect ").split(" ")
        assert example == refer(scene, adjective, label)
        phrases[adjective] += 1
        if adjective in COLORS:
            assert label in NATURAL_COLORS
            absent[adjective][example.suffix == ""] += 1
        else:
            numbers[min(sum(thing.label == label for thing in scene.objects), 2)] += 1
    assert numbers[2] > numbers[0] + numbers[1]  # most of the time there is something to choose from
    assert min(numbers[0], numbers[1]) >= 5
    assert set(phrases) == {*ADJECTIVES, *COLORS}
    assert all(min(counts[True], counts[False]) >= 5 for counts in absent.values())


def test_a_color_that_is_not_there_may_be_any_other():
    """Were it always the same beside a red car, the answer could be told without the picture."""
    scene, rng = make_scene(("car", (0, 0, 28, 28), "red")), np.random.default_rng(0)
    prompts = {f"detect {name} car" for name in COLORS}
    asked = Counter(
        example.prompt for _ in range(500) if (example := sample_example(scene, rng, "refer")).prompt in prompts
    )
    assert set(asked) == prompts
    assert 0.4 < asked["detect red car"] / asked.total() < 0.6
    assert min(asked.values()) > 30


def test_segmentations_ask_for_what_is_there_but_for_eight_in_a_hundred_and_a_fifth_has_an_adjective():
    scene, rng = make_scene(cat_at(20, 20), cat_at(80, 80), ("dog", (0, 60, 20, 80))), np.random.default_rng(0)
    drawn = [sample_segment_phrase(scene, rng) for _ in range(2000)]
    labels = [label for _, label in drawn]
    assert 0.05 < np.mean([label not in ("cat", "dog") for label in labels]) < 0.11
    assert 0.3 < labels.count("dog") / len(labels) < 0.45
    adjectives = Counter(adjective for adjective, label in drawn)
    assert adjectives["left"] + adjectives["right"] > 4 * (adjectives["largest"] + adjectives["smallest"])
    assert set(adjectives) == {"", *ADJECTIVES}  # both are as large, and cats have no colors
    assert 0.15 < 1 - adjectives[""] / len(drawn) < 0.22
    assert all(find_referred(scene, adjective, label) is not None for adjective, label in drawn)


def test_of_an_empty_scene_only_what_is_not_there_can_be_asked():
    scene, rng = make_scene(), np.random.default_rng(0)
    assert all(sample_segment_phrase(scene, rng)[0] == "" for _ in range(50))
    answers = {task: {sample_example(scene, rng, task).suffix for _ in range(50)} for task in QUESTIONS}
    assert answers.pop("caption") == {"nothing on grass"}
    assert answers.pop("detect") == {""}
    assert answers.pop("count") == {"0"}
    assert answers.pop("presence") == {"no"}
    assert answers.pop("refer") == {"", "0", "no"}  # "left cat", where there is none
    assert all(answer == {"0", "no"} for answer in answers.values())


def test_samples_are_the_task_asked_for_and_repeat_with_their_seed():
    scene = make_scene(cat_at(20, 20), ("dog", (80, 80, 100, 100)), ("car", (0, 80, 20, 100), "red"), sign="ZOO")
    for task in QUESTIONS:
        first, second = (sample_example(scene, np.random.default_rng(3), task) for _ in range(2))
        assert first == second
        assert first.task == task


@pytest.mark.parametrize("task", ["where", "left", "color", "refer", "ocr"])
def test_an_impossible_sample_becomes_another_question_under_its_own_name(task):
    scene = make_scene_of("cat", "cat")
    examples = [sample_example(scene, np.random.default_rng(seed), task) for seed in range(30)]
    others = {example.task for example in examples if example.task != "refer" or example.suffix}
    assert others == {"count", "presence"}
    assert all(("how many" in example.prompt) == (example.task == "count") for example in examples)


def test_an_unknown_task_is_named_in_the_error():
    with pytest.raises(ValueError, match="'segment'"):
        sample_example(make_scene_of("cat"), np.random.default_rng(0), "segment")


def test_three_presence_questions_in_five_are_about_what_is_there():
    rng = np.random.default_rng(0)
    answers = Counter(sample_example(make_scene_of("cat", "dog"), rng, "presence").suffix for _ in range(500))
    assert 270 < answers["yes"] < 330
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
    rich = make_scene(cat_at(20, 20), ("dog", (80, 80, 100, 100)), ("car", (0, 80, 20, 100), "red"), sign="ZOO")
    assert [example.task for example in all_examples(rich, rng)] == QUESTIONS
    twins = make_scene_of("cat", "cat")  # one on the other: neither is further left, or larger
    assert [example.task for example in all_examples(twins, rng)] == ["caption", "count", "presence", "detect"]


def test_all_prompt_texts_hold_each_word_of_each_sample_with_its_space():
    def words(text: str) -> set[str]:
        """Words with the space before them, if any: as pieces of a tokenizer they differ."""
        return set(re.findall(r" ?\w+| ?[^\w\s]", re.sub(r"<loc\d{4}>", "", text)))

    known = set().union(*map(words, all_prompt_texts()))
    strangers = set().union(*(words(f" {word} {plural(word)}") for word in HEARD))  # they come in pieces
    rng = np.random.default_rng(0)
    scenes = [draw_scene(seed, split) for seed in range(150) for split in ("train", "hard")]
    for scene in scenes:
        for example in all_examples(scene, rng):
            assert words(example.prompt) - strangers | words(example.suffix) <= known
    assert {example for word in WORDS for example in words(word)} <= known


def test_all_prompt_texts_are_a_few_thousand_at_most_and_each_comes_once():
    texts = list(all_prompt_texts())
    assert len(texts) == len(set(texts)) < 5000
