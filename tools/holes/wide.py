"""Wide cases: far beyond the grader's own, and legal by the words of the stub.

`tools/holes/wide_chNN.py` has a list WIDE of them for its chapter, and may say in WITHOUT which of the cases that are
derived from the grader's own (`tools/holes/derived.py`) an exercise's stub does not allow.
"""

import importlib
import importlib.util
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from types import ModuleType
from typing import Any

from grader.exercise import Case, Exercise, Random
from grader.places import EXERCISES
from grader.sandbox import load_file


@dataclass(frozen=True)
class Wide:
    """Wide cases of one exercise.

    Attributes:
        exercise: its name.
        make_cases: like those of an exercise.
        fields: fields of the exercise that differ for these cases, such as `call` or `tolerance`.
    """

    exercise: str
    make_cases: Callable[[Random], Iterator[Case]]
    fields: dict[str, Any] = field(default_factory=dict)

    def cases(self) -> list[Case]:
        return list(self.make_cases(Random(zlib.crc32(f"wide {self.exercise}".encode()))))


def module_of(chapter: str) -> Any:
    """The module with the wide cases of a chapter, such as "ch03_attention"; None if there is none yet."""
    name = f"tools.holes.wide_{chapter.split('_')[0]}"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def wide_cases(chapter: str, exercise: Exercise) -> list[tuple[Exercise, Callable[[], list[Case]]]]:
    """For each set of wide cases of an exercise: how to run them, and what makes them."""
    entries = getattr(module_of(chapter), "WIDE", [])
    return [
        # A wide case may have other fields than `show` expects.
        (replace(exercise, **({"show": None} | entry.fields)), entry.cases)
        for entry in entries
        if entry.exercise == exercise.name
    ]


def left_out(chapter: str, exercise: Exercise) -> tuple[str, ...]:
    """The derivations that the stub of an exercise does not allow."""
    return getattr(module_of(chapter), "WITHOUT", {}).get(exercise.name, ())


@cache
def checks_of(chapter: str) -> ModuleType:
    """The check file of a chapter: wide cases may be made and called with its functions."""
    return load_file(EXERCISES / f"test_{chapter}.py", f"checks_of_test_{chapter}")
