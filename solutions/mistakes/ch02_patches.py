"""Common mistakes in chapter 2, and other correct answers."""

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch02_patches as solution


def split(pixel_values: Tensor, patch_size: int) -> Tensor:
    """[B, C, H, W] -> [B, C, H/P, P, W/P, P]."""
    batch, channels, height, width = pixel_values.shape
    return pixel_values.reshape(batch, channels, height // patch_size, patch_size, width // patch_size, patch_size)


@mistake(
    "patchify",
    "You reshaped without permuting the axes, so each “patch” is a strip of pixels. Permute between two reshapes.",
)
def patchify_without_transpose(pixel_values: Tensor, patch_size: int) -> Tensor:
    batch, channels, height, width = pixel_values.shape
    num_patches = (height // patch_size) * (width // patch_size)
    return pixel_values.reshape(batch, num_patches, channels * patch_size**2)


@mistake("patchify", "Your patches are ordered column by column. Reading order is row by row: swap the two grid axes.")
def patchify_column_by_column(pixel_values: Tensor, patch_size: int) -> Tensor:
    return split(pixel_values, patch_size).permute(0, 4, 2, 1, 3, 5).flatten(1, 2).flatten(2)


@mistake("patchify", "Your channels come last within a patch. Put them first, as in the filters of a convolution.")
def patchify_channels_last(pixel_values: Tensor, patch_size: int) -> Tensor:
    return split(pixel_values, patch_size).permute(0, 2, 4, 3, 5, 1).flatten(1, 2).flatten(2)


@mistake("patchify", "Each of your patches is transposed. Within a patch, the row axis comes before the column axis.")
def patchify_transposed_inside(pixel_values: Tensor, patch_size: int) -> Tensor:
    return split(pixel_values, patch_size).permute(0, 2, 4, 1, 5, 3).flatten(1, 2).flatten(2)


@mistake("patchify", "You mixed the images of the batch. Keep the batch as the first axis when you permute.")
def patchify_batch_mixed(pixel_values: Tensor, patch_size: int) -> Tensor:
    batch = len(pixel_values)
    moved = split(pixel_values, patch_size).permute(2, 4, 0, 1, 3, 5)
    return moved.reshape(batch, -1, pixel_values.shape[1] * patch_size**2)


@variant("patchify")
def patchify_with_unfold(pixel_values: Tensor, patch_size: int) -> Tensor:
    windows = pixel_values.unfold(2, patch_size, patch_size).unfold(3, patch_size, patch_size)
    return windows.permute(0, 2, 3, 1, 4, 5).flatten(1, 2).flatten(2)


@variant("patchify")
def patchify_with_loops(pixel_values: Tensor, patch_size: int) -> Tensor:
    patches = [
        window.flatten(1) for rows in pixel_values.split(patch_size, dim=2) for window in rows.split(patch_size, dim=3)
    ]
    return torch.stack(patches, dim=1)


@mistake(
    "unpatchify",
    "You reshaped without permuting the axes, so the pixels of a patch fill a strip of the image. Permute first.",
)
def unpatchify_without_transpose(patches: Tensor, patch_size: int, height: int, width: int) -> Tensor:
    return patches.reshape(len(patches), -1, height, width)


@mistake("unpatchify", "You swapped the rows and the columns of the grid of patches. Try an image that is not square.")
def unpatchify_column_by_column(patches: Tensor, patch_size: int, height: int, width: int) -> Tensor:
    rows, columns = height // patch_size, width // patch_size
    grid = patches.reshape(len(patches), columns, rows, -1, patch_size, patch_size)
    return grid.permute(0, 3, 2, 4, 1, 5).reshape(len(patches), -1, height, width)


@mistake("unpatchify", "You read the channels as the last axis of a patch. They come first.")
def unpatchify_channels_last(patches: Tensor, patch_size: int, height: int, width: int) -> Tensor:
    rows, columns = height // patch_size, width // patch_size
    grid = patches.reshape(len(patches), rows, columns, patch_size, patch_size, -1)
    return grid.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), -1, height, width)


@mistake("unpatchify", "You used the permutation of `patchify`. To undo it, you need its inverse.")
def unpatchify_with_the_same_permutation(patches: Tensor, patch_size: int, height: int, width: int) -> Tensor:
    rows, columns = height // patch_size, width // patch_size
    grid = patches.reshape(len(patches), rows, columns, -1, patch_size, patch_size)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(len(patches), -1, height, width)


@mistake(
    "unpatchify",
    "You put the axes within a patch before the grid axes. A row of the image is (row of patches, row within the "
    "patch).",
)
def unpatchify_inside_before_outside(patches: Tensor, patch_size: int, height: int, width: int) -> Tensor:
    rows, columns = height // patch_size, width // patch_size
    grid = patches.reshape(len(patches), rows, columns, -1, patch_size, patch_size)
    return grid.permute(0, 3, 4, 1, 5, 2).reshape(len(patches), -1, height, width)


@variant("unpatchify")
def unpatchify_with_concatenation(patches: Tensor, patch_size: int, height: int, width: int) -> Tensor:
    columns = width // patch_size
    tiles = patches.unflatten(-1, (-1, patch_size, patch_size))  # [B, N, C, P, P]
    rows = [torch.cat(tiles[:, i : i + columns].unbind(1), dim=-1) for i in range(0, tiles.shape[1], columns)]
    return torch.cat(rows, dim=-2)


@mistake("embed_patches", "The bias is missing. Add it to every vector.")
def embed_without_bias(pixel_values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return solution.embed_patches(pixel_values, weight, torch.zeros_like(bias))


@mistake(
    "embed_patches",
    "Your patches and filters have different layouts: one has the channels first, the other last. Put them first in "
    "both.",
)
def embed_with_other_layout(pixel_values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    patches = patchify_channels_last.implementation(pixel_values, weight.shape[-1])
    return patches @ weight.flatten(1).T + bias


@mistake("embed_patches", "You flipped the filters. A convolution in PyTorch does not: it is a cross-correlation.")
def embed_with_mirrored_filters(pixel_values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return solution.embed_patches(pixel_values, weight.flip(-1, -2), bias)


@mistake("embed_patches", "Your vectors are ordered column by column. Reading order is row by row.")
def embed_column_by_column(pixel_values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    patches = patchify_column_by_column.implementation(pixel_values, weight.shape[-1])
    return patches @ weight.flatten(1).T + bias


@mistake("embed_patches", "You averaged over the pixels of a patch. A dot product is a sum.")
def embed_with_mean(pixel_values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return solution.embed_patches(pixel_values, weight / weight[0].numel(), bias)


@variant("embed_patches")
def embed_with_einsum(pixel_values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    grid = split(pixel_values, weight.shape[-1])
    return torch.einsum("bcyixj,dcij->byxd", grid, weight).flatten(1, 2) + bias


@mistake(
    "patch_of_pixel", "You swapped rows and columns. The index is (patch row) * (patches per row) + (patch column)."
)
def patch_number_by_columns(y: Tensor, x: Tensor, width: int, patch_size: int) -> Tensor:
    return (x // patch_size) * (width // patch_size) + y // patch_size


@mistake(
    "patch_of_pixel", "You multiplied the patch row by the width in pixels. A row of the grid has width / P patches."
)
def patch_number_in_pixels(y: Tensor, x: Tensor, width: int, patch_size: int) -> Tensor:
    return (y // patch_size) * width + x // patch_size


@mistake("patch_of_pixel", "You counted from 1. The first patch has index 0.")
def patch_number_from_one(y: Tensor, x: Tensor, width: int, patch_size: int) -> Tensor:
    return solution.patch_of_pixel(y, x, width, patch_size) + 1


@mistake(
    "patch_of_pixel",
    "You rounded to the nearest integer, so the last pixels of a patch land in the next one. Round down, with //.",
)
def patch_number_rounded(y: Tensor, x: Tensor, width: int, patch_size: int) -> Tensor:
    rows, columns = (y / patch_size).round().long(), (x / patch_size).round().long()
    return rows * (width // patch_size) + columns


@variant("patch_of_pixel")
def patch_number_from_a_map(y: Tensor, x: Tensor, width: int, patch_size: int) -> Tensor:
    columns = width // patch_size
    rows = int(y.max()) // patch_size + 1
    numbers = torch.arange(rows * columns).reshape(rows, columns)
    return numbers.repeat_interleave(patch_size, 0).repeat_interleave(patch_size, 1)[y, x]
