"""Solutions of chapter 22, "Where did it come from?".

Shapes: B targets, L marks on a ruler, R rows, T tokens.
"""

import math

import torch
from torch import Tensor


def soft_targets(marks: Tensor, num_marks: int, sigma: float) -> Tensor:
    """Make soft targets on a ruler: how much each mark counts as right when one of them is."""
    distances = torch.arange(num_marks) - marks[:, None]  # [B, L]
    return torch.softmax(-(distances.double() ** 2) / (2 * sigma**2), dim=-1).float()


def learning_rate(step: int, num_steps: int, warmup_steps: int, peak: float, final: float) -> float:
    """Compute the learning rate of a step: a straight rise, then half a cosine down."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / (num_steps - warmup_steps)
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * progress))


def mixture(sizes: list[int], temperature: float, limit: int) -> list[float]:
    """Compute how often each of several data sets is drawn from."""
    weights = [min(size, limit) ** (1 / temperature) for size in sizes]
    return [weight / sum(weights) for weight in weights]


def answers_alike(surprises: Tensor, counts: Tensor) -> Tensor:
    """Compute a loss in which each answer counts alike, however long it is."""
    rows = [row[counted].mean() for row, counted in zip(surprises, counts) if counted.any()]
    return torch.stack(rows).mean()
