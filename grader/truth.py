"""Provides the right answers: from the solutions, run on the same cases as the submission, or from a record.

`solutions/ch02_patches.py` is the reference for `exercises/ch02_patches.py`. `solutions/mistakes/ch02_patches.py` has
wrong implementations of the same exercises, each with a message for the learner, and other right ones. A students' copy
(see `grader/release.py`) has no solutions, but their answers for a few seeds, in `exercises/expected/`.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from grader.encoding import decode, encode
from grader.exercise import Exercise
from grader.judge import KnownMistake, Truth
from grader.places import ROOT


@dataclass(frozen=True)
class Mistake:
    """A plausible wrong implementation of an exercise."""

    exercise: str
    name: str
    says: str
    implementation: Any
    section: str


@dataclass(frozen=True)
class Variant:
    """Another right implementation of an exercise, written differently."""

    exercise: str
    name: str
    implementation: Any


def mistake(exercise: str, says: str, section: str = "") -> Callable[[Any], Mistake]:
    """Mark a function or class as a known mistake in an exercise.

    Args:
        says: one or two sentences for a learner who gets the same answers.
        section: the heading of the section to read again, if it is not the exercise's own.
    """
    return lambda implementation: Mistake(exercise, implementation.__name__, says, implementation, section)


def variant(exercise: str) -> Callable[[Any], Variant]:
    """Mark a function or class as another right answer to an exercise."""
    return lambda implementation: Variant(exercise, implementation.__name__, implementation)


def load_solution(chapter: str) -> ModuleType:
    """The reference solution of a chapter, such as "ch02_patches"."""
    return _import(f"solutions.{chapter}")


def load_alternatives(chapter: str, kind: type) -> list[Any]:
    """The chapter's mistakes (`kind` is Mistake) or other right solutions (Variant), in the order of the file."""
    module = _import(f"solutions.mistakes.{chapter}")
    return [value for value in vars(module).values() if isinstance(value, kind)]


def _import(name: str) -> ModuleType:
    if str(ROOT) not in sys.path:  # in a notebook the working folder is a different one
        sys.path.append(str(ROOT))
    return importlib.import_module(name.replace("/", "."))


def substitute(solution: ModuleType, exercise: str, implementation: Any) -> SimpleNamespace:
    """The reference solution with one function or class replaced."""
    return SimpleNamespace(**{**vars(solution), exercise: implementation})


def answers_of(exercise: Exercise, submission: Any, seed: int) -> list[Any]:
    """The answers of trusted code to the cases of a seed, encoded and decoded like those of a submission."""
    return [decode(encode(exercise.run(submission, case))) for case in exercise.cases(seed)]


@cache
def live_truth(exercise: Exercise, chapter: str, seed: int) -> Truth:
    """Run the reference and the known mistakes. A mistake that raises an error has no answers, and is left out."""
    solution = load_solution(chapter)
    known = []
    for entry in load_alternatives(chapter, Mistake):
        if entry.exercise == exercise.name:
            try:
                answers = answers_of(exercise, substitute(solution, exercise.name, entry.implementation), seed)
            except Exception:  # the error itself tells the learner enough
                continue
            section = entry.section or exercise.section
            says = f"{entry.says} See “{section}”." if section else entry.says
            known.append(KnownMistake(entry.name, says, answers))
    return Truth(answers_of(exercise, solution, seed), known)


def record_truth(exercises: Sequence[Exercise], chapter: str, seeds: Sequence[int], path: Path):
    """Write the results of `live_truth` for some seeds into a file, as numbers without code."""
    record = {}
    for seed in seeds:
        for exercise in exercises:
            truth = live_truth(exercise, chapter, seed)
            mistakes = [(mistake.name, mistake.says, mistake.answers) for mistake in truth.mistakes]
            record[f"{exercise.name} {seed}"] = {"answers": truth.answers, "mistakes": mistakes}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(record))


@cache
def recorded_truth(exercise: Exercise, seed: int, path: Path) -> Truth:
    """Read the answers that `record_truth` wrote.

    Raises:
        ValueError: there is no record for this seed.
    """
    record = decode(path.read_bytes())
    seeds = sorted({int(key.split()[1]) for key in record})
    if seed not in seeds:
        raise ValueError(f"expected answers are recorded for --grader-seed {seeds}, not for {seed}")
    entry = record[f"{exercise.name} {seed}"]
    return Truth(entry["answers"], [KnownMistake(*mistake) for mistake in entry["mistakes"]])
