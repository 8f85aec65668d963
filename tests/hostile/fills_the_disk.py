"""Writes 200 MB beside itself."""

from pathlib import Path


def patch_of_pixel(y, x, width, patch_size):
    Path(__file__).with_name("filler").write_bytes(bytes(200_000_000))
