"""Solutions of chapter 19, "Inside a VLM".

Shapes: A heads, S positions, N patches, D hidden size, V vocabulary size, C channels, H and W
height and width of an image.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def attention_map(
    scores: Tensor,
    num_patches: int,
    num_answer_tokens: int,
    token: int,
) -> Tensor:
    """Attention to each patch when an answer token is predicted, averaged over the heads."""
    # The position before the token predicts it.
    query = scores.shape[-1] - num_answer_tokens + token - 1
    weights = torch.softmax(scores[:, query], dim=-1)  # [A, S]
    return weights[:, :num_patches].mean(0)


def rollout(weights: list[Tensor]) -> Tensor:
    """Attention rollout: follow attention through all layers, residual connections included."""
    identity = torch.eye(weights[0].shape[-1])  # [S, S]
    result = identity
    for layer in weights:
        result = (identity + layer.mean(0)) / 2 @ result
    return result


def logit_lens(
    hidden_states: Tensor,
    norm_weight: Tensor,
    head_weight: Tensor,
    eps: float,
) -> Tensor:
    """The logit lens: apply the final norm, the head and a softmax to earlier hidden states."""
    mean_square = hidden_states.square().mean(-1, keepdim=True)  # [S, 1]
    normed = hidden_states * torch.rsqrt(mean_square + eps) * (1 + norm_weight)  # [S, D]
    return torch.softmax(normed @ head_weight.T, dim=-1)


def occlusion(
    score: Callable[[Tensor], float],
    image: Tensor,
    side: int,
    value: float,
) -> Tensor:
    """Cover each square of an image in turn, and measure how much the score drops."""
    _, height, width = image.shape
    whole = score(image)
    drop = torch.zeros(height // side, width // side)
    for row in range(height // side):
        for column in range(width // side):
            covered = image.clone()
            top, left = row * side, column * side
            covered[:, top : top + side, left : left + side] = value
            drop[row, column] = whole - score(covered)
    return drop
