"""Models that know what they know, and others."""

import numpy as np
import pytest

from vlm.metrics.calibration import expected_calibration_error, measure_reliability


def test_bins_by_hand():
    confidences = np.array([0.05, 0.95, 0.85, 1.0, 0.9])
    bins = measure_reliability(confidences, np.array([False, True, False, True, True]), num_bins=10)
    assert bins.counts.tolist() == [1, 2, 2]  # 0.9 is the upper end of its bin
    assert bins.confidence.tolist() == pytest.approx([0.05, 0.875, 0.975])
    assert bins.accuracy.tolist() == pytest.approx([0, 0.5, 1])
    error = expected_calibration_error(confidences, np.array([False, True, False, True, True]))
    assert error == pytest.approx((1 * 0.05 + 2 * 0.375 + 2 * 0.025) / 5)


def test_zero_is_in_the_first_bin():
    assert measure_reliability(np.array([0.0]), np.array([True])).counts.tolist() == [1]


def test_a_model_that_knows_what_it_knows_has_next_to_no_error():
    rng = np.random.default_rng(0)
    confidences = rng.random(20_000)
    assert expected_calibration_error(confidences, rng.random(20_000) < confidences) < 0.02
    assert expected_calibration_error(confidences, rng.random(20_000) < confidences**2) > 0.1
