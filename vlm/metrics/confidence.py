"""Confidence intervals: how uncertain is a number that was measured on a few hundred images?

Shapes: M images, R resampled test sets.
"""

from collections.abc import Callable

import numpy as np

Statistic = Callable[[np.ndarray], float]


def bootstrap_interval(
    rows: np.ndarray, statistic: Statistic, confidence: float = 0.95, num_samples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap: the range of the middle part of the statistic over resampled rows.

    Draw M of the M images with replacement, so that some come twice and some not at all, and compute the statistic
    again. Repeat this many times: the interval is the range of the middle 95 % of the results.

    Args:
        rows: [M, ...], what was measured on each image. The numbers of one image stay together, since they are not
            independent; to compare two models, put the results of both into the same row.
        statistic: from such rows to the number: their mean, the difference of two columns' means, a ratio of sums.
        confidence: the fraction of the results inside the interval.

    Raises:
        ValueError: there are no rows.

    Source: Efron, "Bootstrap Methods: Another Look at the Jackknife" (1979); this is its percentile interval.
    """
    if len(rows) == 0:
        raise ValueError("there are no rows: expected at least one image")
    rng = np.random.default_rng(seed)
    results = [statistic(rows[rng.integers(len(rows), size=len(rows))]) for _ in range(num_samples)]  # [R]
    tail = (1 - confidence) / 2
    low, high = np.quantile(results, [tail, 1 - tail])
    return float(low), float(high)


def ratio_of_sums(rows: np.ndarray) -> float:
    """[M, 2] -> the sum of the first column divided by that of the second: precision, recall, words per image.

    Each box has the same weight. The mean of the images' own ratios would give an image with one box the same weight
    as one with four, and is undefined for an image with none.
    """
    return float(rows[:, 0].sum() / rows[:, 1].sum())


def mean_difference(rows: np.ndarray) -> float:
    """[M, 2] -> by how much the first column's mean is above the second's."""
    return float((rows[:, 0] - rows[:, 1]).mean())
