"""Exercises of chapter 20, "Is it any good?".

Grade them with: pytest exercises/test_ch20_evaluation.py

Shapes: M pictures or answers, R resampled sets.
"""

from collections.abc import Callable

from torch import Tensor


def normalize(answer: str) -> str:
    """Take out of an answer what does not matter.

    In this order: make it lower case. Take out a comma between two digits ("1,000" -> "1000"). Every other mark becomes
    a space: all that is no letter, no digit, no space, no apostrophe and no underscore, but for a point between two
    digits ("2.5" stays). Then go word by word: leave out "a", "an" and "the"; write "zero" to "ten" as digits. The
    words are joined by single spaces.

    Example: "  Two cats, on the grass. " -> "2 cats on grass"
    """
    raise NotImplementedError


def vqa_score(answer: str, human_answers: list[str]) -> float:
    """Score an answer against those of several people.

    For each person: of the *others*, count those who gave this answer; the score is a third for each of them, and 1 at
    most. The result is the mean over all persons. The answers are normalised already: compare them as they are.

    Example: one of ten people agrees -> 0.3; two -> 0.6; four -> 1.

    Args:
        human_answers: at least two.

    Source: VQA (arXiv 1505.00468), section 3, and its evaluation code.
    """
    raise NotImplementedError


def precision_and_recall(counts: Tensor) -> tuple[float, float]:
    """Compute precision and recall of many pictures, in which each box counts alike.

    Precision is the part of the drawn boxes that are right, recall the part of the objects that were found. If no box
    was drawn in any picture the precision is 1; if no object is in any picture the recall is 1.

    Args:
        counts: int64 [M, 3]: right boxes, drawn boxes, objects, of each picture.
    """
    raise NotImplementedError


def interval(
    rows: Tensor, picks: Tensor, statistic: Callable[[Tensor], float], confidence: float
) -> tuple[float, float]:
    """Compute a bootstrap interval from given draws.

    For each draw take the rows that it picks (some several times, some not at all), all columns together, and compute
    the statistic. The interval holds the middle part of the results, `confidence` of them: as much is cut off below as
    above. Between two results a quantile is interpolated, as `torch.quantile` does.

    Args:
        rows: float32 [M, C], a row for each picture.
        picks: int64 [R, M], numbers of rows, from 0.
        statistic: from rows [M, C] to a number.
        confidence: such as 0.95.
    """
    raise NotImplementedError


def paired_interval(results: Tensor, other_results: Tensor, picks: Tensor, confidence: float) -> tuple[float, float]:
    """Compute a bootstrap interval of the difference of two models that saw the same pictures.

    The difference is the mean of `results` minus the mean of `other_results`, on the pictures of a draw.

    Args:
        results: float32 [M], of one model on each picture.
        other_results: float32 [M], of the other model on the same pictures.
        picks: int64 [R, M], numbers of pictures, from 0.
        confidence: such as 0.95; cut off and interpolate as in `interval`.
    """
    raise NotImplementedError


def calibration_error(confidences: Tensor, is_right: Tensor, num_bins: int) -> float:
    """Compute the expected calibration error.

    Sort the answers into bins of equal width: from 0 to 1/L, above 1/L to 2/L, and so on. (0 is in the first, and each
    upper end belongs to its bin.) In each bin take the mean confidence and the part of the answers that are right. The
    error is the mean over all *answers* of how far these two are apart.

    Args:
        confidences: float32 [M], 0..1.
        is_right: bool [M].
        num_bins: L.

    Source: Guo et al. (arXiv 1706.04599), equation 3.
    """
    raise NotImplementedError
