"""Solutions of chapter 19, "What is it looking at?".

Shapes: A heads, S places, N patches, D hidden size, V vocabulary, H W height and width of a picture.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def word_map(scores: Tensor, num_patches: int, num_answer_tokens: int, word: int) -> Tensor:
    """Draw where the model looks while it writes a word: the mean of the heads, over the patches."""
    writer = scores.shape[-1] - num_answer_tokens + word - 1
    weights = torch.softmax(scores[:, writer], dim=-1)  # [A, S]
    return weights[:, :num_patches].mean(0)


def rollout(weights: list[Tensor]) -> Tensor:
    """Follow attention through all layers."""
    identity = torch.eye(weights[0].shape[-1])  # [S, S]
    result = identity
    for layer in weights:
        result = (identity + layer.mean(0)) / 2 @ result
    return result


def lens(hidden_states: Tensor, norm_weight: Tensor, head_weight: Tensor, eps: float) -> Tensor:
    """Read vectors from between two layers as if they were the last: norm, head, softmax."""
    mean_square = hidden_states.square().mean(-1, keepdim=True)  # [S, 1]
    normed = hidden_states * torch.rsqrt(mean_square + eps) * (1 + norm_weight)  # [S, D]
    return torch.softmax(normed @ head_weight.T, dim=-1)


def occlusion(score: Callable[[Tensor], float], picture: Tensor, side: int, value: float) -> Tensor:
    """Cover each square of a picture in turn, and measure by how much the score falls."""
    _, height, width = picture.shape
    whole = score(picture)
    fall = torch.zeros(height // side, width // side)
    for row in range(height // side):
        for column in range(width // side):
            covered = picture.clone()
            covered[:, row * side : (row + 1) * side, column * side : (column + 1) * side] = value
            fall[row, column] = whole - score(covered)
    return fall
