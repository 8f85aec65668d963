"""Scaled dot-product attention, written out: the one function that every attention layer here calls.

Shapes: B batch, A heads, Q queries, S keys, E head_dim.
"""

import torch
from torch import Tensor, nn


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float,
    mask: Tensor | None = None,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """For each query, average the values, weighted by how well their keys match it.

    Args:
        query: [B, A, Q, E].
        key, value: [B, A, S, E].
        scaling: factor for the attention scores, 1 / sqrt(E) in most models.
        mask: [B, 1, Q, S], added to the scores: 0 where a query may attend, very negative elsewhere.
        softcap: bounds the scores to -softcap..softcap, before the mask is added (the mask must not be capped).

    Returns:
        The weighted sums of the values [B, A, Q, E], and the attention weights [B, A, Q, S], whose rows sum to 1.

    Source: "Attention Is All You Need" (arXiv 1706.03762), section 3.2.1. The softmax runs in float32
    whatever the dtype of the model, as in the published models.
    """
    scores = query @ key.transpose(-2, -1) * scaling  # [B, A, Q, S]
    if softcap is not None:
        scores = soft_cap(scores, softcap)
    if mask is not None:
        scores = scores + mask
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return weights @ value, weights


def soft_cap(values: Tensor, cap: float) -> Tensor:
    """Map values smoothly into -cap..cap: small ones hardly change, large ones approach the cap.

    With a cap of 50, 1 stays 1.00, 50 becomes 38.1, and 500 becomes 50. The order is kept.

    Source: Gemma 2 (arXiv 2408.00118), section 2.
    """
    return cap * torch.tanh(values / cap)
