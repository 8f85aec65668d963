"""Exercises of chapter 7, "How does a vector know where it stands?".

Grade them with: pytest exercises/test_ch07_rope.py

Shapes: B batch, A heads, S places in the sequence, E numbers in one head (even).
"""

import torch
from torch import Tensor


def rotate_half(states: Tensor) -> Tensor:
    """Give every pair of entries a quarter turn. The partners are entry i and entry i + E/2.

    A quarter turn takes the pair (a, b) to (-b, a). Example: [1, 2, 3, 4] -> [-3, -4, 1, 2], since its pairs are (1, 3)
    and (2, 4).

    Args:
        states: [B, A, S, E].

    Returns:
        [B, A, S, E].
    """
    raise NotImplementedError


def rotary_cos_sin(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angle by which each entry's pair turns at each position.

        angle of pair i = position * theta^(-2i / E)        for i = 0 ... E/2 - 1

    The angles are in radians, and are computed in float32 whatever `dtype` is. Both partners of a pair, entries i and
    i + E/2, get the angle of pair i.

    Args:
        position_ids: [B, S], whole numbers.
        head_dim: E.
        dtype: of the result.

    Returns:
        cos and sin, both [B, 1, S, E]: the axis of length 1 stands for all heads.

    Source: RoFormer (arXiv 2104.09864), section 3.2.2.
    """
    raise NotImplementedError


def apply_rotary(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (a, b) by its angle: a becomes a cos - b sin, and b becomes b cos + a sin.

    The partners are entries i and i + E/2, as in `rotate_half`.

    Args:
        states: queries or keys, [B, A, S, E].
        cos, sin: [B, 1, S, E].

    Returns:
        [B, A, S, E].
    """
    raise NotImplementedError


def attend_with_positions(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    """Attention whose scores know how far apart two places are.

    Turn what has to be turned by the angles of its positions; then the scores are scaled by 1 / sqrt(E), as ever, and
    every place may look at every other. You may use your functions above.

    Args:
        query, key, value: [B, A, S, E].
        position_ids: [B, S]; not always 1, 2, 3 ...: a row with padding repeats numbers.

    Returns:
        The mixed values, [B, A, S, E].

    Source: RoFormer (arXiv 2104.09864), section 3.2.2.
    """
    raise NotImplementedError
