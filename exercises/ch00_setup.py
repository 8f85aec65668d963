"""Exercises of chapter 0, "Setting up", a warm-up. Grade: pytest exercises/test_ch00_setup.py

Shapes: B batch, C channels, H height and W width, N positions (vectors in a sequence),
D entries in a vector.
In every chapter, keep the names of the functions and of their arguments, and do not modify an
argument in place. The grader compares the arguments before and after the call, and a correct
answer that modified one earns no points: work on a copy (`.clone()`, `list(...)`).
In this chapter, each result has the dtype and the device of the first argument.
"""

from torch import Tensor


def to_unit_length(vectors: Tensor) -> Tensor:
    """Divide each vector by its own length, the square root of the sum of its squares.

    The cosine similarity of chapter 4 starts with this step.
    Example: [3, 4] has length 5 and becomes [0.6, 0.8].

    Args:
        vectors: [B, N, D]: N vectors of D entries in each of B rows. None of them is zero.

    Returns:
        [B, N, D], with the dtype and the device of `vectors`.
    """
    raise NotImplementedError


def add_channel_offsets(images: Tensor, offsets: Tensor) -> Tensor:
    """Make each channel of each image brighter or darker, by its own offset.

    One number for each channel and image: this is the shape of a bias. The exercise is to align
    it with the pixels.

    Args:
        images: [B, C, H, W].
        offsets: [B, C]; offsets[b, c] is added to every pixel of channel c of image b.

    Returns:
        [B, C, H, W], with the dtype and the device of `images`.
    """
    raise NotImplementedError


def append_positions(vectors: Tensor) -> Tensor:
    """Append to each vector its position as a fraction of N: 0, 1/N, ..., (N - 1)/N.

    A vector does not know its position in the sequence; this is the simplest way to add it.
    Example: [[5, 6], [7, 8]] (N = 2, D = 2) becomes [[5, 6, 0], [7, 8, 0.5]].

    Args:
        vectors: [B, N, D], floating point, in any floating-point dtype and on any device.

    Returns:
        [B, N, D + 1], with the dtype and the device of `vectors`.
    """
    raise NotImplementedError
