"""Questions: a case with its right answer. An answer is compared as the exercise compares it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from grader.compare import difference, same
from grader.encoding import decode, encodable_part, encode
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
        before: their encodable part, to see whether one was changed.
        expected: the right answer.
    """

    origin: str
    exercise: Exercise
    case: Case
    before: Case
    expected: Any


def ask(origin: str, exercise: Exercise, make_cases: MakeCases, solution: Any) -> Iterator[Question | str]:
    """Questions with the answers of the solution; a text for a case on which the solution itself stops.

    Args:
        make_cases: makes the cases anew each time, since the solution may change what it is given.
    """
    for case, spare in zip(make_cases(), make_cases(), strict=True):
        try:
            expected = answer(exercise, solution, spare)
        except Exception as error:
            yield f"{origin}: {type(error).__name__}: {str(error).splitlines()[:1]}"
        else:
            yield Question(origin, exercise, case, decode(encode(encodable_part(case))), expected)


def answer(exercise: Exercise, submission: Any, case: Case) -> Any:
    return decode(encode(exercise.run(submission, case)))


def wrong(question: Question, submission: Any, tolerance: float = 0.0) -> str:
    """What is wrong with the answer of a submission; "" if nothing is.

    Args:
        tolerance: if it is larger than that of the exercise, it counts.
    """
    exercise, case = question.exercise, question.case
    try:
        given = answer(exercise, submission, case)
    except Exception as error:
        if has_no_numbers(case) and asks_for_numbers(error):
            return ""  # as the grader does
        return f"{type(error).__name__}: {error}"
    try:
        problem = difference(given, question.expected, max(exercise.tolerance, tolerance), exercise.equal)
    except Exception as error:
        return f"cannot be compared: {type(error).__name__}: {error}"
    if problem:
        return problem
    after = decode(encode(encodable_part(case)))
    changed = [name for name, value in question.before.items() if not same(after.get(name), value, tolerance=0.0)]
    return f"the argument `{changed[0]}` was modified in place" if changed else ""
