"""Searches the exercises of the course: their right answers, their cases, and their graders."""

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from grader.exercise import Exercise
from grader.grading import chapter_of, grade_exercise, load_exercises
from grader.runner import Runner
from grader.truth import load_solution
from tools.holes.derived import derived_cases
from tools.holes.mutants import Mutant
from tools.holes.questions import Question, ask
from tools.holes.search import Search, answered, search, settled
from tools.holes.sources import right_answers
from tools.holes.wide import left_out, wide_cases
from tools.holes.worker import PATIENCE


def search_chapter(
    checks: Path, only: str | None, seeds: int, variants: bool, runner: Runner | None
) -> Iterator[Search]:
    """Search each exercise of a check file.

    Args:
        only: the name of one exercise; None: all.
        seeds: how many seeds a mutant must be caught at.
        variants: whether the other right variants are changed too, and not only the solution.
        runner: asks the grader in its confined process; None: a comparison in this one is enough.
    """
    exercises = load_exercises(checks)
    for exercise in exercises:
        if only in (None, exercise.name):
            yield search_exercise(checks, exercise, [other.name for other in exercises], seeds, variants, runner)


def search_exercise(
    checks: Path, exercise: Exercise, names: Sequence[str], seeds: int, variants: bool, runner: Runner | None
) -> Search:
    """Search one exercise of a chapter that has exercises of these names."""
    chapter = chapter_of(checks)
    found, sources = Search(chapter, exercise.name), list(right_answers(chapter, exercise.name, names))
    start = time.process_time()
    own = [own_questions(chapter, exercise, seed) for seed in range(seeds)]
    wide = settled(found, wide_questions(found, exercise), sources[1:])
    seconds = 1 + 2 * (time.process_time() - start)  # a right answer takes much less than it took to ask all this

    def passes(mutant: Mutant, seed: int) -> bool:
        return runner is None or grade(mutant, exercise, checks, seed, runner)

    for source in sources if variants else sources[:1]:
        search(found, source, exercise, own, answered(source, wide), passes, seconds)
    return found


def own_questions(chapter: str, exercise: Exercise, seed: int) -> list[Question]:
    questions = ask(f"seed {seed}", exercise, lambda: exercise.cases(seed), load_solution(chapter))
    return [question for question in questions if isinstance(question, Question)]


def wide_questions(found: Search, exercise: Exercise) -> list[Question]:
    """The questions of the wide cases: first those that are written for the exercise, then the derived ones."""
    sets = [("wide", runs, make) for runs, make in wide_cases(found.chapter, exercise)]
    sets += derived_cases(exercise, left_out(found.chapter, exercise))
    questions, solution = [], load_solution(found.chapter)
    for origin, runs, make in sets:
        for question in ask(origin, runs, make, solution):
            (found.illegal if isinstance(question, str) else questions).append(question)
    return questions


def grade(mutant: Mutant, exercise: Exercise, checks: Path, seed: int, runner: Runner) -> bool:
    """Whether the grader itself, in its confined process, passes the mutant."""
    patient = dataclasses.replace(exercise, seconds=PATIENCE)  # on a busy machine a right answer needs it too
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{chapter_of(checks)}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(mutant.text, encoding="utf-8")
        return grade_exercise(patient, checks, Path(folder), seed, runner).verdict.passed
