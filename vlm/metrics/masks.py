"""Metrics of masks. Shapes: H W height and width of the image."""

from collections.abc import Sequence

import numpy as np

from vlm.metrics.matching import match_greedily


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks, bool [H, W]: pixels in both, divided by pixels in either.

    0 if both are empty.
    """
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 0.0


def match_masks(predicted: Sequence[np.ndarray], actual: Sequence[np.ndarray]) -> tuple[float, ...]:
    """Pair masks with objects, the largest IoU first; each is in one pair at most.

    Returns:
        The IoU of each pair, then a 0 for each unpaired object and each unpaired mask. So a model gains nothing by
        drawing more masks, or none.
    """
    ious = np.array([[mask_iou(guess, truth) for truth in actual] for guess in predicted])
    ious = ious.reshape(len(predicted), len(actual))
    pairs = match_greedily(ious)
    num_unpaired = len(predicted) + len(actual) - 2 * len(pairs)
    return (*(ious[pair].item() for pair in pairs), *[0.0] * num_unpaired)
