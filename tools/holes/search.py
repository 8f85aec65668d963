"""Searches holes: makes mutants of right answers, and keeps those that are wrong on a case and pass all the same."""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from grader.exercise import Exercise
from grader.judge import describe_case
from tools.holes.mutants import Mutant, make_mutants
from tools.holes.observe import number_nodes, watched_module
from tools.holes.questions import Question, wrong
from tools.holes.sources import Source
from tools.holes.worker import Finding, examine, module_from

ROUNDING = 1e-2  # right answers that are computed in another order may differ by this much in large numbers
Passes = Callable[[Mutant, int], bool]


@dataclass(frozen=True)
class Hole:
    """A wrong answer that the grader passes.

    Attributes:
        mutant: the wrong answer.
        seeds: the seeds at which it passes.
        origin: where the case comes from that shows that it is wrong: "wide", a derivation, or "another seed".
        case: the case in words.
        problem: what is wrong there.
    """

    mutant: Mutant
    seeds: tuple[int, ...]
    origin: str
    case: str
    problem: str


@dataclass
class Search:
    """What was found for one exercise.

    Attributes:
        mutants: how many wrong answers were tried.
        differing: how many gave a wrong answer to some case.
        holes: those that the grader passes.
        doubtful: right variants that answer a wide case in another way: either they are wrong or the case is.
        illegal: cases on which the solution itself stops, so that they are left out.
    """

    chapter: str
    exercise: str
    mutants: int = 0
    differing: int = 0
    holes: list[Hole] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)
    illegal: list[str] = field(default_factory=list)


def search(
    found: Search,
    source: Source,
    exercise: Exercise,
    own: Sequence[Sequence[Question]],
    wide: Sequence[Question],
    passes: Passes,
    seconds: float = 1.0,
):
    """Try all mutants of a right answer, and add what is found.

    Args:
        own: for each seed the grader's own questions.
        wide: those that go beyond.
        seconds: of CPU time for each mutant.
        passes: asks the grader whether it passes a mutant at a seed; only those are asked about that differ somewhere.
    """
    mutants = mutants_of(source, exercise, own)
    found.mutants += len(mutants)
    findings = examine([mutant.text for mutant in mutants], own, wide, seconds)
    for mutant, finding in zip(mutants, findings, strict=True):
        if finding.problem or len(finding.passed) < len(own):
            found.differing += 1
            if finding.passed and passes(mutant, finding.passed[0]):
                found.holes.append(hole(mutant, finding, wide))


def mutants_of(source: Source, exercise: Exercise, own: Sequence[Sequence[Question]]) -> list[Mutant]:
    """The mutants of a right answer, which is first watched on the grader's own cases."""
    number_nodes(source.parts)
    module, facts = watched_module(source.tree)
    for seed in range(len(own)):
        for case in exercise.cases(seed):
            exercise.run(module, case)
    return list(make_mutants(source, facts))


def hole(mutant: Mutant, finding: Finding, wide: Sequence[Question]) -> Hole:
    if not finding.problem:
        return Hole(mutant, finding.passed, "another seed", "", "")
    question = wide[finding.question]
    case = describe_case(question.exercise, question.case)
    return Hole(mutant, finding.passed, question.origin, case, finding.problem)


def settled(found: Search, questions: list[Question], variants: Sequence[Source]) -> list[Question]:
    """The questions without those on which a right variant and the solution do not agree.

    Where a case that was written for the exercise shows more than a difference in rounding, it is kept: then the
    variant may be wrong.
    """
    dropped = set()
    for variant in variants:
        submission = module_from(ast.unparse(variant.tree))
        for index, question in enumerate(questions):
            if problem := wrong(question, submission):
                case = describe_case(question.exercise, question.case)
                found.doubtful.append(f"{variant.name}, {question.origin}: {problem} ({case})")
                if question.origin != "wide" or not wrong(question, submission, tolerance=ROUNDING):
                    dropped.add(index)
    return [question for index, question in enumerate(questions) if index not in dropped]


def answered(source: Source, questions: Sequence[Question]) -> list[Question]:
    """The questions that a right answer itself answers like the solution: its mutants are asked only these."""
    submission = module_from(ast.unparse(source.tree))
    return [question for question in questions if not wrong(question, submission)]
