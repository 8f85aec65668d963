"""Solutions of chapter 22, "Pretraining from scratch".

Shapes: B targets, L location bins, R rows, T tokens.
"""

import math

import torch
from torch import Tensor


def soft_targets(bins: Tensor, num_bins: int, sigma: float) -> Tensor:
    """Soft targets over location bins: a bell curve around the right bin instead of one-hot."""
    distances = torch.arange(num_bins) - bins[:, None]  # [B, L]
    return torch.softmax(-(distances.double() ** 2) / (2 * sigma**2), dim=-1).float()


def learning_rate(
    step: int,
    num_steps: int,
    warmup_steps: int,
    peak: float,
    final: float,
) -> float:
    """The learning rate at a step: linear warm-up, then half a cosine down."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / (num_steps - warmup_steps)
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * progress))


def sampling_weights(sizes: list[int], temperature: float, limit: int) -> list[float]:
    """The sampling probability of each of several data sets."""
    weights = [min(size, limit) ** (1 / temperature) for size in sizes]
    return [weight / sum(weights) for weight in weights]


def mean_over_answers(losses: Tensor, counts: Tensor) -> Tensor:
    """A loss in which every answer has the same weight, however long it is."""
    rows = [row[counted].mean() for row, counted in zip(losses, counts) if counted.any()]
    return torch.stack(rows).mean()
