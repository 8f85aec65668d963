"""Exercises of chapter 23, "Fast inference".

Grade them with: pytest exercises/test_ch23_fast.py

Shapes: B batch, A query heads, K key/value heads, G = A / K query heads per key/value head,
S new tokens, T tokens so far, E head_dim, V vocabulary size, R rows, I input size, O output
size.
"""

from torch import Tensor

from vlm.config import GemmaConfig


def tokens_per_second_limit(
    config: GemmaConfig,
    bytes_per_weight: float,
    gigabytes_per_second: float,
) -> float:
    """The limit that memory bandwidth sets on decoding one row, in tokens per second.

    For each token, every matrix of the language model is read from memory once, and everything
    else takes no time. The matrices are, in each layer, the four of the attention (query, key,
    value and output projection) and the three of the MLP (gate, up and down), and the head,
    [vocab_size, hidden_size]. The head is tied to the embedding; the embedding lookup reads
    only one row, so leave it out, and the norms too.

    Example: PaliGemma 3B (2,508,587,008 numbers in these matrices), 2 bytes per weight, 100
    GB/s
        -> 19.93.

    Args:
        config: the sizes. num_attention_heads * head_dim need not equal hidden_size.
        bytes_per_weight: 4 for float32, 2 for bfloat16, 1 for int8, 0.5 for 4 bits.
        gigabytes_per_second: the memory bandwidth; a gigabyte is 10**9 bytes.
    """
    raise NotImplementedError


def attend_grouped(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float,
    mask: Tensor | None,
) -> Tensor:
    """Grouped-query attention without copying keys or values for the heads that share them.

    Query heads 0 to G - 1 share key/value head 0, the next G share head 1, and so on. Query
    heads that share a key/value head become rows of one matrix, [B, K, G * S, E]: first the S
    tokens of the first of these heads, then those of the next. The result is the same as if
    each key/value head were repeated G times, but that much memory must not be allocated. The
    grader measures it.

    You may use `vlm.attention.attention(query, key, value, scaling, mask)`, which returns the
    weighted sums of the values and the attention weights, but not torch's
    `scaled_dot_product_attention`.

    Args:
        query: [B, A, S, E].
        key, value: [B, K, T, E].
        scaling: the factor of the scores.
        mask: added to the scores of every head, [B, 1, S, T]; or None.

    Returns:
        The weighted sums of the values, [B, A, S, E].
    """
    raise NotImplementedError


class StaticCache:
    """A preallocated KV cache that never moves in memory, so a compiled step can use it.

    `__init__` allocates all memory, in float32, for `max_length` tokens; `write` allocates
    none. The grader measures both. The cache does not count tokens: each call says which slots
    to write and how far to read.

    Example with max_length 8: slots [0, 1, 2] with length 3, then slots [3] with length 4. If a
    third call writes slots [1, 2] with length 3, it overwrites what was there; slot 3 is not
    read this time, but keeps its content.
    """

    def __init__(
        self,
        num_layers: int,
        batch_size: int,
        num_key_value_heads: int,
        max_length: int,
        head_dim: int,
    ):
        """Allocate the memory."""
        raise NotImplementedError

    def write(
        self,
        layer_idx: int,
        slots: Tensor,
        key: Tensor,
        value: Tensor,
        length: int,
    ) -> tuple[Tensor, Tensor]:
        """Write the keys and values of some tokens in one layer.

        Args:
            slots: int64 [S], the slot of each token: all different, in any order, all below
                max_length.
            key, value: [B, K, S, E]. Token s overwrites slot slots[s].
            length: T, the number of slots to read, counted from slot 0.

        Returns:
            The first `length` slots of all keys, and of all values, of this layer: two tensors
            [B, K, T, E], views, not copies.
        """
        raise NotImplementedError


def next_token(
    logits: Tensor,
    ended: Tensor,
    eos_token_id: int,
    pad_token_id: int,
) -> tuple[Tensor, Tensor]:
    """Greedy choice of the next token of each row, without a graph break if compiled.

    A row that ended earlier gets the pad token. A row ends when its token is `<eos>`, which is
    returned as it is, and stays ended. The pad token in a row that has not ended is an ordinary
    token.

    Python must not need a value inside a tensor, as `if`, `int`, `.item()`, `.tolist()` and
    `.numpy()` do: the compiled graph would break there. The grader counts how often that
    happens.

    Args:
        logits: of the next token, [B, V].
        ended: bool [B], which rows have ended earlier. Do not change it in place.

    Returns:
        The tokens, int64 [B], and which rows have ended now, bool [B].
    """
    raise NotImplementedError


def quantize_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Quantize a matrix to int8, with one scale per row.

        scale   = the row's largest absolute value / 127
        rounded = values / scale, rounded to the nearest integer

    So the largest absolute value of a row becomes 127 or -127, and rounded * scale is close to
    the original value. In a row of zeros every number becomes 0; its scale may be any number
    above 0.

    Example: [[-4, 1, 2]] -> [[-127, 32, 64]], scale [[0.0315]].

    Args:
        values: float32 [R, I].

    Returns:
        The rounded numbers, int8 [R, I], and the scales, float32 [R, 1].
    """
    raise NotImplementedError


def int8_linear(hidden_states: Tensor, weight: Tensor) -> Tensor:
    """Multiply by a matrix in integers: approximately `hidden_states @ weight.T`.

    Quantize both by rows, as in `quantize_rows`, which you may use: there is a scale for each
    token's vector and for each row of the matrix. Multiply and sum the rounded numbers exactly
    (int8 is too small for that). Then multiply entry [r, o] by the scale of token r and by the
    scale of row o. The only error is that of the two roundings.

    Args:
        hidden_states: float32 [R, I]; rows may be all zeros.
        weight: float32 [O, I]; likewise.

    Returns:
        float32 [R, O].
    """
    raise NotImplementedError
