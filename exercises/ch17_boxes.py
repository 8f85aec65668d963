"""Exercises of chapter 17, "Object detection as text".

Grade them with: pytest exercises/test_ch17_boxes.py

Shapes: M predicted boxes, J actual objects.
"""

from torch import Tensor


def write_box(box: list[float], height: int, width: int) -> str:
    """Write a box as PaliGemma does, as four location tokens.

    The tokens are y_min, x_min, y_max, x_max. Each is a fraction of the image's height or
    width, in 1,023 steps: multiplied by 1023, rounded to the nearest bin and written with four
    digits, from "<loc0000>" to "<loc1023>". Clip coordinates outside the image to its edges.

    Example: (25, 0, 50, 200) in an image of height 100 and width 200
        -> "<loc0256><loc0000><loc0512><loc1023>".
    0.25 * 1023 = 255.75 is rounded to 256. 0.5 * 1023 = 511.5 is a tie, which Python's `round`
    rounds to the even number 512; you may round ties either way.

    Args:
        box: y_min, x_min, y_max, x_max, in pixels.
        height, width: of the image, in pixels.
    """
    raise NotImplementedError


def read_answer(text: str, height: int, width: int) -> list[tuple[str, list[float]]]:
    """Parse the boxes in an answer, and skip every invalid item.

    An answer is a list of items. An item is a run of location tokens ("<loc", digits, ">"), one
    directly after the other, followed by a name. The name may be empty; it ends at the next ";"
    or at the next location token. An item is valid if its run has exactly four tokens, all of
    them from "<loc0000>" to "<loc1023>", with y_max > y_min and x_max > x_min. A token with
    more or fewer than four digits, such as "<loc999>", belongs to the run and makes the item
    invalid. An invalid item does not affect the others. Ignore text before the run of an item,
    and items without a run.

    Example, for an image of height 1023 and width 2046:
        "<loc0010><loc0020><loc0030><loc0040> cat ; <loc0001><loc0002> dog"
        -> [("cat", [10.0, 40.0, 30.0, 80.0])]

    Returns:
        For each valid item its name, without spaces around it, and its box: y_min, x_min,
        y_max, x_max in pixels, not rounded. Bin 1023 is the image's edge.
    """
    raise NotImplementedError


def iou_matrix(boxes: Tensor, others: Tensor) -> Tensor:
    """The IoU (intersection over union) of every box with every other box, without a loop.

    The area that two boxes share, divided by the area that they cover together. It is 0 if they
    share nothing or if either of them is empty (also if both are, where the formula gives 0 /
    0). A box with y_max <= y_min or x_max <= x_min is empty: its area is 0, not negative.

    Args:
        boxes: float32 [M, 4], each y_min, x_min, y_max, x_max.
        others: float32 [J, 4].

    Returns:
        float32 [M, J].
    """
    raise NotImplementedError


def match_by_confidence(ious: Tensor, scores: Tensor, min_iou: float) -> Tensor:
    """Match predicted boxes to objects greedily, in order of confidence.

    The most confident box is matched to the object with which it has the highest IoU, if that
    IoU is at least `min_iou`. Then the next box chooses among the objects that are still free,
    and so on. A box that is matched is a true positive.

    Args:
        ious: the IoU of each box with each object, [M, J].
        scores: the confidence of each box, [M]; all different, in any order.
        min_iou: the lowest IoU that counts as a match.

    Returns:
        bool [M], in the order of the rows of `ious`.
    """
    raise NotImplementedError


def average_precision(scores: Tensor, is_right: Tensor, num_actual: int) -> float:
    """Average precision as COCO computes it: the mean height of the precision-recall curve.

    Sort the boxes by score, the most confident first. After each box, precision is the fraction
    of the boxes so far that are right, and recall the fraction of the `num_actual` objects
    found so far. The curve's height at recall r is the highest precision at any point of the
    list whose recall is at least r, and 0 if there is none. Average the heights at the 101
    recalls r = 0, 0.01, 0.02, ..., 1.

    Example: right, wrong, right, with 2 objects -> (51 * 1 + 50 * 2/3) / 101 = 0.835.

    Args:
        scores: the confidence of each box, [M]; all different, in any order.
        is_right: whether each box is a true positive, bool [M].
        num_actual: the number of objects; at least 1, and at least the number of right boxes.
    """
    raise NotImplementedError
