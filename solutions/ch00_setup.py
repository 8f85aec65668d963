"""Solutions of chapter 0, "Does everything run?".

Shapes: B batch, C channels, H W height and width, N places, D numbers in a vector.
"""

import torch
from torch import Tensor


def to_unit_length(vectors: Tensor) -> Tensor:
    """Divide each vector by its own length, the root of the sum of its squares."""
    lengths = (vectors**2).sum(dim=-1, keepdim=True).sqrt()  # [B, N, 1]
    return vectors / lengths  # [B, N, D]


def add_shades(pictures: Tensor, shades: Tensor) -> Tensor:
    """Make each channel of each picture brighter or darker, by a number of its own."""
    return pictures + shades[:, :, None, None]  # [B, C, H, W]


def append_places(vectors: Tensor) -> Tensor:
    """Write the number of its place behind each vector, as a fraction of N: the first gets 0, the last (N - 1) / N."""
    batch, length, _ = vectors.shape
    places = torch.arange(length, dtype=vectors.dtype, device=vectors.device) / length  # [N]
    return torch.cat([vectors, places[:, None].expand(batch, length, 1)], dim=-1)  # [B, N, D + 1]
