"""Compares the answers of a submission with the right ones, and names the mistake if it is a known one."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from grader.compare import difference, error_table, same
from grader.encoding import Raised, decode, encodable_part, encode
from grader.exercise import Case, Exercise
from grader.runner import Outcome
from grader.sandbox import has_no_numbers


@dataclass(frozen=True)
class KnownMistake:
    """The answers of a wrong implementation, and the message for a learner who gets the same answers."""

    name: str
    says: str
    answers: list[Any]  # one for each case


@dataclass(frozen=True)
class Truth:
    """The right answers to the cases of one exercise and seed, and those of the known mistakes."""

    answers: list[Any]
    mistakes: list[KnownMistake]


@dataclass(frozen=True)
class Verdict:
    """The result of one exercise.

    Attributes:
        passed: whether every case is right.
        message: what is wrong, in one to three lines; "" if everything is right.
        mistake: the name of the known mistake; "" if it is not a known one.
    """

    passed: bool
    message: str = ""
    mistake: str = ""


MAX_MESSAGE_CHARACTERS = 3000
_PROBLEMS = {
    "not written": "not written yet",
    "too large": "the file is larger than 1 MB: hand in only code",
    "partly written": "not written yet: `{what}`",
    "calls the unwritten": "it calls {what}, which is not written yet",
    "error": "it stopped with an error. {what}",
    "syntax": "the file cannot be read as Python: {what}",
    "forbidden": "it calls {what}, directly or through another function, which this exercise does not allow",
    "not allowed": "it tried to {what}, which the grader does not let a submission do",
    "exit": "it called exit()",
    "time": "it did not finish within {what} seconds: is there an endless loop?",
    "memory": "it tried to allocate more than 4 GB of memory: check the shapes of intermediate results",
    "crash": "it crashed the Python process ({what})",
    "garbled": "its answer could not be read ({what})",
}


def judge(exercise: Exercise, cases: list[Case], outcome: Outcome, truth: Truth) -> Verdict:
    """Check whether every case is right, and if not, say what is wrong with the first wrong one.

    An answer that cannot be compared is wrong. A submission may have forged the outcome, so it can contain anything.

    Args:
        cases: the arguments as they were before the submission ran.
    """
    try:
        verdict = _judge(exercise, cases, outcome, truth)
    except Exception as error:
        verdict = Verdict(False, _PROBLEMS["garbled"].format(what=f"{type(error).__name__}: {error}"))
    message = verdict.message
    if message and outcome.refused and outcome.problem != "not allowed":
        message += f"\nbefore that it tried to {outcome.refused}, which the grader does not let a submission do"
    return dataclasses.replace(verdict, message=plain(message))


def plain(text: str) -> str:
    """Shorten a text to a readable length, and replace control characters, which could alter a terminal's display."""
    short = text if len(text) <= MAX_MESSAGE_CHARACTERS else f"{text[:MAX_MESSAGE_CHARACTERS]}..."
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in short)


def _judge(exercise: Exercise, cases: list[Case], outcome: Outcome, truth: Truth) -> Verdict:
    if outcome.problem:
        message = _PROBLEMS[outcome.problem].format(what=outcome.what)
        right = truth.answers[outcome.case] if outcome.case >= 0 else None
        if outcome.problem == "error" and isinstance(right, Raised):
            message += f" (here a {right.error} is the right answer)"
        asked = [describe_case(exercise, case) for case in cases[outcome.case : outcome.case + 1]]
        return Verdict(False, "\n".join([message, *asked] if outcome.case >= 0 else [message]))
    if len(outcome.answers) != len(cases) or len(outcome.arguments) != len(cases):
        return Verdict(False, _PROBLEMS["garbled"].format(what="answers are missing"))
    counted = [i for i in range(len(cases)) if not (i in outcome.skipped and has_no_numbers(cases[i]))]
    for number in counted:
        answer, expected = outcome.answers[number], truth.answers[number]
        problem = difference(answer, expected, exercise.tolerance, exercise.equal)
        if problem:
            details = f"{problem} ({describe_case(exercise, cases[number])})"
            if exercise.table and isinstance(answer, dict):
                details += f"\n{error_table(answer, expected, exercise.tolerance)}"
            return explain(exercise, number, counted, details, outcome.answers, truth)
    for case, after in zip(cases, outcome.arguments, strict=True):
        for name, value in decode(encode(encodable_part(case))).items():
            if not same(after[name], value, tolerance=0.0):
                return Verdict(False, f"the answer is right, but the argument `{name}` was modified in place")
    return Verdict(True)


def explain(
    exercise: Exercise, number: int, counted: list[int], details: str, answers: list[Any], truth: Truth
) -> Verdict:
    """Name the known mistake that gives the same answers, if there is one.

    A learner who makes one mistake often makes a second. So a mistake is also named, with less certainty, if it gives
    the same wrong answer to the reported case. Of several such mistakes, the one that agrees on the most cases is
    named, and in a tie the first in the file.

    Args:
        number: the index of the reported case.
        counted: the indices of the cases that count.
        details: how the answer to the reported case differs.
    """
    best, most = None, 0
    for mistake in truth.mistakes:
        agrees = {i for i in counted if same(answers[i], mistake.answers[i], exercise.tolerance)}
        if number in agrees and len(agrees) > most:
            best, most = mistake, len(agrees)
    if best is None:
        return Verdict(False, details)
    says = best.says if most == len(counted) else f"Probably this, and perhaps more: {best.says}"
    return Verdict(False, f"{says}\n{details}", best.name)


def describe_case(exercise: Exercise, case: Case) -> str:
    """A short description of the arguments: tensors are given by their shapes."""
    shown = case if exercise.show is None else exercise.show(case)
    return "for " + ", ".join(f"{name} {describe_value(value)}" for name, value in shown.items())


def describe_value(value: Any) -> str:
    if hasattr(value, "shape"):
        return f"of shape {list(value.shape)}"
    if isinstance(value, dict) and any(hasattr(item, "shape") for item in value.values()):
        return f"of {len(value)} tensors"
    if isinstance(value, list) and value and not isinstance(value[0], (bool, int, float, str, list)):
        return f"[{', '.join(describe_value(item) for item in value)}]"
    if dataclasses.is_dataclass(value):
        return f"a {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
