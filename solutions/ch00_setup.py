"""Solutions of chapter 0, "Setting up".

Shapes: B batch, C channels, H height and W width, N positions (vectors in a sequence),
D entries in a vector.
"""

import torch
from torch import Tensor


def to_unit_length(vectors: Tensor) -> Tensor:
    """Divide each vector by its own length, the square root of the sum of its squares."""
    lengths = (vectors**2).sum(dim=-1, keepdim=True).sqrt()  # [B, N, 1]
    return vectors / lengths  # [B, N, D]


def add_channel_offsets(images: Tensor, offsets: Tensor) -> Tensor:
    """Make each channel of each image brighter or darker, by its own offset."""
    return images + offsets[:, :, None, None]  # [B, C, H, W]


def append_positions(vectors: Tensor) -> Tensor:
    """Append to each vector its position as a fraction of N: 0, 1/N, ..., (N - 1)/N."""
    batch, length, _ = vectors.shape
    positions = torch.arange(length, dtype=vectors.dtype, device=vectors.device) / length  # [N]
    positions = positions[:, None].expand(batch, length, 1)  # [B, N, 1]
    return torch.cat([vectors, positions], dim=-1)  # [B, N, D + 1]
