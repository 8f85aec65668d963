"""Exercises of chapter 20, "Evaluating a VLM".

Grade them with: pytest exercises/test_ch20_evaluation.py

Shapes: M images or answers, C columns, R bootstrap draws.
"""

from collections.abc import Callable

from torch import Tensor


def normalize(answer: str) -> str:
    """Remove from an answer what should not matter in a comparison.

    In this order:
    1. Convert to lower case.
    2. Remove every comma between two digits: "1,000" -> "1000".
    3. Replace all other punctuation by a space, that is, every character that is not a letter,
       a digit, whitespace, an apostrophe or an underscore. A period between two digits stays:
       "2.5".
    4. Word by word (words are separated by whitespace): drop "a", "an" and "the", and write the
       numbers "zero" to "ten" as digits.
    5. Join the words with single spaces.

    Example: "  Two cats, on the grass. " -> "2 cats on grass"
    """
    raise NotImplementedError


def vqa_score(answer: str, human_answers: list[str]) -> float:
    """VQA accuracy: the score of an answer against the answers of several people.

    For each person in turn, leave that person out and count how many of the *others* gave this
    answer: the score is a third for each, and at most 1. The result is the mean over all
    people. All answers are already normalized; compare them as they are.

    Example: if one of ten people agrees the result is 0.3; if two agree, 0.6; if four agree, 1.

    Args:
        answer: the model's answer.
        human_answers: one answer per person, at least two.

    Source: VQA (arXiv 1505.00468), section 3, and its evaluation code.
    """
    raise NotImplementedError


def precision_and_recall(counts: Tensor) -> tuple[float, float]:
    """Precision and recall over many images, in which every box counts equally.

    Precision is the fraction of the predicted boxes that are right, recall the fraction of the
    objects that were found. Without any predicted box in any image, precision is 1; without any
    object in any image, recall is 1.

    Args:
        counts: int64 [M, 3], for each image: right boxes (objects found), predicted boxes,
            objects.
    """
    raise NotImplementedError


def interval_from_draws(
    rows: Tensor,
    picks: Tensor,
    statistic: Callable[[Tensor], float],
    confidence: float,
) -> tuple[float, float]:
    """A bootstrap confidence interval, computed from given draws.

    For each draw, take the rows that it picks (some several times, some not at all) and compute
    the statistic. The interval contains the middle fraction `confidence` of the R results;
    equally many are cut off below and above. Interpolate quantiles linearly between results, as
    `torch.quantile` does.

    Args:
        rows: float32 [M, C], one row per image.
        picks: int64 [R, M], row indices from 0, one row of `picks` per draw.
        statistic: maps rows [M, C] to a number.
        confidence: such as 0.95.

    Returns:
        The lower and the upper end.
    """
    raise NotImplementedError


def paired_interval(
    results: Tensor,
    other_results: Tensor,
    picks: Tensor,
    confidence: float,
) -> tuple[float, float]:
    """A bootstrap interval for the difference of two models, evaluated on the same images.

    For each draw, the difference is the mean of `results` minus the mean of `other_results`,
    both over the images of this draw.

    Args:
        results: one model's result on each image, float32 [M].
        other_results: the other model's results on the same images, float32 [M].
        picks: int64 [R, M], image indices from 0, one row of `picks` per draw.
        confidence: such as 0.95; the quantiles are those of `interval_from_draws`.

    Returns:
        The lower and the upper end.
    """
    raise NotImplementedError


def calibration_error(confidences: Tensor, is_right: Tensor, num_bins: int) -> float:
    """The expected calibration error (ECE).

    Sort the answers by confidence into L bins of equal width: from 0 to 1/L, above 1/L to 2/L,
    and so on. (Each upper edge belongs to its bin, and 0 to the first bin.) In each bin, the
    gap is the absolute difference of the mean confidence and the fraction of right answers. The
    error is the mean of the gaps, weighted by the number of answers in each bin.

    Args:
        confidences: float32 [M], from 0 to 1.
        is_right: bool [M].
        num_bins: L.

    Source: Guo et al. (arXiv 1706.04599), equation 3.
    """
    raise NotImplementedError
