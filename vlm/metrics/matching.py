"""Pair what a model found with what is there. Shapes: M predictions, J objects."""

import numpy as np


def match_greedily(overlaps: np.ndarray) -> list[tuple[int, int]]:
    """Pair predictions with objects, the largest overlap first, each at most once.

    Of equal overlaps the one with the lower prediction comes first, then the one with the lower object.

    Args:
        overlaps: float [M, J], at least 0. An overlap of 0 makes no pair.

    Returns:
        The pairs (prediction, object), the largest overlap first.
    """
    left, pairs = overlaps.copy(), []
    while left.size and left.max() > 0:
        i, j = divmod(int(left.argmax()), left.shape[1])  # argmax takes the first of several equal ones
        pairs.append((i, j))
        left[i, :] = left[:, j] = 0
    return pairs
