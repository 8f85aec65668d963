"""Runs the text of the solution."""

from pathlib import Path

import vlm

SOLUTION = Path(vlm.__file__).parents[1] / "solutions" / "ch02_patches.py"
exec(SOLUTION.read_text())
