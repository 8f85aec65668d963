"""Exercises of chapter 8, "Why do several queries share a key?".

Grade them with: pytest exercises/test_ch08_gqa.py

Shapes: B batch, Q queries, S keys, D hidden size, A query heads, K key/value heads, E head_dim.
Where a class is asked for, write `__init__` and `forward`; its layers must have the names given, since trained weights
are loaded into them by name. `config` is a `vlm.config.GemmaConfig`.
"""

import torch
from torch import Tensor, nn

from vlm.config import GemmaConfig


def repeat_kv(states: Tensor, num_groups: int) -> Tensor:
    """Give each query head the key/value head that it uses. Neighbouring query heads share one.

    With K = 2 and num_groups = 3, query heads 0, 1, 2 use key/value head 0, and query heads 3, 4, 5 use head 1.

    Args:
        states: keys or values, [B, K, S, E].
        num_groups: A / K, the query heads that share a key/value head.

    Returns:
        [B, A, S, E].
    """
    raise NotImplementedError


def additive_mask(may_look: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn "may look" into numbers that are added to the scores before the softmax.

    Where a query may look, nothing changes. Where it may not, the weight behind the softmax must be 0. And no row may
    become nan, not even that of a query that may look nowhere (a place of padding): so every number must be finite.

    Args:
        may_look: bool [B, 1, Q, S].
        dtype: of the result: float32, bfloat16, or float16, whose largest number is 65504.

    Returns:
        [B, 1, Q, S] in that dtype.
    """
    raise NotImplementedError


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    """Attention with a mask, for a model in any dtype.

        scores  = query @ key^T * scaling + mask
        weights = softmax(scores)          in float32; then cast to the dtype of the query
        result  = weights @ value

    Args:
        query: [B, A, Q, E].
        key, value: [B, A, S, E].
        mask: added to the scores, [B, 1, Q, S]. Not only 0 and the dtype's lowest number may stand in it.

    Returns:
        The result [B, A, Q, E] and the weights [B, A, Q, S], both in the dtype of the query.
    """
    raise NotImplementedError


class GemmaAttention(nn.Module):
    """Grouped-query attention with rotary positions.

    Layers, without biases: `q_proj` from D to A * E, `k_proj` and `v_proj` from D to K * E, `o_proj` from A * E to D.
    A * E need not be D: take E from `config.head_dim`. The scores are scaled by 1 / sqrt(E).

    You may use your functions, and `vlm.gemma.apply_rotary_pos_emb(states, cos, sin)`.

    Source: GQA (arXiv 2305.13245), section 2.2.
    """

    def __init__(self, config: GemmaConfig):
        super().__init__()
        raise NotImplementedError

    def forward(self, hidden_states: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Run the layer.

        Args:
            hidden_states: [B, S, D].
            cos, sin: [B, 1, S, E].
            mask: [B, 1, S, S].

        Returns:
            The result [B, S, D] and the weights [B, A, S, S].
        """
        raise NotImplementedError


def cache_bytes(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    """How much memory the keys and values of a text take, in bytes.

    In every layer, every token of every row leaves one key and one value in each key/value head, E numbers each.

    Args:
        batch_size: rows.
        length: tokens in each row.
        bytes_per_number: 4 for float32, 2 for bfloat16.
    """
    raise NotImplementedError
