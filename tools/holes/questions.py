"""Questions: a case with its right answer. An answer is compared as the exercise compares it."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from grader.compare import difference
from grader.encoding import Meta, Raised
from grader.exercise import Case, Exercise
from grader.sandbox import asks_for_numbers, has_no_numbers

MakeCases = Callable[[], list[Case]]


@dataclass(frozen=True)
class Question:
    """One case.

    Attributes:
        origin: where the case comes from, such as "seed 0" or "wide".
        exercise: how it is run and compared.
        case: the arguments.
        expected: the right answer.
    """

    origin: str
    exercise: Exercise
    case: Case
    expected: Any


def ask(origin: str, exercise: Exercise, make_cases: MakeCases, solution: Any) -> Iterator[Question | str]:
    """Questions with the answers of the solution; a text for a case on which the solution itself stops.

    Args:
        make_cases: makes the cases again each time, since the solution may change what it is given.
    """
    for case, spare in zip(make_cases(), make_cases(), strict=True):
        try:
            expected = copy.deepcopy(plain(exercise.run(solution, spare)))
        except Exception as error:
            yield f"{origin}: {type(error).__name__}: {str(error).splitlines()[:1]}"
        else:
            yield Question(origin, exercise, case, expected)


def wrong(question: Question, submission: Any, tolerance: float = 0.0) -> str:
    """What is wrong with the answer of a submission; "" if nothing is. The question stays as it is.

    Args:
        tolerance: if it is larger than that of the exercise, it counts.
    """
    exercise, case = question.exercise, copy.deepcopy(question.case)
    try:
        given = plain(exercise.run(submission, case))
    except Exception as error:
        if has_no_numbers(case) and asks_for_numbers(error):
            return ""  # as the grader does
        return f"{type(error).__name__}: {error}"
    try:
        problem = difference(given, question.expected, max(exercise.tolerance, tolerance), exercise.equal)
    except Exception as error:
        return f"cannot be compared: {type(error).__name__}: {error}"
    changed = [name for name, value in question.case.items() if not is_unchanged(case.get(name), value)]
    return problem or (f"the argument `{changed[0]}` was modified in place" if changed else "")


def plain(value: Any) -> Any:
    """What is left of an answer when the grader has encoded and decoded it; done here without bytes, to be fast.

    Raises:
        TypeError: it cannot be encoded.
    """
    if isinstance(value, Tensor):
        return Meta(tuple(value.shape), value.dtype) if value.is_meta else value.detach()
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value)) if type(value) in (list, tuple) else tuple(map(plain, value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (bool, int, float, str, type(None), Meta, Raised)):
        return value
    raise TypeError(f"a {type(value).__name__} was returned")


def is_unchanged(after: Any, before: Any) -> bool:
    """Whether an argument is as it was, to the last bit. Of what is neither a number, a text nor a tensor: yes."""
    if isinstance(before, Tensor):
        if not isinstance(after, Tensor) or after.shape != before.shape or after.dtype != before.dtype:
            return False
        return before.is_meta or torch.equal(after.nan_to_num(7.0), before.nan_to_num(7.0))
    if isinstance(before, (list, tuple)):
        return len(after) == len(before) and all(map(is_unchanged, after, before))
    if isinstance(before, dict):
        return after.keys() == before.keys() and all(is_unchanged(after[key], before[key]) for key in before)
    return after == before if isinstance(before, (bool, int, float, str)) else True
