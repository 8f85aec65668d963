"""Grades the exercises: random cases, the submission in a process of its own, and mistakes called by their names."""

from grader.exercise import Case, Exercise, Random
from grader.reports import grade_chapter
from grader.truth import mistake, variant

__all__ = ["Case", "Exercise", "Random", "grade_chapter", "mistake", "variant"]
