"""Gives back a text of 20 MB."""


def patch_of_pixel(y, x, width, patch_size):
    return "x" * 20_000_000
