"""Exercises of chapter 12, "How do you answer many questions at once?".

Grade them with: pytest exercises/test_ch12_batches.py

Shapes: B rows, S tokens of the longest row, T all tokens so far, V vocabulary.
"""

from collections.abc import Callable

from torch import Tensor


def pad_left(rows: list[list[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Make a batch of rows of different lengths: padding in front, so that all rows end in the last column.

    Example: [[7, 8, 9], [5]] with pad 0 -> ids [[7, 8, 9], [0, 0, 5]], mask [[1, 1, 1], [0, 0, 1]].

    Args:
        rows: token ids. A row may have the pad token among its own, as a real token.

    Returns:
        input_ids, int64 [B, S], S the length of the longest row; attention_mask, int64 [B, S], 1 for a real token.
    """
    raise NotImplementedError


def count_positions(attention_mask: Tensor, num_new: int) -> Tensor:
    """Positions of the newest tokens: the real tokens of each row are counted.

    It is called for the prompt, with num_new = T, and then for each new token, with a mask that is one column longer
    and num_new = 1. A token's position must be one more than that of the real token before it in its row, in all of
    these calls taken together. Where a row begins to count is up to you. What padding gets does not matter.

    Example: mask [[0, 0, 1, 1], [1, 1, 1, 1]], num_new 4 -> [[·, ·, 1, 2], [1, 2, 3, 4]]; then mask [[0, 0, 1, 1, 1],
    [1, 1, 1, 1, 1]], num_new 1 -> [[3], [5]].

    Args:
        attention_mask: [B, T], 1 for a real token. Padding may stand on either side of a prompt.
        num_new: how many of the last columns are wanted.

    Returns:
        int64 [B, num_new].
    """
    raise NotImplementedError


def last_real_logits(logits: Tensor, attention_mask: Tensor) -> Tensor:
    """The scores from which the next token of each row is chosen: those at its last real token.

    Args:
        logits: [B, S, V].
        attention_mask: [B, S]. Padding may stand on the left in some rows and on the right in others.

    Returns:
        [B, V].
    """
    raise NotImplementedError


def masked_softmax(scores: Tensor, visible: Tensor) -> Tensor:
    """Softmax over what is visible; the rest gets the weight 0.

    A row of which nothing is visible has nothing to look at: all its weights are 0. There is no nan anywhere.

    Args:
        scores: float32 or float16, [..., Q, S].
        visible: bool, of the same shape.

    Returns:
        Weights of the same shape and dtype.
    """
    raise NotImplementedError


def generate_batch(
    next_logits: Callable[[Tensor, Tensor], Tensor],
    input_ids: Tensor,
    attention_mask: Tensor,
    max_new_tokens: int,
    eos_token_id: int,
    pad_token_id: int,
) -> Tensor:
    """Write the likeliest tokens of all rows, side by side.

    A row that has said `<eos>` gets the pad token from then on. When all rows have said it, the loop ends at once; at
    the latest it ends after max_new_tokens.

    Args:
        next_logits: called with all ids so far and their mask, both [B, T], it gives the scores of the next token of
            each row, [B, V]. Each call costs time. New tokens are real: their mask is 1, in a row that has ended too.
        input_ids: [B, S], padded on the left.
        attention_mask: [B, S].

    Returns:
        The new tokens, [B, n]: each row with its `<eos>`, if it came to it, and padding after it; n is the number of
        calls.
    """
    raise NotImplementedError
