"""Exercises of chapter 8, "Grouped-query attention".

Grade: pytest exercises/test_ch08_gqa.py

Shapes: B batch, Q query positions, S key positions, D hidden size, A query heads, K key/value
heads, E head dimension.
For a class, write `__init__` and `forward`. Its layers must have the given names, since trained
weights are loaded by name. `config` is a `vlm.config.GemmaConfig`.
"""

import torch
from torch import Tensor, nn

from vlm.config import GemmaConfig


def repeat_kv(states: Tensor, num_groups: int) -> Tensor:
    """Give each query head a copy of its key/value head; consecutive query heads share one.

    With K = 2 and num_groups = 3, query heads 0, 1, 2 use key/value head 0, and query heads
    3, 4, 5 use key/value head 1.

    Args:
        states: keys or values, [B, K, S, E].
        num_groups: A / K, the number of query heads that share a key/value head.

    Returns:
        [B, A, S, E].
    """
    raise NotImplementedError


def additive_mask(may_attend: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert a boolean mask to numbers that are added to the scores before the softmax.

    Where a query may attend, the score must not change. Where it may not, the attention weight
    after the softmax must be 0, even if the score is 300. Every number of the mask must be
    finite: otherwise, a query that may attend to nothing (a padding position) gets weights of
    nan.

    Args:
        may_attend: bool [B, 1, Q, S], True where a query (row) may attend to a key (column).
        dtype: the dtype of the result: float32, bfloat16, or float16, whose largest number is
            65504.

    Returns:
        [B, 1, Q, S] in that dtype.
    """
    raise NotImplementedError


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    scaling: float,
) -> tuple[Tensor, Tensor]:
    """Compute masked attention, with the softmax in float32 whatever the dtype of the model.

        scores  = query @ key^T * scaling + mask
        weights = softmax(scores)          in float32; then cast to the dtype of the query
        result  = weights @ value

    Args:
        query: [B, A, Q, E].
        key, value: [B, A, S, E].
        mask: [B, 1, Q, S], added to the scores. It may contain any numbers, not only 0 and the
            lowest number of the dtype.
        scaling: multiplies the scores, before the mask is added.

    Returns:
        The result [B, A, Q, E] and the weights [B, A, Q, S], both in the dtype of the query.
    """
    raise NotImplementedError


class GemmaAttention(nn.Module):
    """Grouped-query attention with rotary position embeddings.

    Layers, all without a bias: `q_proj` from D to A * E, `k_proj` and `v_proj` from D to K * E,
    `o_proj` from A * E to D. The sizes in `config`: D is `hidden_size`, A is
    `num_attention_heads`, K is `num_key_value_heads`, and E is `head_dim`. A * E need not be D.
    The scores are scaled by 1 / sqrt(E).

    You may use your functions, and `vlm.gemma.apply_rotary_pos_emb(states, cos, sin)`, which
    rotates states of shape [B, heads, S, E].

    Source: GQA (arXiv 2305.13245), section 2.2.
    """

    def __init__(self, config: GemmaConfig):
        super().__init__()
        raise NotImplementedError

    def forward(
        self,
        hidden_states: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Run the layer on a sequence.

        Args:
            hidden_states: [B, S, D].
            cos, sin: [B, 1, S, E], of the rotation angles.
            mask: [B, 1, S, S], added to the scores.

        Returns:
            The result [B, S, D] and the attention weights [B, A, S, S].
        """
        raise NotImplementedError


def cache_bytes(
    config: GemmaConfig,
    batch_size: int,
    length: int,
    bytes_per_number: int,
) -> int:
    """Compute the size of a KV cache in bytes.

    For each token of each row, every layer stores one key and one value of E numbers in each of
    its K key/value heads.

    Args:
        config: the sizes of the model: `num_hidden_layers`, `num_key_value_heads` (K) and
            `head_dim` (E).
        batch_size: number of rows.
        length: number of tokens in each row.
        bytes_per_number: 4 for float32, 2 for bfloat16.

    Returns:
        The number of bytes.
    """
    raise NotImplementedError
