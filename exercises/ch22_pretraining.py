"""Exercises of chapter 22, "Where did it come from?".

Grade them with: pytest exercises/test_ch22_pretraining.py

Shapes: B targets, L marks on a ruler, R rows, T tokens.
"""

from torch import Tensor


def soft_targets(marks: Tensor, num_marks: int, sigma: float) -> Tensor:
    """Make soft targets on a ruler: how much each mark counts as right when one of them is.

    A bell around the right mark: mark j gets e to the power of -(j - mark)² / (2 sigma²), divided by the sum of these
    over the whole ruler. So each row sums to 1, at the ends of the ruler too.

    Args:
        marks: int64 [B], the right marks, 0 to num_marks - 1.
        num_marks: L.
        sigma: the width of the bell, in marks, above 0; it may be very small.

    Returns:
        float32 [B, L].
    """
    raise NotImplementedError


def learning_rate(step: int, num_steps: int, warmup_steps: int, peak: float, final: float) -> float:
    """Compute the learning rate of a step: a straight rise, then half a cosine down.

    In the rise, the rate of step i is peak * (i + 1) / warmup_steps, so that the last step of the warm-up has the peak.
    After it the rate goes along half a cosine from `peak`, at step `warmup_steps`, to `final`, at step `num_steps` (one
    after the last).

    Args:
        step: from 0 to num_steps - 1.
        warmup_steps: 1 or more, and less than num_steps.
    """
    raise NotImplementedError


def mixture(sizes: list[int], temperature: float, limit: int) -> list[float]:
    """Compute how often each of several data sets is drawn from.

    In proportion to its size, but a size above `limit` counts as `limit`, so that a giant does not drown the others.
    Then each share is raised to the power 1 / temperature, and all are divided by their sum: at temperature 1 they stay
    as they are, at a high one they become alike.

    Example: sizes [100, 400, 10000], temperature 2, limit 900 -> 10 : 20 : 30, which is [1/6, 1/3, 1/2].

    Source: T5 (arXiv 1910.10683), section 3.5.2.
    """
    raise NotImplementedError


def answers_alike(surprises: Tensor, counts: Tensor) -> Tensor:
    """Compute a loss in which each answer counts alike, however long it is.

    The mean over the tokens of each row that count, and then the mean over the rows. A row in which none counts is left
    out.

    Args:
        surprises: float32 [R, T]; where a token does not count there may be anything, also nan or infinity.
        counts: bool [R, T]; at least one is true.

    Returns:
        One number, a float32 tensor without dimensions.
    """
    raise NotImplementedError
