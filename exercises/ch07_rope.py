"""Exercises of chapter 7, "Rotary position embeddings (RoPE)".

Grade: pytest exercises/test_ch07_rope.py

Shapes: B batch, A heads, S sequence length, E head dimension (even).
"""

import torch
from torch import Tensor


def rotate_half(states: Tensor) -> Tensor:
    """Rotate each pair of entries by 90 degrees; a pair is entry i and entry i + E/2.

    A rotation by 90 degrees takes the pair (a, b) to (-b, a). Example: [1, 2, 3, 4] becomes
    [-3, -4, 1, 2], since its pairs are (1, 3) and (2, 4).

    Args:
        states: [B, A, S, E]; E is even.

    Returns:
        [B, A, S, E].
    """
    raise NotImplementedError


def rotary_cos_sin(
    position_ids: Tensor,
    head_dim: int,
    theta: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Compute the cosine and sine of the rotation angle of each entry at each position.

        angle of pair i = position * theta^(-2i / E)        for i = 0 ... E/2 - 1

    The angles are in radians. Compute them in float32, whatever `dtype` is, and cast only the
    cosine and sine. Both entries of a pair, i and i + E/2, get the angle of pair i.

    Args:
        position_ids: [B, S], integers.
        head_dim: E.
        theta: the base of the frequencies.
        dtype: the dtype of the results.

    Returns:
        cos and sin, both [B, 1, S, E]: the axis of size 1 broadcasts over the heads.

    Source: RoFormer (arXiv 2104.09864), section 3.2.2.
    """
    raise NotImplementedError


def apply_rotary(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each pair (a, b) by its angle: to (a cos - b sin, b cos + a sin).

    A pair is entry i and entry i + E/2, as in `rotate_half`.

    Args:
        states: queries or keys, [B, A, S, E].
        cos, sin: [B, 1, S, E].

    Returns:
        [B, A, S, E].
    """
    raise NotImplementedError


def attend_with_positions(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    position_ids: Tensor,
    theta: float,
) -> Tensor:
    """Compute attention with rotary position embeddings: scores depend on relative distance.

    Rotate what has to be rotated, by the angles of its positions. Then scale the scores by
    1 / sqrt(E), as usual; every position attends to every position. You may use your functions
    above.

    Args:
        query, key, value: [B, A, S, E].
        position_ids: [B, S]. They need not be 1, 2, 3, ...: a row with padding repeats numbers.
        theta: the base of the frequencies.

    Returns:
        The weighted sums of the values, [B, A, S, E].

    Source: RoFormer (arXiv 2104.09864), section 3.2.2.
    """
    raise NotImplementedError
