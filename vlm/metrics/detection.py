"""How right boxes are: precision and recall, and the mean average precision of a list with the surest box first.

Shapes: M boxes that were drawn, J objects that are there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlm.regions.boxes import Box, Detection, box_iou

COCO_MIN_IOUS = tuple(0.5 + 0.05 * step for step in range(10))  # 0.5 to 0.95
_RECALLS = np.linspace(0, 1, 101)


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


def find_right_boxes(predicted: Sequence[Box], actual: Sequence[Box], min_iou: float) -> np.ndarray:
    """Say which boxes are right, when the surest may choose first.

    Each box takes the object that it overlaps most of those which are still free, if that is `min_iou` or more. A
    second box on an object that is taken is wrong, however well it fits.

    Args:
        predicted: [M], of one picture and one label, the surest first.
        actual: [J], of the same picture and label.

    Returns:
        bool [M].

    Source: the PASCAL Visual Object Classes Challenge (Everingham et al. 2010), section 4.2.2; the choice of the best
    *free* object is COCO's.
    """
    right, free = np.zeros(len(predicted), dtype=bool), list(actual)
    for index, guess in enumerate(predicted):
        best = max(free, key=lambda truth: box_iou(guess, truth), default=None)
        if best is not None and box_iou(guess, best) >= min_iou:
            right[index] = True
            free.remove(best)
    return right


def average_precision(scores: np.ndarray, is_right: np.ndarray, num_actual: int) -> float:
    """The mean height of the curve of precision over recall, as boxes are taken in from the surest to the least sure.

    Each precision counts as the best that can be had at that recall or at a higher one, which takes the teeth off the
    curve. Its height is read at 101 recalls, 0, 0.01, ... 1, and is 0 where no box gets so far.

    Args:
        scores: [M], how sure each box is. Only their order matters.
        is_right: bool [M].
        num_actual: how many objects there are, at least 1.

    Source: COCO (arXiv 1405.0312) and its evaluation code.
    """
    order = np.argsort(-scores, kind="stable")  # [M]
    num_right = np.cumsum(is_right[order])  # [M], among the surest 1, 2, ...
    recall = num_right / num_actual
    precision = num_right / np.arange(1, len(order) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]  # [M]
    first_with = np.searchsorted(recall, _RECALLS, side="left")  # [101], the first place with that recall
    return float(np.append(best_from_here, 0.0)[first_with].mean())


def mean_average_precision(
    predicted: Sequence[Sequence[Detection]],
    scores: Sequence[Sequence[float]],
    actual: Sequence[Sequence[Detection]],
    min_ious: Sequence[float] = COCO_MIN_IOUS,
) -> float:
    """COCO's number: the mean of the average precisions over all labels and all `min_ious`.

    Labels that are nowhere in `actual` do not count. Unlike COCO it has no limit of 100 boxes for each picture.

    Args:
        predicted, scores: for each picture the boxes, and how sure each of them is.
        actual: for each picture what is there.
    """
    results = []
    for label in sorted({truth.label for truths in actual for truth in truths}):
        boxes_there = [[truth.box for truth in truths if truth.label == label] for truths in actual]
        ranked = [_surest_first(*picture, label) for picture in zip(predicted, scores, strict=True)]
        label_scores = np.array([score for picture in ranked for score, _ in picture])  # [M]
        for min_iou in min_ious:
            rights = [
                find_right_boxes([box for _, box in picture], there, min_iou)
                for picture, there in zip(ranked, boxes_there, strict=True)
            ]
            num_actual = sum(len(there) for there in boxes_there)
            results.append(average_precision(label_scores, np.concatenate(rights), num_actual))
    return float(np.mean(results))


def _surest_first(detections: Sequence[Detection], scores: Sequence[float], label: str) -> list[tuple[float, Box]]:
    pairs = zip(scores, detections, strict=True)
    of_label = [(score, detection.box) for score, detection in pairs if detection.label == label]
    return sorted(of_label, key=lambda pair: pair[0], reverse=True)
