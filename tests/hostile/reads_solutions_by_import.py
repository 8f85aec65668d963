"""Imports the solution, from the folder above the package."""

import sys
from pathlib import Path

import vlm

sys.path.insert(0, str(Path(vlm.__file__).parents[1]))
from solutions.ch02_patches import patch_of_pixel  # noqa: F401
