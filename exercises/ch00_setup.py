"""Exercises of chapter 0, "Does everything run?": a warm-up. Grade them with: pytest exercises/test_ch00_setup.py

Shapes: B batch, C channels, H W height and width, N places, D numbers in a vector.
In every chapter: keep the names of the functions and of their arguments, and change no argument. The grader compares
them afterwards, and a right answer that has changed one earns nothing: work on a copy (`.clone()`, `list(...)`).
Here each result has the dtype and the device of the first argument.
"""

from torch import Tensor


def to_unit_length(vectors: Tensor) -> Tensor:
    """Divide each vector by its own length, the root of the sum of its squares.

    Example: [3, 4] has the length 5 and becomes [0.6, 0.8].

    Args:
        vectors: [B, N, D], none of them zero.

    Returns:
        [B, N, D].
    """
    raise NotImplementedError


def add_shades(pictures: Tensor, shades: Tensor) -> Tensor:
    """Make each channel of each picture brighter or darker, by a number of its own.

    Args:
        pictures: [B, C, H, W].
        shades: [B, C]; shades[b, c] is added to every pixel of channel c of picture b.

    Returns:
        [B, C, H, W].
    """
    raise NotImplementedError


def append_places(vectors: Tensor) -> Tensor:
    """Write the number of its place behind each vector, as a fraction of N: the first gets 0, the last (N - 1) / N.

    Example: [[5, 6], [7, 8]] (N = 2, D = 2) becomes [[5, 6, 0], [7, 8, 0.5]].

    Args:
        vectors: [B, N, D], of floating-point numbers.

    Returns:
        [B, N, D + 1].
    """
    raise NotImplementedError
