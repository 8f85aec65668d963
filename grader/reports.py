"""Formats results: a table for people, and JSON for Gradescope."""

import json
import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from grader.grading import Result, all_checks, chapter_of, grade_exercise, load_exercises
from grader.places import EXERCISES
from grader.runner import Runner
from vlm.checkpoints.atomic_write import write_text

_WIDTH = 100


def table(results: Sequence[Result]) -> str:
    """A table of all exercises with their points, and below each failed one what is wrong."""
    lines = []
    width = max((len(result.exercise.name) for result in results), default=0)
    for chapter, group in groupby(results, key=lambda result: result.chapter):
        group = list(group)
        lines += ["", f"{chapter} (seed {group[0].seed})"]
        for result in group:
            head = f"  {result.exercise.name:{width}}  {result.points}/{result.exercise.points}  "
            if result.verdict.passed:
                lines.append(f"{head}passed")
                continue
            first, *rest = result.verdict.message.splitlines()
            indent = " " * len(head)
            lines += textwrap.wrap(first, _WIDTH, initial_indent=head, subsequent_indent=indent)
            for text in rest:
                lines += textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)
            if result.printed:
                lines.append(f"{indent}printed: {result.printed.strip()[:200]!r}")
    earned, possible = (sum(values) for values in zip(*((r.points, r.exercise.points) for r in results), strict=True))
    return "\n".join([*lines, "", f"{earned} of {possible} points"])


def grade_chapter(chapter: str, seed: int = 0):
    """Grade what you wrote in `exercises/` for a chapter, such as "ch02_patches", and print the table."""
    chapters = {chapter_of(checks): checks for checks in all_checks()}
    if chapter not in chapters:
        raise ValueError(f"there are no exercises for {chapter!r}: choose one of {', '.join(chapters)}")
    checks, runner = chapters[chapter], Runner()
    results = [grade_exercise(exercise, checks, EXERCISES, seed, runner) for exercise in load_exercises(checks)]
    print(table(results))


def write_gradescope(results: Sequence[Result], path: Path):
    """Write the file that Gradescope's autograder reads, results/results.json."""
    tests = [
        {
            "name": f"{result.chapter}: {result.exercise.title}",
            "number": result.exercise.name,
            "score": result.points,
            "max_score": result.exercise.points,
            "status": "passed" if result.verdict.passed else "failed",
            "output": result.verdict.message,
        }
        for result in results
    ]
    report = {"score": sum(test["score"] for test in tests), "tests": tests}
    write_text(path, json.dumps(report, indent=2) + "\n")
