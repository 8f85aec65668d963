"""Fails with a text of 50 MB, so that the report is as long."""


def patch_of_pixel(y, x, width, patch_size):
    raise ValueError("x" * 50_000_000)
