"""Exercises of chapter 17, "Where is it, exactly?".

Grade them with: pytest exercises/test_ch17_boxes.py

Shapes: M boxes that were drawn, J objects that are there.
"""

from torch import Tensor


def write_box(box: list[float], height: int, width: int) -> str:
    """Write a box as PaliGemma does, in four words.

    The words are y_min, x_min, y_max, x_max. Each is a part of the picture's side, in 1,023 steps, rounded to the
    nearest mark and written with four digits: "<loc0000>" to "<loc1023>". What lies outside the picture goes to its
    edge.

    Example: (25, 0, 50, 200) in a picture 100 high and 200 wide -> "<loc0256><loc0000><loc0512><loc1023>", since
    0.25 * 1023 = 255.75, and 0.5 * 1023 = 511.5 is rounded to an even number by Python (any tie may go either way).

    Args:
        box: y_min, x_min, y_max, x_max, in pixels.
        height, width: of the picture, in pixels.
    """
    raise NotImplementedError


def read_answer(text: str, height: int, width: int) -> list[tuple[str, list[float]]]:
    """Read the boxes of an answer, and leave out what is none.

    An answer is a list of items: a run of location tokens ("<loc", digits, ">"), directly one after the other, then a
    name, which may be missing, and which ends at the next ";" or at the next location token. An item counts only if its
    run has exactly four tokens, all of them from "<loc0000>" to "<loc1023>" (four digits: "<loc999>" spoils the run
    that it is in), with y_max > y_min and x_max > x_min. One bad item does not disturb the others. Text that stands
    before the run of an item is left out, and so are items without a run.

    Example, 1023 high and 2046 wide:
        "<loc0010><loc0020><loc0030><loc0040> cat ; <loc0001><loc0002> dog" -> [("cat", [10.0, 40.0, 30.0, 80.0])]

    Returns:
        For each box its name, without spaces around it ("" if it has none), and y_min, x_min, y_max, x_max in pixels.
    """
    raise NotImplementedError


def iou_matrix(boxes: Tensor, others: Tensor) -> Tensor:
    """Compute the IoU of each box with each other box, without a loop.

    The area that two boxes share, divided by the area that they cover together. 0 where they share nothing, and 0 where
    either is empty (also where both are: 0 / 0 is not an answer). A box with y_max <= y_min or x_max <= x_min is empty:
    its area is 0, not negative.

    Args:
        boxes: float32 [M, 4], each y_min, x_min, y_max, x_max.
        others: float32 [J, 4].

    Returns:
        float32 [M, J].
    """
    raise NotImplementedError


def find_right(ious: Tensor, scores: Tensor, min_iou: float) -> Tensor:
    """Say which boxes are right, when the surest may choose first.

    The box with the highest score takes the object with which it has the highest IoU, if that is at least `min_iou`.
    Then the next box chooses among the objects that nobody has taken, and so on. A box that took an object is right.

    Args:
        ious: [M, J], of each box with each object.
        scores: [M], all different, in any order.
        min_iou: the least IoU that counts.

    Returns:
        bool [M], in the order of the rows of `ious`.
    """
    raise NotImplementedError


def average_precision(scores: Tensor, is_right: Tensor, num_actual: int) -> float:
    """Compute the mean height of the precision-recall curve, as COCO does.

    Sort by score, the surest first. After each box: precision is the part of the boxes so far that are right, recall
    the part of the `num_actual` objects found so far. The curve's height at a recall r is the best precision at any
    place whose recall is r or more, and 0 if there is none. The result is the mean height at r = 0, 0.01, 0.02, ... 1.

    Example: right, wrong, right, of 2 objects -> (51 * 1 + 50 * 2/3) / 101 = 0.835.

    Args:
        scores: [M], all different, in any order.
        is_right: bool [M].
        num_actual: at least 1, and at least as many as there are right boxes.
    """
    raise NotImplementedError
