"""Intervals that hold what they promise."""

import numpy as np
import pytest

from vlm.metrics.confidence import bootstrap_interval, mean_difference, ratio_of_sums


def mean(rows: np.ndarray) -> float:
    return float(rows.mean())


def test_interval_of_a_share_is_that_of_the_binomial():
    rows = np.array([1.0] * 80 + [0.0] * 20)
    low, high = bootstrap_interval(rows, mean)
    half_width = 1.96 * np.sqrt(0.8 * 0.2 / 100)
    assert (low, high) == (pytest.approx(0.8 - half_width, abs=0.015), pytest.approx(0.8 + half_width, abs=0.015))


def test_the_truth_lies_in_the_interval_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(200):
        rows = rng.normal(1.0, 2.0, size=60)
        low, high = bootstrap_interval(rows, mean, confidence=0.8, num_samples=300, seed=trial)
        inside += low <= 1.0 <= high
    assert 0.70 < inside / 200 < 0.88  # 0.8, and 3.5 times its own uncertainty


def test_the_same_seed_gives_the_same_interval_and_more_rows_a_narrower_one():
    rows = np.random.default_rng(0).normal(size=400)
    assert bootstrap_interval(rows, mean) == bootstrap_interval(rows, mean)
    wide, narrow = bootstrap_interval(rows[:100], mean), bootstrap_interval(rows, mean)
    assert narrow[1] - narrow[0] < 0.7 * (wide[1] - wide[0])


def test_no_rows_have_no_interval():
    with pytest.raises(ValueError, match="at least one image"):
        bootstrap_interval(np.zeros((0, 2)), ratio_of_sums)


def test_ratio_of_sums_counts_boxes_and_not_pictures():
    rows = np.array([[1, 1], [0, 4], [0, 0]])
    assert ratio_of_sums(rows) == 0.2


def test_a_paired_difference_is_surer_than_two_intervals():
    rng = np.random.default_rng(0)
    hard = rng.random(300)  # how hard each picture is, for both models alike
    rows = np.stack([hard < 0.62, hard < 0.60], axis=1).astype(float)
    low, _ = bootstrap_interval(rows, mean_difference)
    separate = [bootstrap_interval(rows[:, column], mean) for column in (0, 1)]
    assert low >= 0
    assert separate[0][0] < separate[1][1]  # these two overlap
