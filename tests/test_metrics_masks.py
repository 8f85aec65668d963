"""How masks are counted, on stripes."""

import numpy as np
import pytest

from vlm.metrics.masks import mask_iou, match_masks


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
