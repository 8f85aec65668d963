"""Grades a chapter's exercises, or all of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from grader.exercise import Exercise
from grader.judge import Verdict, judge, plain
from grader.places import EXERCISES, EXPECTED, SOLUTIONS
from grader.runner import Runner
from grader.sandbox import load_file
from grader.truth import Truth, live_truth, recorded_truth


@dataclass(frozen=True)
class Result:
    """One exercise, graded."""

    chapter: str
    exercise: Exercise
    verdict: Verdict
    seed: int
    printed: str = ""

    @property
    def points(self) -> int:
        return self.exercise.points if self.verdict.passed else 0


def grade_exercise(exercise: Exercise, checks: Path, submissions: Path, seed: int, runner: Runner) -> Result:
    """Run and judge one exercise.

    Args:
        checks: the file `test_chNN_topic.py` that defines the exercise.
        submissions: the folder with the student's `chNN_topic.py`.
    """
    chapter = chapter_of(checks)
    outcome = runner.run(exercise, submissions / f"{chapter}.py", checks, seed, SOLUTIONS)
    verdict = judge(exercise, exercise.cases(seed), outcome, find_truth(exercise, chapter, seed))
    return Result(chapter, exercise, verdict, seed, plain(outcome.printed))


def find_truth(exercise: Exercise, chapter: str, seed: int) -> Truth:
    """Get the right answers from the solutions, or, if there are none, from the recorded answers."""
    if (SOLUTIONS / f"{chapter}.py").is_file():
        return live_truth(exercise, chapter, seed)
    return recorded_truth(exercise, seed, EXPECTED / f"{chapter}.answers")


@cache
def load_exercises(checks: Path) -> list[Exercise]:
    """The exercises that a check file defines."""
    return load_file(checks, f"checks_of_{checks.stem}").EXERCISES


def all_checks() -> list[Path]:
    """The check files, in the order of the chapters, and then the capstone's."""
    return [*sorted(EXERCISES.glob("test_ch*.py")), *sorted(EXERCISES.glob("capstone/test_*.py"))]


def chapter_of(checks: Path) -> str:
    """The chapter of a check file, such as "ch02_patches" or "capstone/my_paligemma": the path of a submission."""
    name = checks.stem.removeprefix("test_")
    return f"{checks.parent.name}/{name}" if checks.parent.name == "capstone" else name


def grade_folder(submissions: Path, seed: int, runner: Runner) -> Iterator[Result]:
    """Grade every exercise of the course from the files in one folder."""
    for checks in all_checks():
        for exercise in load_exercises(checks):
            yield grade_exercise(exercise, checks, submissions, seed, runner)
