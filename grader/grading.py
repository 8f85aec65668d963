"""Grades a chapter's exercises, or all of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grader.exercise import Exercise
from grader.judge import Verdict, judge
from grader.runner import Runner
from grader.sandbox import load_file
from grader.truth import live_truth

ROOT = Path(__file__).parent.parent
EXERCISES = ROOT / "exercises"
SOLUTIONS = ROOT / "solutions"


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
    chapter = checks.stem.removeprefix("test_")
    outcome = runner.run(exercise, submissions / f"{chapter}.py", checks, seed, SOLUTIONS)
    verdict = judge(exercise, exercise.cases(seed), outcome, live_truth(exercise, chapter, seed))
    return Result(chapter, exercise, verdict, seed, outcome.printed)


def all_checks() -> list[Path]:
    """The files of checks, in the order of the chapters."""
    return sorted(EXERCISES.glob("test_ch*.py"))


def grade_folder(submissions: Path, seed: int, runner: Runner) -> Iterator[Result]:
    """Grade every exercise of the course from the files in one folder."""
    for checks in all_checks():
        for exercise in load_file(checks, f"checks_of_{checks.stem}").EXERCISES:
            yield grade_exercise(exercise, checks, submissions, seed, runner)
