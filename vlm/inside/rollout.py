"""Attention rollout: attention through several layers at once. Shapes: B batch, A heads, S sequence."""

from collections.abc import Sequence

import torch
from torch import Tensor


def attention_rollout(weights: Sequence[Tensor]) -> Tensor:
    """How much each output position takes from each input position, by attention.

    In each layer a position keeps its own vector (the residual) and adds a weighted sum over the positions it attends
    to. Give both the same weight: half the identity, half the attention, averaged over the heads. Then multiply the
    matrices of all layers, the last one on the left.

    Args:
        weights: for each layer, from first to last, [B, A, S, S], rows sum to 1.

    Returns:
        [B, S, S], rows sum to 1.

    Source: Abnar and Zuidema, "Quantifying Attention Flow in Transformers" (arXiv 2005.00928), section 3.
    """
    rollout = torch.eye(weights[0].shape[-1], device=weights[0].device)  # [S, S]
    for layer_weights in weights:
        mixed = layer_weights.float().mean(1)  # [B, S, S]
        identity = torch.eye(mixed.shape[-1], device=mixed.device)  # [S, S]
        rollout = (identity + mixed) / 2 @ rollout  # [B, S, S]
    return rollout
