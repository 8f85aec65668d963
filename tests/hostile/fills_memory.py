"""Asks for memory until there is none; it never touches it, so that a machine survives where nothing stops it."""

import torch

kept = []


def patch_of_pixel(y, x, width, patch_size):
    for _ in range(24):
        kept.append(torch.empty(256 * 1024 * 1024, dtype=torch.uint8))
    return torch.zeros_like(y)
