"""How detections are counted, on boxes simple enough to overlap them in the head."""

import numpy as np
import pytest

from vlm.boxes import Detection
from vlm.toybox.metrics import DetectionCounts, mask_iou, match_detections, match_masks

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


def stripe(start: int, end: int) -> np.ndarray:
    mask = np.zeros((2, 10), bool)
    mask[:, start:end] = True
    return mask


def test_mask_iou_is_what_two_masks_share_of_what_they_cover():
    assert mask_iou(stripe(0, 4), stripe(0, 4)) == 1
    assert mask_iou(stripe(0, 4), stripe(2, 6)) == pytest.approx(2 / 6)
    assert mask_iou(stripe(0, 4), stripe(4, 6)) == 0
    assert mask_iou(stripe(0, 0), stripe(0, 0)) == 0


def test_masks_are_paired_by_overlap_whatever_their_order():
    assert match_masks([stripe(5, 10), stripe(0, 4)], [stripe(0, 5), stripe(5, 10)]) == (1.0, pytest.approx(0.8))


def test_a_missed_thing_and_a_mask_too_many_count_nothing_each():
    assert match_masks([], [stripe(0, 5)]) == (0.0,)
    assert match_masks([stripe(0, 5)], []) == (0.0,)
    assert match_masks([stripe(0, 5), stripe(0, 5)], [stripe(0, 5)]) == (1.0, 0.0)
    assert match_masks([stripe(0, 5)], [stripe(6, 9)]) == (0.0, 0.0)
    assert match_masks([], []) == ()
