"""Right, by the function that the exercise is to do without."""

import torch


def patch_of_pixel(y, x, width, patch_size):
    row, column = torch.div(y, patch_size, rounding_mode="floor"), torch.div(x, patch_size, rounding_mode="floor")
    return row * (width // patch_size) + column
