"""Exercises of chapter 22, "Pretraining from scratch".

Grade them with: pytest exercises/test_ch22_pretraining.py

Shapes: B targets, L location bins, R rows, T tokens.
"""

from torch import Tensor


def soft_targets(bins: Tensor, num_bins: int, sigma: float) -> Tensor:
    """Soft targets over location bins: a bell curve around the right bin instead of one-hot.

    Bin j gets exp(-(j - bin)² / (2 sigma²)), divided by the sum of these over all L bins. So
    each row sums to 1, even if the right bin is at an end and half of the bell is missing.

    Args:
        bins: the right bins, int64 [B], from 0 to num_bins - 1.
        num_bins: L.
        sigma: the width of the bell, in bins, above 0; it may be very small.

    Returns:
        float32 [B, L].
    """
    raise NotImplementedError


def learning_rate(
    step: int,
    num_steps: int,
    warmup_steps: int,
    peak: float,
    final: float,
) -> float:
    """The learning rate at a step: linear warm-up, then half a cosine down.

    During the warm-up, the rate at step i is peak * (i + 1) / warmup_steps, so the last step of
    the warm-up has the peak. Then it follows half a cosine from `peak`, at step `warmup_steps`,
    to `final`, at step `num_steps` (one after the last step).

    Args:
        step: from 0 to num_steps - 1.
        num_steps: the number of training steps, warm-up included.
        warmup_steps: at least 1, and less than num_steps.
        peak: the highest learning rate.
        final: the learning rate at the end; it is a rate, not a fraction of the peak.
    """
    raise NotImplementedError


def sampling_weights(sizes: list[int], temperature: float, limit: int) -> list[float]:
    """The sampling probability of each of several data sets.

    In this order:
    1. Limit each size to `limit`, so that a huge data set does not dominate.
    2. Raise each to the power 1 / temperature: 1 keeps the proportions, a high temperature
       makes them more equal.
    3. Divide by the sum.

    Example: sizes [100, 400, 10000], temperature 2, limit 900 -> 10 : 20 : 30, which is
    [1/6, 1/3, 1/2].

    Source: T5 (arXiv 1910.10683), section 3.5.2.
    """
    raise NotImplementedError


def mean_over_answers(losses: Tensor, counts: Tensor) -> Tensor:
    """A loss in which every answer has the same weight, however long it is.

    First take the mean over the tokens of each row that count, then the mean over the rows.
    Leave out a row in which no token counts.

    Args:
        losses: the loss of each token, float32 [R, T]; where a token does not count, the value
            is arbitrary, NaN and infinity included.
        counts: bool [R, T], True where a token counts; at least one is True.

    Returns:
        A float32 tensor with one number and no dimensions. Its gradient is finite.
    """
    raise NotImplementedError
