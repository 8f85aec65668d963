"""Pairs the predictions of a model with the true objects. Shapes: M predictions, J objects."""

import numpy as np


def match_greedily(overlaps: np.ndarray) -> list[tuple[int, int]]:
    """Pair predictions with objects, the largest overlap first, each at most once.

    Equal overlaps are taken in the order of the predictions, then of the objects.

    Args:
        overlaps: float [M, J], at least 0. An overlap of 0 is never a pair.

    Returns:
        The pairs (prediction, object), the largest overlap first.
    """
    left, pairs = overlaps.copy(), []
    while left.size and left.max() > 0:
        i, j = divmod(int(left.argmax()), left.shape[1])  # argmax takes the first of several equal ones
        pairs.append((i, j))
        left[i, :] = left[:, j] = 0
    return pairs
