"""Calibration: is a model with a confidence of 90 % right nine times in ten? Shapes: M answers, L bins."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Reliability:
    """Answers in bins of confidence; empty bins are left out. Each [L].

    Attributes:
        counts: how many answers are in the bin.
        confidence: the mean confidence of these answers.
        accuracy: the fraction of them that is right.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def measure_reliability(confidences: np.ndarray, is_right: np.ndarray, num_bins: int = 10) -> Reliability:
    """Sort answers into bins of equal width: 0 to 0.1, above 0.1 to 0.2, ...

    Args:
        confidences: [M], the probability that the model gave to each answer, 0..1.
        is_right: bool [M].
    """
    bins = np.clip(np.ceil(confidences * num_bins).astype(int) - 1, 0, num_bins - 1)  # [M]
    filled = np.unique(bins)
    members = [bins == index for index in filled]
    return Reliability(
        np.array([member.sum() for member in members]),
        np.array([confidences[member].mean() for member in members]),
        np.array([is_right[member].mean() for member in members]),
    )


def expected_calibration_error(confidences: np.ndarray, is_right: np.ndarray, num_bins: int = 10) -> float:
    """The mean gap between confidence and accuracy, over all answers. With few answers, chance puts it above 0.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (arXiv 1706.04599), equation 3.
    """
    bins = measure_reliability(confidences, is_right, num_bins)
    gaps = np.abs(bins.accuracy - bins.confidence)  # [L]
    return float((bins.counts * gaps).sum() / bins.counts.sum())
