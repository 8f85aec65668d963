"""Exercises of chapter 10, "Sampling from logits with temperature and top-p".

Grade: pytest exercises/test_ch10_sampling.py

Shapes: B batch, V vocabulary size.
"""

from collections.abc import Callable

from torch import Tensor


def token_probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Convert logits to probabilities at a given temperature.

    Divide the logits by the temperature, then apply softmax over the vocabulary. At
    temperature 0 the formula is undefined; by convention, the most likely token (argmax) gets
    probability 1, and all others get 0. Ties at temperature 0 are not graded. Logits may be as
    large as 150: the probabilities must stay finite.

    Example: the logits [0, ln 3] give [0.25, 0.75] at temperature 1, [0.1, 0.9] at 0.5, and
    [0, 1] at 0.

    Args:
        logits: float32 [B, V].
        temperature: 0 or more.

    Returns:
        float32 [B, V]; each row sums to 1.
    """
    raise NotImplementedError


def filter_top_p(probabilities: Tensor, top_p: float) -> Tensor:
    """Keep the most likely tokens whose probabilities add up to top_p, and renormalize.

    Go through the tokens from the most likely to the least likely, and stop as soon as the sum
    of their probabilities is top_p or more. Keep these tokens, including the last one. All
    other tokens get probability 0. Divide the kept probabilities by their sum.

    Example: for [0.25, 0.5, 0.15625, 0.09375], top_p = 0.75 keeps the first two tokens and
    gives [1/3, 2/3, 0, 0]; top_p = 0.8 keeps three tokens; top_p = 0.1 keeps only the second.

    Args:
        probabilities: [B, V], in the order of the vocabulary; each row sums to 1.
        top_p: above 0, at most 1.

    Returns:
        [B, V], in the order of the vocabulary; each row sums to 1.

    Source: "The Curious Case of Neural Text Degeneration" (arXiv 1904.09751), section 3.1.
    """
    raise NotImplementedError


def draw_tokens(probabilities: Tensor, draws: Tensor) -> Tensor:
    """Choose a token for each row by a uniform random number (inverse transform sampling).

    Lay the tokens of a row end to end, in the order of the vocabulary, each as wide as its
    probability: they cover the line from 0 to 1. The chosen token is the one on which the
    random number of the row falls. On the border between two tokens, it is the one to the
    right. A token with probability 0 has no width, so it is never chosen.

    Because of rounding, the probabilities may add up to slightly less than 1 in float32. A
    number beyond their sum falls on the last token whose probability is not 0.

    Example: with [0.2, 0, 0.5, 0.3], 0.1 gives token 0, 0.2 and 0.6 give token 2, and 0.7 and
    0.9 give token 3.

    Args:
        probabilities: [B, V]; each row sums to 1, up to rounding.
        draws: [B], one random number for each row, at least 0 and below 1.

    Returns:
        Token ids, int64 [B].
    """
    raise NotImplementedError


def generate_greedy(
    next_logits: Callable[[list[int]], Tensor],
    input_ids: list[int],
    max_new_tokens: int,
    eos_token_id: int,
) -> list[int]:
    """Generate the most likely tokens, until `<eos>` or until there are `max_new_tokens`.

    Args:
        next_logits: takes a list of token ids, and returns the logits [V] of the token that
            follows them. Each call runs the model: make no more calls than needed.
        input_ids: the prompt. It may contain any ids, `<eos>` included. Do not modify it.
        max_new_tokens: the maximum number of tokens to generate, at least 1.
        eos_token_id: the id of `<eos>`. When the model generates it, stop; it is not part of
            the answer.

    Returns:
        The new tokens, without the prompt and without `<eos>`.
    """
    raise NotImplementedError
