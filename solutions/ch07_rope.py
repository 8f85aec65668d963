"""Solutions of chapter 7, "Rotary position embeddings (RoPE)".

Shapes: B batch, A heads, S sequence length, E head dimension (even).
"""

import torch
from torch import Tensor


def rotate_half(states: Tensor) -> Tensor:
    """Rotate each pair of entries by 90 degrees; a pair is entry i and entry i + E/2."""
    first, second = states.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)


def rotary_cos_sin(
    position_ids: Tensor,
    head_dim: int,
    theta: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Compute the cosine and sine of the rotation angle of each entry at each position."""
    twice_i = torch.arange(0, head_dim, 2, device=position_ids.device)  # [E/2]: 2i
    exponents = twice_i.float() / head_dim  # [E/2]
    angles = position_ids[:, None, :, None].float() * theta**-exponents  # [B, 1, S, E/2]
    angles = torch.cat([angles, angles], dim=-1)  # [B, 1, S, E]
    return angles.cos().to(dtype), angles.sin().to(dtype)


def apply_rotary(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each pair (a, b) by its angle: to (a cos - b sin, b cos + a sin)."""
    return states * cos + rotate_half(states) * sin


def attend_with_positions(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    position_ids: Tensor,
    theta: float,
) -> Tensor:
    """Compute attention with rotary position embeddings: scores depend on relative distance."""
    head_dim = query.shape[-1]
    cos, sin = rotary_cos_sin(position_ids, head_dim, theta, query.dtype)  # [B, 1, S, E]
    query, key = apply_rotary(query, cos, sin), apply_rotary(key, cos, sin)
    scores = query @ key.transpose(-2, -1) / head_dim**0.5  # [B, A, S, S]
    return scores.softmax(-1) @ value
