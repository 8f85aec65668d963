"""Gives back a tensor of 320 MB."""

import torch


def patch_of_pixel(y, x, width, patch_size):
    return torch.zeros(1).expand(80_000_000)
