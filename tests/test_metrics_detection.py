"""How detections are counted, on boxes simple enough to overlap them in the head."""

import contextlib
import io

import numpy as np
import pytest

from vlm.metrics.detection import (
    COCO_MIN_IOUS,
    DetectionCounts,
    average_precision,
    find_right_boxes,
    match_detections,
    mean_average_precision,
)
from vlm.regions.boxes import Detection

CAT = Detection("cat", (0, 0, 10, 10))
FAR_CAT = Detection("cat", (50, 50, 60, 60))
DOG = Detection("dog", (0, 0, 10, 10))


def cat(y_min: int, x_min: int, y_max: int, x_max: int) -> Detection:
    return Detection("cat", (y_min, x_min, y_max, x_max))


def test_a_perfect_answer_finds_everything():
    counts = match_detections([CAT, FAR_CAT, DOG], [DOG, CAT, FAR_CAT])
    assert counts == DetectionCounts(predicted=3, actual=3, ious=(1.0, 1.0, 1.0))
    assert (counts.precision, counts.recall, counts.mean_iou) == (1.0, 1.0, 1.0)


def test_a_box_with_another_label_finds_nothing():
    assert match_detections([DOG], [CAT]) == DetectionCounts(predicted=1, actual=1, ious=())


def test_half_an_overlap_is_just_enough():
    assert match_detections([cat(0, 0, 5, 10)], [CAT]).ious == (0.5,)
    assert match_detections([cat(0, 0, 4, 10)], [CAT]).ious == ()
    assert match_detections([cat(0, 0, 4, 10)], [CAT], min_iou=0.4).ious == (0.4,)


def test_a_second_box_on_the_same_object_lowers_the_precision():
    counts = match_detections([CAT, cat(0, 0, 9, 10), CAT], [CAT])
    assert counts == DetectionCounts(predicted=3, actual=1, ious=(1.0,))
    assert counts.precision == pytest.approx(1 / 3)
    assert counts.recall == 1.0


def test_one_box_cannot_find_two_objects():
    counts = match_detections([CAT], [CAT, cat(0, 0, 10, 9)])
    assert (counts.precision, counts.recall) == (1.0, 0.5)


@pytest.mark.parametrize("swap", [False, True])
def test_the_best_overlap_is_paired_first_whatever_the_order(swap):
    predicted, actual = [cat(0, 0, 10, 8), CAT], [CAT, cat(0, 0, 10, 7)]
    if swap:
        predicted, actual = predicted[::-1], actual[::-1]
    # The equal boxes are a pair (1.0), and 7 of 8 columns are what is left.
    assert match_detections(predicted, actual).ious == (1.0, 0.875)


def test_nothing_drawn_is_precise_and_nothing_there_is_not_missed():
    nothing_drawn = match_detections([], [CAT])
    assert (nothing_drawn.precision, nothing_drawn.recall, nothing_drawn.mean_iou) == (1.0, 0.0, 0.0)
    nothing_there = match_detections([CAT], [])
    assert (nothing_there.precision, nothing_there.recall, nothing_there.mean_iou) == (0.0, 1.0, 0.0)


def test_counts_add_up_over_pictures():
    total = DetectionCounts(2, 1, (0.5,)) + DetectionCounts(2, 3, (0.75, 1.0)) + DetectionCounts()
    assert total == DetectionCounts(4, 4, (0.5, 0.75, 1.0))
    assert (total.precision, total.recall, total.mean_iou) == (0.75, 0.75, 0.75)


def test_the_surest_box_chooses_first_even_if_a_later_one_fits_better():
    assert find_right_boxes([(0, 0, 6, 10), (0, 0, 10, 10)], [CAT.box], 0.5).tolist() == [True, False]


def test_a_box_takes_the_best_object_that_is_free():
    near, nearer = (0, 0, 10, 8), (0, 0, 10, 9)
    assert find_right_boxes([CAT.box, CAT.box, CAT.box], [near, nearer], 0.5).tolist() == [True, True, False]
    assert find_right_boxes([], [near], 0.5).tolist() == []
    assert find_right_boxes([CAT.box], [], 0.5).tolist() == [False]


def test_average_precision_of_a_short_list_by_hand():
    # right, wrong, right, of 2: recall 0.5 is reached with precision 1, recall 1 with 2/3. 51 recalls are at most 0.5.
    scores, right = np.array([0.9, 0.8, 0.7]), np.array([True, False, True])
    assert average_precision(scores, right, 2) == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    shuffled = [2, 0, 1]
    assert average_precision(scores[shuffled], right[shuffled], 2) == average_precision(scores, right, 2)


def test_what_is_never_found_has_precision_0():
    assert average_precision(np.array([0.9]), np.array([True]), 4) == pytest.approx(26 / 101)
    assert average_precision(np.array([]), np.array([], dtype=bool), 3) == 0


def test_average_precision_is_1_when_all_right_boxes_come_first():
    assert average_precision(np.array([0.9, 0.8, 0.1]), np.array([True, True, False]), 2) == 1


def random_pictures(seed: int) -> tuple[list, list, list]:
    """Objects, and boxes that are more or less near them, some doubled and some invented."""
    rng = np.random.default_rng(seed)
    predicted, scores, actual = [], [], []
    for _ in range(12):
        truths, guesses = [], []
        for _ in range(rng.integers(0, 5)):
            y, x, h, w = *rng.uniform(0, 60, 2), *rng.uniform(10, 40, 2)
            label = str(rng.choice(["cat", "dog", "bus"]))
            truths.append(Detection(label, (y, x, y + h, x + w)))
            for _ in range(rng.integers(0, 3)):
                box = tuple((np.array(truths[-1].box) + rng.normal(0, 4, 4)).tolist())
                guesses.append(Detection(label if rng.random() < 0.9 else "dog", box))
        if rng.random() < 0.5:
            guesses.append(Detection("fish", (0, 0, 10, 10)))  # of a kind that is nowhere
        predicted.append(guesses)
        scores.append(rng.permutation(len(guesses)) / 100 + rng.random())
        actual.append(truths)
    return predicted, [score.tolist() for score in scores], actual


def coco_mean_average_precision(predicted: list, scores: list, actual: list, iou: float | None = None) -> float:
    """By COCO's own program. Its boxes are x, y, width, height."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def to_coco(detection: Detection) -> list[float]:
        y_min, x_min, y_max, x_max = detection.box
        return [x_min, y_min, x_max - x_min, y_max - y_min]

    labels = sorted({d.label for picture in [*actual, *predicted] for d in picture})
    truths = [
        {"image_id": i, "category_id": labels.index(d.label), "bbox": to_coco(d), "iscrowd": 0}
        for i, picture in enumerate(actual)
        for d in picture
    ]
    for number, truth in enumerate(truths, start=1):  # its matching takes the id 0 for "no object"
        truth |= {"id": number, "area": truth["bbox"][2] * truth["bbox"][3]}
    found = [
        {"image_id": i, "category_id": labels.index(d.label), "bbox": to_coco(d), "score": score}
        for i, (picture, sure) in enumerate(zip(predicted, scores))
        for d, score in zip(picture, sure)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        categories = [{"id": index, "name": label} for index, label in enumerate(labels)]
        coco.dataset = {
            "images": [{"id": i} for i in range(len(actual))],
            "categories": categories,
            "annotations": truths,
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        if iou is not None:
            evaluation.params.iouThrs = np.array([iou])
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # [ious, recalls, labels]; -1 where there is no object
    return float(precision[precision > -1].mean())


@pytest.mark.parametrize("seed", range(6))
def test_mean_average_precision_is_that_of_coco(seed):
    pictures = random_pictures(seed)
    ours = mean_average_precision(*pictures)
    assert 0.05 < ours < 0.95
    assert ours == pytest.approx(coco_mean_average_precision(*pictures), abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_boxes_of_equal_confidence_count_in_their_order_as_in_coco(seed):
    predicted, scores, actual = random_pictures(seed)
    scores = [[round(3 * score) / 3 for score in picture] for picture in scores]
    ours = mean_average_precision(predicted, scores, actual)
    assert ours == pytest.approx(coco_mean_average_precision(predicted, scores, actual), abs=1e-9)
    other_way = [[*zip(picture, sure)][::-1] for picture, sure in zip(predicted, scores)]
    predicted, scores = ([[pair[k] for pair in picture] for picture in other_way] for k in (0, 1))
    assert ours != mean_average_precision(predicted, scores, actual)  # the order does matter here


@pytest.mark.parametrize("swap", [False, True])
def test_of_objects_that_a_box_overlaps_equally_the_last_is_taken_as_in_coco(swap):
    predicted, actual = [cat(0, 0, 10, 10), cat(0, 0, 10, 5)], [cat(0, 0, 10, 8), cat(0, 2, 10, 10)]
    actual = actual[::-1] if swap else actual
    # The second box fits the left object alone.
    right = find_right_boxes([guess.box for guess in predicted], [truth.box for truth in actual], 0.5)
    assert right.tolist() == [True, not swap]
    pictures = [predicted], [[0.9, 0.8]], [actual]
    assert mean_average_precision(*pictures) == pytest.approx(coco_mean_average_precision(*pictures), abs=1e-9)


def test_at_one_iou_too_it_is_that_of_coco():
    pictures = random_pictures(6)
    ours = mean_average_precision(*pictures, min_ious=[0.5])
    assert ours == pytest.approx(coco_mean_average_precision(*pictures, iou=0.5), abs=1e-9)
    assert ours > mean_average_precision(*pictures, min_ious=[0.75])


def test_the_ten_ious_are_those_of_coco():
    assert np.allclose(COCO_MIN_IOUS, np.linspace(0.5, 0.95, 10))
