"""Exercises of chapter 18, "Which pixels are it?".

Grade them with: pytest exercises/test_ch18_masks.py

Shapes: M masks, K codes of a mask, V codes in the codebook, D their width, S side of a decoded mask.
"""

from torch import Tensor


def nearest_codes(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Find the nearest code of each vector.

    The distance is the usual one: the root of the sum of the squared differences of the D numbers. Write it with
    tensors, not with `torch.cdist`.

    Example: the vector (1, 1) and the codes (6, 6), (2, 1) -> 1: the second is 1 away, the first 7.1.

    Args:
        vectors: float32 [M, K, D].
        codebook: float32 [V, D].

    Returns:
        int64 [M, K], the numbers of the codes, from 0.
    """
    raise NotImplementedError


def straight_through(vectors: Tensor, chosen: Tensor) -> Tensor:
    """Replace vectors by their codes, and let the gradient pass as if nothing had been replaced.

    What comes out has the values of `chosen`. Its gradient goes to `vectors`, unchanged, and not to `chosen`.

    Args:
        vectors: [M, K, D], from the encoder.
        chosen: [M, K, D], the nearest code of each vector.

    Returns:
        [M, K, D].
    """
    raise NotImplementedError


def pull_together(vectors: Tensor, chosen: Tensor, commitment: float) -> tuple[Tensor, Tensor]:
    """Compute the two losses that hold vectors and codes together.

    The first is the mean squared difference of `chosen` and `vectors`, and moves only `chosen`. The second is the same
    mean times `commitment`, and moves only `vectors`. The mean is over all numbers.

    Args:
        vectors: [M, K, D], from the encoder.
        chosen: [M, K, D], the nearest code of each vector.
        commitment: factor of the second.

    Returns:
        Two losses, each a tensor with one number.

    Source: van den Oord et al. (arXiv 1711.00937), equation 3; there they are sums.
    """
    raise NotImplementedError


def read_mask(text: str) -> list[int] | None:
    """Read the sixteen codes of one thing.

    A code is a token "<seg000>" to "<seg127>", with three digits. "<seg" and anything else before the ">" ("<seg128>",
    "<seg12>", "<seg>") is a code that does not exist. There may be other text around them (a box, a name, spaces). If
    there are not exactly sixteen codes, or one that does not exist, the answer is None.

    Example: "<loc0001>...<seg005><seg127>...<seg000> cat" with sixteen codes -> [5, 127, ..., 0].
    """
    raise NotImplementedError


def paste_mask(values: Tensor, box: tuple[float, float, float, float], height: int, width: int) -> Tensor:
    """Lay a decoded mask into its box.

    Round the four edges of the box to whole pixels (no box of a case becomes empty by that). Stretch the values over
    the whole box, as numbers, with PIL's bilinear `resize` or what does the same; where the box is smaller than the
    mask, it averages. A pixel is inside where its value is above 0. What lies outside the picture is cut away.

    Args:
        values: float32 [S, S], about -1 outside the thing and 1 inside.
        box: y_min, x_min, y_max, x_max, in pixels; a part of it may lie outside the picture.
        height, width: of the picture, in pixels.

    Returns:
        bool [height, width].
    """
    raise NotImplementedError
