"""How right masks are. Shapes: H W height and width of the picture."""

from collections.abc import Sequence

import numpy as np


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    """The pixels that two masks share, divided by those that they cover together: bool [H, W] each.

    0 if both are empty.
    """
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 0.0


def match_masks(predicted: Sequence[np.ndarray], actual: Sequence[np.ndarray]) -> tuple[float, ...]:
    """Pair masks with objects, the best overlap first; each is used once.

    Returns:
        One number for each pair, its IoU, then a 0 for each object that was missed and for each mask too many. So a
        model cannot gain by drawing more, or by drawing nothing.
    """
    pairs = [(mask_iou(guess, truth), i, j) for i, guess in enumerate(predicted) for j, truth in enumerate(actual)]
    ious, used_guesses, used_truths = [], set(), set()
    for iou, i, j in sorted(pairs, reverse=True):
        if iou > 0 and i not in used_guesses and j not in used_truths:
            ious.append(iou)
            used_guesses.add(i)
            used_truths.add(j)
    unpaired = len(predicted) + len(actual) - 2 * len(ious)
    return (*ious, *[0.0] * unpaired)
