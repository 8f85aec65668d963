"""Exercises of chapter 10, "Which word comes next?".

Grade them with: pytest exercises/test_ch10_sampling.py

Shapes: B batch, V vocabulary.
"""

from collections.abc import Callable

from torch import Tensor


def token_probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Turn scores into probabilities, at some temperature.

    The scores are divided by the temperature, and softmax makes probabilities of them. At temperature 0 the likeliest
    token has the probability 1, and all others 0: that is what smaller and smaller temperatures lead to.

    Example: scores [0, ln 3] -> [0.25, 0.75] at temperature 1, [0.1, 0.9] at 0.5, [0, 1] at 0.

    Args:
        logits: float32 [B, V].
        temperature: 0 or more.

    Returns:
        float32 [B, V]; each row sums to 1.
    """
    raise NotImplementedError


def filter_top_p(probabilities: Tensor, top_p: float) -> Tensor:
    """Keep the likeliest tokens that together reach top_p, and share the probability among them.

    Go through the tokens from the likeliest down, and stop as soon as what you have sums to top_p or more. The token
    that gets you there is kept. All others get the probability 0. What is left is divided by its sum.

    Example: [0.25, 0.5, 0.15625, 0.09375] with top_p 0.75 keeps the first two, and gives [1/3, 2/3, 0, 0]; with 0.8 it
    keeps three; with 0.1 only the second.

    Args:
        probabilities: [B, V], in the order of the vocabulary; rows sum to 1.
        top_p: above 0, and 1 at most.

    Returns:
        [B, V] in the same order; rows sum to 1.

    Source: "The Curious Case of Neural Text Degeneration" (arXiv 1904.09751), section 3.1.
    """
    raise NotImplementedError


def draw_tokens(probabilities: Tensor, draws: Tensor) -> Tensor:
    """Choose a token for each row by a random number.

    Lay the tokens of a row side by side, in the order of the vocabulary, each as wide as it is probable. They fill the
    line from 0 to 1. The token is the one on which the row's number falls. A token of probability 0 has no width, so it
    is never chosen.

    Sums of float32 are rounded, and may end a little below 1. A number beyond the end falls on the last token with a
    width.

    Example: [0.2, 0, 0.5, 0.3] -> 0.1 gives token 0, 0.2 and 0.6 give token 2, 0.7 and 0.9 give token 3.

    Args:
        probabilities: [B, V], rows sum to 1.
        draws: [B], each at least 0 and below 1.

    Returns:
        Token ids, int64 [B].
    """
    raise NotImplementedError


def generate_greedy(
    next_logits: Callable[[list[int]], Tensor], input_ids: list[int], max_new_tokens: int, eos_token_id: int
) -> list[int]:
    """Write the likeliest tokens, until the model says `<eos>` or there are `max_new_tokens`.

    Args:
        next_logits: gives the scores [V] of the token that comes after the ids it is called with. Each call costs time:
            make no more of them than you need.
        input_ids: the prompt. It may have any ids in it, and it stays as it is.
        max_new_tokens: the most tokens to write, at least 1.
        eos_token_id: ends the answer, and is not part of it.

    Returns:
        The new tokens, without the prompt and without `<eos>`.
    """
    raise NotImplementedError
