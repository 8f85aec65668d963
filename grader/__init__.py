"""Grades the exercises: random cases, the submission in a process of its own, and mistakes called by their names."""

import vlm.commands.ctrl_c  # noqa: F401 (before torch, so that Ctrl-C ends a program that is still importing it)
from grader.exercise import Case, Exercise, Random
from grader.reports import grade_chapter
from grader.truth import mistake, variant

__all__ = ["Case", "Exercise", "Random", "grade_chapter", "mistake", "variant"]
