"""Exercises of chapter 2, "Patch embedding". Grade: pytest exercises/test_ch02_patches.py

Shapes: B batch, C channels, H height and W width of the image in pixels, P patch size,
N patches, D hidden size.
Images need not be square; H and W are multiples of P.
"""

from torch import Tensor


def patchify(pixel_values: Tensor, patch_size: int) -> Tensor:
    """Cut images into patches, and flatten each patch into one row of numbers.

    The patches are in reading order: the top row of patches from left to right, then the next
    row. Within a patch, the channels come first, and each channel is flattened row by row: the
    first P * P numbers are channel 0 (red), the next P * P are channel 1, and so on.

    Example: an image of one channel, 2 x 4 pixels, and P = 2:

        0 1 2 3      ->  patch 0 is [0, 1, 4, 5]
        4 5 6 7          patch 1 is [2, 3, 6, 7]

    Args:
        pixel_values: [B, C, H, W]; H and W are multiples of P, and may differ.
        patch_size: P, the side of a patch in pixels.

    Returns:
        [B, N, C * P * P] with N = (H / P) * (W / P), in the dtype and on the device of
        `pixel_values`.

    Source: "An Image is Worth 16x16 Words" (arXiv 2010.11929), section 3.1.
    """
    raise NotImplementedError


def unpatchify(patches: Tensor, patch_size: int, height: int, width: int) -> Tensor:
    """Assemble images from their patches: the inverse of `patchify`.

    Args:
        patches: [B, N, C * P * P], in the layout that `patchify` returns.
        patch_size: P, the side of a patch in pixels.
        height: H, the height of the image in pixels.
        width: W, the width of the image in pixels.

    Returns:
        [B, C, H, W].
    """
    raise NotImplementedError


def embed_patches(pixel_values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Map each patch to a vector: its dot product with each of D filters, plus a bias.

    This is what `nn.Conv2d(C, D, kernel_size=P, stride=P)` computes. Do it without a
    convolution: the flattened filters, in the layout of the patches, are the weight matrix of a
    linear layer.

    Args:
        pixel_values: [B, C, H, W].
        weight: [D, C, P, P], the filters.
        bias: [D].

    Returns:
        [B, N, D], one vector for each of the N patches, in reading order.
    """
    raise NotImplementedError


def patch_of_pixel(y: Tensor, x: Tensor, width: int, patch_size: int) -> Tensor:
    """Give the index of the patch that contains a pixel, in reading order, from 0.

    Example: width 8 and P = 2 make 4 patches per row. The pixel in row 3, column 5 is in patch
    row 1, patch column 2, so the index is 1 * 4 + 2 = 6.

    Args:
        y: row indices of pixels, integers of any shape.
        x: their column indices, in the same shape.
        width: W, the width of the image in pixels. The height does not matter.
        patch_size: P, the side of a patch in pixels.

    Returns:
        The patch indices, int64, in the shape of `y`.
    """
    raise NotImplementedError
