"""Exercises of chapter 23, "Making it fast".

Grade them with: pytest exercises/test_ch23_fast.py

Shapes: B batch, A heads, K key/value heads, G = A / K heads that share a key, S new tokens, T all tokens so far,
E head_dim, V vocabulary, R rows, I numbers in, O numbers out.
"""

from torch import Tensor

from vlm.config import GemmaConfig


def tokens_per_second_limit(config: GemmaConfig, bytes_per_weight: float, gigabytes_per_second: float) -> float:
    """Compute how many tokens a second a machine can write at most, one row at a time.

    For each token, every matrix of the language model is read once from memory, and nothing is faster than that. They
    are the four of the attention and the three of the MLP in each layer, and the head, [vocab_size, hidden_size]. The
    head is the embedding as well. Of the embedding one row is looked up; leave that out, and the norms too.

    Example: PaliGemma 3B (2 508 587 008 numbers in these matrices), 2 bytes per weight, 100 GB/s -> 19.93.

    Args:
        config: the sizes. num_attention_heads * head_dim need not be hidden_size.
        bytes_per_weight: 4 for float32, 2 for bfloat16, 1 for int8, 0.5 for four bits.
        gigabytes_per_second: how fast the memory is read; a gigabyte is 10**9 bytes.
    """
    raise NotImplementedError


def attend_grouped(query: Tensor, key: Tensor, value: Tensor, scaling: float, mask: Tensor | None) -> Tensor:
    """Attention in which heads share keys, and no key is copied for them.

    Heads that share a key become rows of one matrix, [B, K, G * S, E]: first the S rows of the first of these heads,
    then those of the next. Neighbours share: heads 0 to G - 1 use key head 0, the next G use key head 1. The result is
    what you get with each key repeated G times, but that much memory must not be asked for. The grader counts.

    You may use `vlm.attention.attention(query, key, value, scaling, mask)`, which gives the mixed values and the
    weights, but not torch's `scaled_dot_product_attention`.

    Args:
        query: [B, A, S, E].
        key, value: [B, K, T, E].
        scaling: factor for the scores.
        mask: [B, 1, S, T], added to the scores of every head; or None.

    Returns:
        The mixed values, [B, A, S, E].
    """
    raise NotImplementedError


class StaticCache:
    """Keep the keys and values of all layers in memory that never moves, so that a compiled step can write into it.

    All memory is asked for in `__init__`, float32, for `max_length` tokens; `write` asks for none. The grader counts.
    The cache does not count tokens. Where to write, and how far to read, it is told each time.

    Example: max_length 8. Places [0, 1, 2] with length 3, then places [3] with length 4; places [1, 2] with length 3
    then write over what was there. Place 3 is not read this time, and keeps what it has.
    """

    def __init__(self, num_layers: int, batch_size: int, num_key_value_heads: int, max_length: int, head_dim: int):
        """Set memory aside."""
        raise NotImplementedError

    def write(self, layer_idx: int, places: Tensor, key: Tensor, value: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Write keys and values of one layer at some places.

        Args:
            places: int64 [S], where each token goes: all different, in any order, each below max_length.
            key, value: [B, K, S, E]. Token s goes to place places[s], over what was there.
            length: T, how many places are read, counted from 0.

        Returns:
            The first `length` places of all keys and of all values of that layer: two tensors [B, K, T, E], not copies.
        """
        raise NotImplementedError


def next_token(logits: Tensor, ended: Tensor, eos_token_id: int, pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Choose the likeliest token of each row, in a way that can be compiled as one program.

    A row that has ended gets the pad token. A row ends when it says `<eos>`, which is written as it is, and it stays
    ended. The pad token in a row that has not ended is a token like any other.

    Python must not look at a number inside a tensor, as `if`, `int`, `.item()`, `.tolist()` and `.numpy()` do: the
    program would break there. The grader counts how often it does.

    Args:
        logits: scores of the next token, [B, V].
        ended: bool [B], which rows have said `<eos>` before. Leave it as it is.

    Returns:
        The tokens, int64 [B], and which rows have ended now, bool [B].
    """
    raise NotImplementedError


def quantize_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Round numbers to 8 bits, with one scale for each row.

        scale   = the largest magnitude of the row / 127
        rounded = values / scale, to the nearest whole number

    So the largest magnitude of a row becomes 127 or -127, and rounded * scale is nearly what it was. In a row of zeros
    every number becomes 0; its scale may be any number above 0.

    Example: [[-4, 1, 2]] -> [[-127, 32, 64]], scale [[0.0315]].

    Args:
        values: float32 [R, I].

    Returns:
        The rounded numbers, int8 [R, I], and the scales, float32 [R, 1].
    """
    raise NotImplementedError


def int8_linear(hidden_states: Tensor, weight: Tensor) -> Tensor:
    """Multiply by a matrix in whole numbers: `hidden_states @ weight^T`, nearly.

    Round both by rows, as in `quantize_rows`, which you may use: each token's vector has a scale, and each row of the
    matrix. Multiply the rounded numbers, and add the products up as they are: int8 is too small for that. Then multiply
    entry [r, o] by the scale of token r and by the scale of row o. All error comes from the two roundings.

    Args:
        hidden_states: float32 [R, I]; a row of zeros may be among them.
        weight: float32 [O, I]; the same.

    Returns:
        float32 [R, O].
    """
    raise NotImplementedError
