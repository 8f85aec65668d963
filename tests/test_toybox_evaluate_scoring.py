"""Scores of answers, by hand."""

import pytest
from truths import MASK_DECODER, make_scene, true_answer

from toybox.examples import example_scene
from toybox.questions import Question
from toybox.scoring import (
    count_boxes,
    score_detections,
    score_exact_match,
    score_masks,
    score_referring,
    score_strangers,
)

# Boxes of 56 pixels, half of the picture: <loc0000> to <loc0512> is 0 to 56.05.
TOP_LEFT, TOP_RIGHT = "<loc0000><loc0000><loc0512><loc0512>", "<loc0000><loc0512><loc0512><loc1023>"
BOTTOM_RIGHT = "<loc0512><loc0512><loc1023><loc1023>"
CATS_AND_DOG = make_scene(("cat", (0, 0, 56, 56)), ("cat", (56, 56, 112, 112)), ("dog", (0, 56, 56, 112)))
CARS = make_scene(
    ("car", (0, 0, 56, 56), "red"), ("car", (0, 56, 56, 112), "blue"), ("car", (56, 56, 112, 112), "blue")
)


def test_an_exact_match_is_exact():
    asked = [Question(None, "how many?", answer) for answer in ("2", "1", "yes", "top left")]
    assert score_exact_match(asked, ["2", "1 ", "Yes", "left"]) == {"exact_match": 0.25}


def test_scores_are_rounded_to_four_places():
    asked = [Question(None, "how many?", "1")] * 3
    assert score_exact_match(asked, ["1", "1", "2"]) == {"exact_match": 0.6667}


def test_where_nothing_was_asked_there_is_no_score():
    assert score_exact_match([], []) == {"exact_match": None}
    assert score_strangers([], []) == {"says_no": None, "draws_nothing": None}
    assert score_referring([], [])["right"] is None
    assert score_masks([], [], MASK_DECODER) == {"mean_mask_iou": None}


@pytest.mark.parametrize("score", [score_exact_match, score_detections, score_referring, score_strangers])
def test_a_missing_answer_is_an_error_not_a_lower_score(score):
    with pytest.raises(ValueError):
        score([Question(CATS_AND_DOG, "detect cat", "")] * 2, [""])


def test_a_missing_mask_is_an_error_too():
    with pytest.raises(ValueError):
        score_masks([Question(CATS_AND_DOG, "segment cat")] * 2, [""], MASK_DECODER)


def test_strangers_are_answered_with_no_and_with_no_box():
    words = ["answer en is there a zebra?", "detect zebra"]
    asked = [Question(CATS_AND_DOG, *pair) for pair in zip(words * 4, ["no", ""] * 4)]
    answers = ["no", "", "no", f"{TOP_LEFT} zebra", "0", "", "No", "no"]
    assert score_strangers(asked, answers) == {"says_no": 0.5, "draws_nothing": 0.5}
    assert score_strangers(asked[:2], ["", "no"]) == {"says_no": 0.0, "draws_nothing": 0.0}
    assert score_strangers(asked[:2], ["no", ""]) == {"says_no": 1.0, "draws_nothing": 1.0}
    assert score_strangers(asked[:2], ["0", ""]) == {"says_no": 0.0, "draws_nothing": 1.0}


def test_detections():
    asked = [Question(CATS_AND_DOG, "detect cat")] * 2
    answers = [
        f"{TOP_LEFT} cat ; {TOP_RIGHT} dog",  # the dog: not asked
        f"<loc0000><loc0000><loc0256><loc0512> cat ; {TOP_RIGHT} cat",  # half a cat, a miss
    ]
    scores = score_detections(asked, answers)
    assert scores["precision"] == 0.5  # two of four boxes
    assert scores["recall"] == 0.5  # two of four cats
    assert scores["mean_box_iou"] == pytest.approx((0.998 + 0.5005) / 2, abs=2e-3)


def test_of_several_labels_each_is_looked_for():
    scene = make_scene(("cat", (0, 0, 56, 56)), ("dog", (0, 56, 56, 112)), ("bird", (56, 0, 112, 56)))
    scores = score_detections([Question(scene, "detect dog ; fish ; cat")], [f"{TOP_LEFT} cat"])
    assert (scores["precision"], scores["recall"]) == (1.0, 0.5)


@pytest.mark.parametrize("word", ["bird", "zebra"])
def test_a_kind_that_is_not_there_is_rightly_answered_with_nothing(word):
    asked = [Question(CATS_AND_DOG, f"detect {word}")]
    assert score_detections(asked, [""]) == {"precision": 1.0, "recall": 1.0, "mean_box_iou": 0.0}
    assert score_detections(asked, [f"{TOP_LEFT} {word}"])["precision"] == 0.0


@pytest.mark.parametrize(
    "answer", ["", "no idea", "<loc0000><loc0000> cat", "<loc0512><loc0512><loc0000><loc0000> cat"]
)
def test_an_answer_without_a_whole_box_finds_nothing(answer):
    asked = [Question(make_scene(("cat", (0, 0, 56, 56))), "detect cat")]
    assert score_detections(asked, [answer]) == {"precision": 1.0, "recall": 0.0, "mean_box_iou": 0.0}


@pytest.mark.parametrize(
    ("prompt", "answer", "is_right"),
    [
        ("detect left cat", f"{TOP_LEFT} left cat", True),
        ("detect right cat", f"{BOTTOM_RIGHT} right cat", True),
        ("detect left cat", f"{BOTTOM_RIGHT} left cat", False),  # the other one
        ("detect left cat", f"{TOP_LEFT} cat", False),  # the phrase is a part of the answer
        ("detect left cat", f"{TOP_LEFT} left dog", False),
        ("detect left cat", f"{TOP_LEFT} left cat ; {BOTTOM_RIGHT} left cat", False),  # one too many
        ("detect left cat", f"{TOP_LEFT} left cat ; {TOP_LEFT} left cat", False),  # the same box twice
        ("detect left cat", "", False),
        ("detect left bird", "", True),
        ("detect left bird", f"{TOP_LEFT} left bird", False),
    ],
)
def test_a_phrase_is_right_if_its_toy_is_boxed_and_nothing_else(prompt, answer, is_right):
    assert score_referring([Question(CATS_AND_DOG, prompt)], [answer])["right"] == float(is_right)


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        (f"{TOP_RIGHT} blue car ; {BOTTOM_RIGHT} blue car", True),
        (f"{BOTTOM_RIGHT} blue car ; {TOP_RIGHT} blue car", True),  # the order does not matter
        (f"{TOP_RIGHT} blue car", False),
        (f"{TOP_LEFT} blue car ; {TOP_RIGHT} blue car ; {BOTTOM_RIGHT} blue car", False),
    ],
)
def test_a_color_may_mean_several_toys_and_all_are_asked_for(answer, is_right):
    assert score_referring([Question(CARS, "detect blue car")], [answer])["right"] == float(is_right)
    assert score_referring([Question(CARS, "detect green car")], [answer])["right"] == 0.0


def test_of_phrases_the_share_is_given_and_the_iou_of_the_boxes_that_matched():
    asked = [Question(CATS_AND_DOG, "detect left cat")] * 3
    answers = [f"{TOP_LEFT} left cat", "<loc0000><loc0000><loc0256><loc0512> left cat", ""]
    scores = score_referring(asked, answers)
    assert scores["right"] == 0.6667
    assert scores["mean_box_iou"] == pytest.approx((0.998 + 0.5005) / 2, abs=2e-3)


def test_boxes_are_counted_for_what_the_prompt_asks_for():
    counts = count_boxes(Question(CATS_AND_DOG, "detect dog ; cat"), f"{TOP_LEFT} cat ; {TOP_LEFT} dog")
    assert (counts.predicted, counts.actual, len(counts.ious)) == (2, 3, 1)


def test_masks():
    scene = example_scene(1)  # two dogs and a car
    question = Question(scene, "segment dog")
    car, dogs = true_answer(Question(scene, "segment car")), true_answer(question)
    first_dog = dogs.split(" ; ")[0]

    def score(answer: str) -> float:
        return score_masks([question], [answer], MASK_DECODER)["mean_mask_iou"]

    whole = score(dogs)
    assert whole > 0.95
    assert score(first_dog) == pytest.approx(whole / 2, abs=0.02)
    assert score(f"{dogs} ; {first_dog}") == pytest.approx(whole * 2 / 3, abs=0.01)
    assert score(car) == 0
    assert score(dogs.replace("<seg", "<gone")) == 0  # boxes alone
    assert score(dogs.replace(" dog", " car")) == 0
    assert score(dogs.replace(" dog", " left dog")) == 0


def test_masks_of_a_phrase():
    scene = example_scene(1)
    left, all_dogs = Question(scene, "segment left dog"), true_answer(Question(scene, "segment dog"))
    assert score_masks([left], [true_answer(left)], MASK_DECODER)["mean_mask_iou"] > 0.95
    right = true_answer(Question(scene, "segment right dog")).replace("right", "left")
    assert score_masks([left], [right], MASK_DECODER)["mean_mask_iou"] == 0
    without_adjective = true_answer(left).replace(" left dog", " dog")
    assert score_masks([left], [without_adjective], MASK_DECODER)["mean_mask_iou"] == 0
    renamed = all_dogs.replace(" dog", " left dog")
    assert 0.45 < score_masks([left], [renamed], MASK_DECODER)["mean_mask_iou"] < 0.5


def test_no_mask_asked_and_none_drawn_counts_nothing():
    scene = example_scene(1)
    both = [Question(scene, "segment frog"), Question(scene, "segment dog")]
    dogs, car = true_answer(both[1]), true_answer(Question(scene, "segment car"))
    right = score_masks(both, ["", dogs], MASK_DECODER)["mean_mask_iou"]
    assert right > 0.95
    wrong = score_masks(both, [car, dogs], MASK_DECODER)["mean_mask_iou"]
    assert wrong == pytest.approx(right * 2 / 3, abs=0.01)
