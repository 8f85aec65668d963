"""Solutions of chapter 17, "Where is it, exactly?".

Shapes: M boxes that were drawn, J objects that are there.
"""

import re

import torch
from torch import Tensor


def write_box(box: list[float], height: int, width: int) -> str:
    """Write a box as PaliGemma does, in four words."""
    sizes = (height, width, height, width)
    parts = (min(max(value / size, 0), 1) for value, size in zip(box, sizes))
    return "".join(f"<loc{round(part * 1023):04d}>" for part in parts)


def read_answer(text: str, height: int, width: int) -> list[tuple[str, list[float]]]:
    """Read the boxes of an answer, and leave out what is none."""
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
    """Compute the IoU of each box with each other box, without a loop."""
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])  # [M, J, 2]
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])  # [M, J, 2]
    shared = (high - low).clamp(min=0).prod(-1)  # [M, J]
    areas, other_areas = ((b[:, 2:] - b[:, :2]).clamp(min=0).prod(-1) for b in (boxes, others))  # [M], [J]
    union = areas[:, None] + other_areas[None, :] - shared  # [M, J]
    return torch.where(shared > 0, shared / union, 0.0)


def find_right(ious: Tensor, scores: Tensor, min_iou: float) -> Tensor:
    """Say which boxes are right, when the surest may choose first."""
    left = ious.clone()  # what is taken becomes -1
    right = torch.zeros(len(scores), dtype=torch.bool)
    for index in scores.argsort(descending=True):
        if left.shape[1] and left[index].max() >= min_iou:
            right[index] = True
            left[:, left[index].argmax()] = -1
    return right


def average_precision(scores: Tensor, is_right: Tensor, num_actual: int) -> float:
    """Compute the mean height of the precision-recall curve, as COCO does."""
    right = is_right[scores.argsort(descending=True)]  # [M]
    num_right = right.cumsum(0)  # [M]
    precision = num_right / torch.arange(1, len(right) + 1)
    heights = []
    for percent in range(101):
        reached = num_right * 100 >= percent * num_actual  # [M], in whole numbers, which nothing rounds
        heights.append(precision[reached].max().item() if reached.any() else 0.0)
    return sum(heights) / 101
