"""Paths in the repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXERCISES = ROOT / "exercises"
SOLUTIONS = ROOT / "solutions"
EXPECTED = EXERCISES / "expected"  # only in a student's copy, which has no solutions
