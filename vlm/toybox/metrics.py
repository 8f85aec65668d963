"""How right an answer is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlm.boxes import Detection, box_iou


@dataclass
class DetectionCounts:
    """What a run of detections adds up to.

    Attributes:
        predicted, actual: how many boxes the model drew, and how many it should have drawn.
        ious: of each predicted box that found its object.
    """

    predicted: int = 0
    actual: int = 0
    ious: tuple[float, ...] = ()

    def __add__(self, other: "DetectionCounts") -> "DetectionCounts":
        return DetectionCounts(self.predicted + other.predicted, self.actual + other.actual, self.ious + other.ious)

    @property
    def precision(self) -> float:
        """Of the boxes drawn, the part that is right. Nothing drawn: 1, nothing is wrong."""
        return len(self.ious) / self.predicted if self.predicted else 1.0

    @property
    def recall(self) -> float:
        """Of the objects there, the part that was found. Nothing there: 1, nothing was missed."""
        return len(self.ious) / self.actual if self.actual else 1.0

    @property
    def mean_iou(self) -> float:
        """How well the boxes that found their object fit it; 0 when none did."""
        return sum(self.ious) / len(self.ious) if self.ious else 0.0


def match_detections(
    predicted: Sequence[Detection], actual: Sequence[Detection], min_iou: float = 0.5
) -> DetectionCounts:
    """Pair boxes with objects of the same label, the best overlap first; each is used once.

    A pair counts from `min_iou` on. A second box on the same object finds nothing and lowers the precision.
    """
    pairs = [
        (box_iou(guess.box, truth.box), i, j)
        for i, guess in enumerate(predicted)
        for j, truth in enumerate(actual)
        if guess.label == truth.label
    ]
    ious, used_guesses, used_truths = [], set(), set()
    for iou, i, j in sorted(pairs, reverse=True):
        if iou >= min_iou and i not in used_guesses and j not in used_truths:
            ious.append(iou)
            used_guesses.add(i)
            used_truths.add(j)
    return DetectionCounts(len(predicted), len(actual), tuple(ious))


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
