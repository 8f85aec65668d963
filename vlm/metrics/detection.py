"""Metrics of boxes: precision, recall, and the mean average precision of boxes with confidences.

Shapes: M predicted boxes, J objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vlm.metrics.matching import match_greedily
from vlm.regions.boxes import Box, Detection, box_iou

COCO_MIN_IOUS = tuple(0.5 + 0.05 * step for step in range(10))  # 0.5 to 0.95
_RECALLS = np.linspace(0, 1, 101)


@dataclass
class DetectionCounts:
    """Counts of one image, or of several when they are added.

    Attributes:
        predicted, actual: the number of boxes that the model drew, and the number of objects.
        ious: the IoU of each predicted box that was matched to an object.
    """

    predicted: int = 0
    actual: int = 0
    ious: tuple[float, ...] = ()

    def __add__(self, other: "DetectionCounts") -> "DetectionCounts":
        return DetectionCounts(self.predicted + other.predicted, self.actual + other.actual, self.ious + other.ious)

    @property
    def precision(self) -> float:
        """The fraction of the predicted boxes that is right; 1 if there are none, since nothing is wrong."""
        return len(self.ious) / self.predicted if self.predicted else 1.0

    @property
    def recall(self) -> float:
        """The fraction of the objects that was found; 1 if there are none, since nothing was missed."""
        return len(self.ious) / self.actual if self.actual else 1.0

    @property
    def mean_iou(self) -> float:
        """The mean IoU of the matched boxes; 0 if there are none."""
        return sum(self.ious) / len(self.ious) if self.ious else 0.0


def match_detections(
    predicted: Sequence[Detection], actual: Sequence[Detection], min_iou: float = 0.5
) -> DetectionCounts:
    """Pair boxes with objects of the same label, the largest IoU first; each is in one pair at most.

    A pair needs an IoU of at least `min_iou`. A second box on the same object stays unpaired and lowers the precision.
    """
    ious = np.zeros((len(predicted), len(actual)))  # [M, J]; 0: cannot be a pair
    for i, guess in enumerate(predicted):
        for j, truth in enumerate(actual):
            iou = box_iou(guess.box, truth.box) if guess.label == truth.label else 0.0
            ious[i, j] = iou if iou >= min_iou else 0.0
    found = tuple(ious[pair].item() for pair in match_greedily(ious))
    return DetectionCounts(len(predicted), len(actual), found)


def find_right_boxes(predicted: Sequence[Box], actual: Sequence[Box], min_iou: float) -> np.ndarray:
    """Match predicted boxes to objects greedily, in order of confidence, and return which boxes are right.

    Each box takes the object that it overlaps most among those that are still free, if the IoU is at least `min_iou`.
    If several overlap equally it takes the last, as in COCO's program. A second box on an object that is taken is
    wrong, however well it fits.

    Args:
        predicted: [M], of one image and one label, the most confident first.
        actual: [J], of the same image and label.

    Returns:
        bool [M].

    Source: the PASCAL Visual Object Classes Challenge (Everingham et al. 2010), section 4.2.2; the choice of the best
    *free* object is COCO's.
    """
    right, free = np.zeros(len(predicted), dtype=bool), list(actual)
    for index, guess in enumerate(predicted):
        best = max(reversed(free), key=lambda truth: box_iou(guess, truth), default=None)
        if best is not None and box_iou(guess, best) >= min_iou:
            right[index] = True
            free.remove(best)
    return right


def average_precision(scores: np.ndarray, is_right: np.ndarray, num_actual: int) -> float:
    """The mean precision over 101 recalls: 0, 0.01, ... 1.

    Boxes are added one by one, the most confident first; boxes of equal confidence keep their order. The precision at a
    recall is the largest one at that recall or at a higher one, which smooths the curve. It is 0 at recalls that are
    never reached.

    Args:
        scores: [M], the confidence of each box. Only the order matters.
        is_right: bool [M].
        num_actual: the number of objects, at least 1.

    Source: COCO (arXiv 1405.0312) and its evaluation code.
    """
    order = np.argsort(-scores, kind="stable")  # [M]
    num_right = np.cumsum(is_right[order])  # [M], among the first 1, 2, ...
    recall = num_right / num_actual
    precision = num_right / np.arange(1, len(order) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]  # [M]
    first_with = np.searchsorted(recall, _RECALLS, side="left")  # [101], the first index with that recall
    return float(np.append(best_from_here, 0.0)[first_with].mean())


def mean_average_precision(
    predicted: Sequence[Sequence[Detection]],
    scores: Sequence[Sequence[float]],
    actual: Sequence[Sequence[Detection]],
    min_ious: Sequence[float] = COCO_MIN_IOUS,
) -> float:
    """COCO's metric: the mean of the average precisions over all labels and all `min_ious`.

    Labels that are not in `actual` do not count. Unlike COCO's program this has no limit of 100 boxes per image.
    Boxes of equal confidence keep their order: by image, then by box.

    Args:
        predicted, scores: for each image, its boxes and the confidence of each box.
        actual: for each image, its objects.
    """
    results = []
    for label in sorted({truth.label for truths in actual for truth in truths}):
        true_boxes = [[truth.box for truth in truths if truth.label == label] for truths in actual]
        ranked = [_most_confident_first(*image, label) for image in zip(predicted, scores, strict=True)]
        label_scores = np.array([score for image in ranked for score, _ in image])  # [M]
        for min_iou in min_ious:
            is_right = [
                find_right_boxes([box for _, box in image], truths, min_iou)
                for image, truths in zip(ranked, true_boxes, strict=True)
            ]
            num_actual = sum(len(truths) for truths in true_boxes)
            results.append(average_precision(label_scores, np.concatenate(is_right), num_actual))
    return float(np.mean(results))


def _most_confident_first(
    detections: Sequence[Detection], scores: Sequence[float], label: str
) -> list[tuple[float, Box]]:
    pairs = zip(scores, detections, strict=True)
    of_label = [(score, detection.box) for score, detection in pairs if detection.label == label]
    return sorted(of_label, key=lambda pair: pair[0], reverse=True)
