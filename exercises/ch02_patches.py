"""Exercises of chapter 2, "From pixels to patches". Grade them with: pytest exercises/test_ch02_patches.py

Shapes: B batch, C channels, H W height and width of the picture, P side of a patch, N patches, D hidden size.
Pictures need not be square; H and W are multiples of P.
"""

from torch import Tensor


def patchify(pixel_values: Tensor, patch_size: int) -> Tensor:
    """Cut pictures into patches, and lay the pixels of each patch out in one row.

    The patches are in reading order: the top row of patches from left to right, then the next row. Inside a patch the
    order is that of the picture: all of channel 0 first, each channel row by row. So the first P * P numbers of a
    patch are its red.

    Example: a picture of one channel, 2 x 4 pixels, and P = 2:

        0 1 2 3      ->  patch 0 is [0, 1, 4, 5]
        4 5 6 7          patch 1 is [2, 3, 6, 7]

    Args:
        pixel_values: [B, C, H, W].
        patch_size: P.

    Returns:
        [B, N, C * P * P], N = (H / P) * (W / P), dtype and device of the argument.

    Source: "An Image is Worth 16x16 Words" (arXiv 2010.11929), section 3.1.
    """
    raise NotImplementedError


def unpatchify(patches: Tensor, patch_size: int, height: int, width: int) -> Tensor:
    """Put patches back together: the inverse of `patchify`.

    Args:
        patches: [B, N, C * P * P].
        patch_size: P.
        height: H of the picture, in pixels.
        width: W.

    Returns:
        [B, C, H, W].
    """
    raise NotImplementedError


def embed_patches(pixel_values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Turn each patch into a vector: a scalar product of its pixels with each of D filters, plus a bias.

    This is what `nn.Conv2d(C, D, kernel_size=P, stride=P)` does. Do it without a convolution: the filters, laid out
    like the patches, are the matrix of a linear layer.

    Args:
        pixel_values: [B, C, H, W].
        weight: [D, C, P, P], the filters.
        bias: [D].

    Returns:
        [B, N, D], the patches in reading order.
    """
    raise NotImplementedError


def patch_of_pixel(y: Tensor, x: Tensor, width: int, patch_size: int) -> Tensor:
    """The number of the patch that a pixel belongs to. Patches are counted in reading order, from 0.

    Example: 4 patches in each row (width 8, P = 2), the pixel in row 3, column 5: patch row 1, patch column 2, so
    number 1 * 4 + 2 = 6.

    Args:
        y: rows of pixels, whole numbers of any shape.
        x: their columns, the same shape.
        width: W of the picture, in pixels. Its height does not matter.
        patch_size: P.

    Returns:
        The patches' numbers, int64, in the shape of `y`.
    """
    raise NotImplementedError
