"""Solutions of chapter 17, "Object detection as text".

Shapes: M predicted boxes, J actual objects.
"""

import re

import torch
from torch import Tensor


def write_box(box: list[float], height: int, width: int) -> str:
    """Write a box as PaliGemma does, as four location tokens."""
    sizes = (height, width, height, width)
    fractions = (min(max(value / size, 0), 1) for value, size in zip(box, sizes))
    return "".join(f"<loc{round(fraction * 1023):04d}>" for fraction in fractions)


def read_answer(text: str, height: int, width: int) -> list[tuple[str, list[float]]]:
    """Parse the boxes in an answer, and skip every invalid item."""
    found = []
    for run, name in re.findall(r"((?:<loc\d*>)+)([^;<>]*)", text):
        digits = re.findall(r"<loc(\d*)>", run)
        if len(digits) != 4 or not all(len(d) == 4 and int(d) <= 1023 for d in digits):
            continue
        box = [int(d) * size / 1023 for d, size in zip(digits, (height, width, height, width))]
        if box[2] > box[0] and box[3] > box[1]:
            found.append((name.strip(), box))
    return found


def iou_matrix(boxes: Tensor, others: Tensor) -> Tensor:
    """The IoU (intersection over union) of every box with every other box, without a loop."""
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])  # [M, J, 2]
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])  # [M, J, 2]
    shared = (high - low).clamp(min=0).prod(-1)  # [M, J]
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(-1)  # [M]
    other_areas = (others[:, 2:] - others[:, :2]).clamp(min=0).prod(-1)  # [J]
    union = areas[:, None] + other_areas[None, :] - shared  # [M, J]
    return torch.where(shared > 0, shared / union, 0.0)


def match_by_confidence(ious: Tensor, scores: Tensor, min_iou: float) -> Tensor:
    """Match predicted boxes to objects greedily, in order of confidence."""
    free = ious.clone()  # the column of an object that is taken becomes -1
    right = torch.zeros(len(scores), dtype=torch.bool)
    for index in scores.argsort(descending=True):
        if free.shape[1] and free[index].max() >= min_iou:
            right[index] = True
            free[:, free[index].argmax()] = -1
    return right


def average_precision(scores: Tensor, is_right: Tensor, num_actual: int) -> float:
    """Average precision as COCO computes it: the mean height of the precision-recall curve."""
    right = is_right[scores.argsort(descending=True)]  # [M]
    num_right = right.cumsum(0)  # [M]
    precision = num_right / torch.arange(1, len(right) + 1)
    heights = []
    for percent in range(101):
        reached = num_right * 100 >= percent * num_actual  # [M], exact: integers
        heights.append(precision[reached].max().item() if reached.any() else 0.0)
    return sum(heights) / 101
