"""Solutions of chapter 2, "Patch embedding".

Shapes: B batch, C channels, H height and W width of the image in pixels, P patch size,
N patches, D hidden size.
"""

from torch import Tensor


def patchify(pixel_values: Tensor, patch_size: int) -> Tensor:
    """Cut images into patches, and flatten each patch into one row of numbers."""
    batch, channels, height, width = pixel_values.shape
    rows, columns = height // patch_size, width // patch_size
    # [B, C, H/P, P, W/P, P]
    grid = pixel_values.reshape(batch, channels, rows, patch_size, columns, patch_size)
    grid = grid.permute(0, 2, 4, 1, 3, 5)  # [B, H/P, W/P, C, P, P]
    return grid.reshape(batch, rows * columns, -1)  # [B, N, C * P * P]


def unpatchify(patches: Tensor, patch_size: int, height: int, width: int) -> Tensor:
    """Assemble images from their patches: the inverse of `patchify`."""
    rows, columns = height // patch_size, width // patch_size
    # [B, H/P, W/P, C, P, P]
    grid = patches.reshape(len(patches), rows, columns, -1, patch_size, patch_size)
    grid = grid.permute(0, 3, 1, 4, 2, 5)  # [B, C, H/P, P, W/P, P]
    return grid.reshape(len(patches), -1, height, width)  # [B, C, H, W]


def embed_patches(pixel_values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Map each patch to a vector: its dot product with each of D filters, plus a bias."""
    patches = patchify(pixel_values, patch_size=weight.shape[-1])  # [B, N, C * P * P]
    return patches @ weight.flatten(1).T + bias  # [B, N, D]


def patch_of_pixel(y: Tensor, x: Tensor, width: int, patch_size: int) -> Tensor:
    """Give the index of the patch that contains a pixel, in reading order, from 0."""
    return (y // patch_size) * (width // patch_size) + x // patch_size
