"""Exercises of chapter 12, "Batched generation".

Grade them with: pytest exercises/test_ch12_batches.py

Shapes: B rows, S tokens in the longest prompt, T tokens so far, V vocabulary size.
"""

from collections.abc import Callable

from torch import Tensor


def pad_left(rows: list[list[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Make a batch of rows of different lengths by padding on the left.

    All rows then end in the last column, so the next tokens of all rows go into the same
    column.

    Example: [[7, 8, 9], [5]] with pad token 0
        -> input_ids [[7, 8, 9], [0, 0, 5]], attention_mask [[1, 1, 1], [0, 0, 1]].

    Args:
        rows: token ids. A row may contain the pad token as a real token; its mask is 1 there.

    Returns:
        input_ids, int64 [B, S], where S is the length of the longest row;
        attention_mask, int64 [B, S]: 1 for a real token, 0 for padding.
    """
    raise NotImplementedError


def count_positions(attention_mask: Tensor, num_new: int) -> Tensor:
    """Position ids of the newest tokens: each row counts its own real tokens.

    It is called once for the prompt, with num_new = T, and then once for each new token, with a
    mask that is one column longer and num_new = 1. Taken over all of these calls, the position
    of a real token must be one more than that of the real token before it in its row. The
    position of a row's first real token is up to you, and so are the positions of padding.

    Example: mask [[0, 0, 1, 1], [1, 1, 1, 1]], num_new 4 -> [[·, ·, 1, 2], [1, 2, 3, 4]];
        then mask [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], num_new 1 -> [[3], [5]].

    Args:
        attention_mask: [B, T], 1 for a real token. A prompt may be padded on either side or
            both.
        num_new: the number of columns, counted from the right, whose positions are returned.

    Returns:
        int64 [B, num_new].
    """
    raise NotImplementedError


def last_real_logits(logits: Tensor, attention_mask: Tensor) -> Tensor:
    """The logits that predict each row's next token: those at its last real token.

    Args:
        logits: [B, S, V].
        attention_mask: [B, S], 1 for a real token. Some rows may be padded on the left, others
            on the right. Each row has at least one real token.

    Returns:
        [B, V].
    """
    raise NotImplementedError


def masked_softmax(scores: Tensor, visible: Tensor) -> Tensor:
    """Softmax over the visible entries of the last axis; hidden entries get weight 0.

    Where no entry of a row is visible, all its weights are 0. The result never contains NaN,
    however large or small the scores are.

    Args:
        scores: attention scores, float32 or float16, [..., Q, S].
        visible: bool, same shape: True where the query may attend to the key.

    Returns:
        The attention weights, same shape and dtype as scores.
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
    """Greedy decoding of all rows in parallel: each step appends every row's argmax token.

    Once a row has generated `<eos>`, it gets the pad token at every later step. Stop as soon as
    all rows have generated `<eos>`, and after max_new_tokens steps at the latest. An `<eos>` in
    the prompt, or a pad token that the model generates, does not end a row.

    Args:
        next_logits: takes all token ids so far and their attention mask, both [B, T], and
            returns the logits of each row's next token, [B, V]. Each call costs time. The mask
            of every new token is 1, also in a row that has ended.
        input_ids: the prompts, [B, S], padded on the left.
        attention_mask: their mask, [B, S], 1 for a real token.

    Returns:
        The new tokens alone, [B, n], where n is the number of calls: each row up to and
        including its `<eos>`, if it has one, then padding.
    """
    raise NotImplementedError
