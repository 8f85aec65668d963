"""Greedy matching, on overlaps small enough to pair by hand."""

import numpy as np

from vlm.metrics.matching import match_greedily


def test_the_largest_overlap_comes_first_and_each_is_used_once():
    overlaps = np.array([[0.6, 0.9, 0.0], [0.5, 0.8, 0.0], [0.7, 0.1, 0.0]])
    assert match_greedily(overlaps) == [(0, 1), (2, 0)]
    assert overlaps[0, 1] == 0.9  # the caller's matrix stays as it was


def test_of_equal_overlaps_the_first_prediction_and_then_the_first_object_is_taken():
    assert match_greedily(np.full((2, 3), 0.5)) == [(0, 0), (1, 1)]
    assert match_greedily(np.array([[0.0, 0.5], [0.5, 0.5]])) == [(0, 1), (1, 0)]


def test_without_an_overlap_there_is_no_pair():
    for shape in ((0, 3), (3, 0), (2, 2)):
        assert match_greedily(np.zeros(shape)) == []
