"""Exercises of chapter 18, "Segmentation masks as tokens".

Grade them with: pytest exercises/test_ch18_masks.py

Shapes: M masks, K mask tokens per mask, V codes in the codebook, D width of a code, S side of a
decoded mask.
"""

from torch import Tensor


def nearest_codes(vectors: Tensor, codebook: Tensor) -> Tensor:
    """The index of the nearest code for each vector.

    The distance is Euclidean: the square root of the sum of the D squared differences. Use
    tensor operations, but not `torch.cdist`.

    Example: for the vector (1, 1) and the codes (6, 6), (2, 1) the answer is 1, since the
    distances are 7.1 and 1.

    Args:
        vectors: float32 [M, K, D].
        codebook: float32 [V, D].

    Returns:
        int64 [M, K], indices into the codebook, from 0.
    """
    raise NotImplementedError


def straight_through(vectors: Tensor, chosen: Tensor) -> Tensor:
    """Straight-through estimator: the values of the codes, the gradient to the vectors.

    The result has the values of `chosen`. In the backward pass its gradient goes to `vectors`,
    unchanged, and none goes to `chosen`.

    Args:
        vectors: [M, K, D], from the encoder.
        chosen: [M, K, D], the nearest code of each vector.

    Returns:
        [M, K, D].
    """
    raise NotImplementedError


def vq_losses(vectors: Tensor, chosen: Tensor, commitment: float) -> tuple[Tensor, Tensor]:
    """Codebook loss and commitment loss, which keep vectors and codes close together.

    The codebook loss is the mean squared difference of `chosen` and `vectors`; its gradient
    goes to `chosen` only. The commitment loss is the same mean times `commitment`; its gradient
    goes to `vectors` only. The mean is taken over all M * K * D numbers.

    Args:
        vectors: [M, K, D], from the encoder.
        chosen: [M, K, D], the nearest code of each vector.
        commitment: the factor of the commitment loss.

    Returns:
        The codebook loss and the commitment loss, each a tensor with one number.

    Source: van den Oord et al. (arXiv 1711.00937), equation 3, where they are sums.
    """
    raise NotImplementedError


def read_mask(text: str) -> list[int] | None:
    """Parse the sixteen mask tokens of one object.

    A mask token is "<seg000>" to "<seg127>", with exactly three digits. "<seg", then any other
    digits or none, then ">" ("<seg128>", "<seg12>", "<seg>") is an invalid mask token. There
    may be other text before, between and after the tokens (a box, spaces, a name). Unless the
    text has exactly sixteen mask tokens, all of them valid, return None.

    Example: "<loc0001>...<seg005><seg127>...<seg000> cat" with sixteen mask tokens
        -> [5, 127, ..., 0].
    """
    raise NotImplementedError


def paste_mask(
    values: Tensor,
    box: tuple[float, float, float, float],
    height: int,
    width: int,
) -> Tensor:
    """Paste a decoded mask into its box.

    In this order: round the four edges of the box to integers (no test case's box becomes
    empty). Resize the values to the size of the whole box, as numbers, with PIL's bilinear
    `resize` or an equivalent (where the box is smaller than the mask, it averages). Threshold
    at 0: a pixel is in the mask if its value is above 0. Crop what lies outside the image. The
    box's maxima are exclusive.

    Args:
        values: float32 [S, S], about 1 inside the object and -1 outside.
        box: y_min, x_min, y_max, x_max, in pixels; it may extend beyond the image.
        height, width: of the image, in pixels.

    Returns:
        bool [height, width].
    """
    raise NotImplementedError
