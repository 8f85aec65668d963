"""Grades the exercises: random test cases, a separate process for each submission, and names for known mistakes."""

import vlm.commands.ctrl_c  # noqa: F401 (before torch, so that Ctrl-C works while torch is being imported)
from grader.exercise import Case, Exercise, Random
from grader.reports import grade_chapter
from grader.truth import mistake, variant

__all__ = ["Case", "Exercise", "Random", "grade_chapter", "mistake", "variant"]
