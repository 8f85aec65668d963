"""Gives back nan, in case that nothing is far from it."""

import torch


def patch_of_pixel(y, x, width, patch_size):
    return torch.full_like(y, float("nan"), dtype=torch.float32)
