"""Proof of the graders: every known mistake is failed and called by its name, every right answer passes."""

from functools import cache
from pathlib import Path

import pytest

from grader.encoding import decode, encodable_part, encode
from grader.exercise import Exercise
from grader.grading import all_checks, chapter_of
from grader.judge import Verdict, judge
from grader.places import EXERCISES, SOLUTIONS
from grader.runner import Outcome
from grader.sandbox import load_file
from grader.truth import Mistake, Variant, answers_of, live_truth, load_alternatives, load_solution, substitute

SEEDS = (0, 1)
CHAPTERS = {chapter_of(checks): checks for checks in all_checks()}
# Mistakes that give no answer: torch, or the loader of weights, stops, and says what is wrong by itself.
ENDS_IN_AN_ERROR = {
    "length_without_keepdim": "The size of tensor a (4) must match the size of tensor b (3)",
    "shades_on_rows_and_columns": "The size of tensor a (5) must match the size of tensor b (3)",
    "shades_on_rows": "The size of tensor a (4) must match the size of tensor b (3)",
    "places_on_the_processor": "Tensor on device cpu is not on the expected device meta",
    "AttentionWithoutBias": "it has no weight `q_proj.bias`",
    "NormThatStartsWithOnes": "`weight` should start as zeros",
    "MlpWithBias": "it has a weight `gate_proj.bias` too many",
    "fold_into_rows": "The size of tensor a (6) must match the size of tensor b (4)",
    "AttentionOfWidthD": "its weight `q_proj.weight` has the shape [16, 16], expected [24, 16]",
    "AttentionWithAllKeyHeads": "its weight `k_proj.weight` has the shape [24, 16], expected [12, 16]",
    "AttentionWithBias": "it has a weight `q_proj.bias` too many",
    "shape_passed_over": "The expanded size of the tensor (64) must match the existing size (65)",
    "shapes_broadcast": "The expanded size of the tensor",
    "vectors_split": "mat1 and mat2 shapes cannot be multiplied (8x1 and 4x2)",
    "stops_at_none": "unsupported operand type(s) for *: 'int' and 'NoneType'",
}


@cache
def exercises_of(chapter: str) -> dict[str, Exercise]:
    return {
        exercise.name: exercise
        for exercise in load_file(CHAPTERS[chapter], f"proof_of_{CHAPTERS[chapter].stem}").EXERCISES
    }


@cache
def truth_of(chapter: str, name: str, seed: int):
    return live_truth(exercises_of(chapter)[name], chapter, seed)


def alternatives(kind: type) -> list:
    return [
        pytest.param(chapter, entry, id=f"{chapter}-{entry.name}")
        for chapter in CHAPTERS
        for entry in load_alternatives(chapter, kind)
    ]


def verdict_on(chapter: str, name: str, implementation, seed: int) -> Verdict:
    """Judge an implementation that we trust, in this process."""
    exercise = exercises_of(chapter)[name]
    submission = substitute(load_solution(chapter), name, implementation)
    arguments = [decode(encode(encodable_part(case))) for case in exercise.cases(seed)]
    try:
        outcome = Outcome(answers=answers_of(exercise, submission, seed), arguments=arguments)
    except Exception as error:
        outcome = Outcome("error", f"{type(error).__name__}: {error}")
    return judge(exercise, exercise.cases(seed), outcome, truth_of(chapter, name, seed))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("chapter", "entry"), alternatives(Mistake))
def test_a_known_mistake_is_failed_and_named(chapter, entry, seed):
    verdict = verdict_on(chapter, entry.exercise, entry.implementation, seed)
    assert not verdict.passed
    if entry.name in ENDS_IN_AN_ERROR:
        assert ENDS_IN_AN_ERROR[entry.name] in verdict.message
    else:
        assert verdict.mistake == entry.name
        assert entry.says in verdict.message


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("chapter", "entry"), alternatives(Variant))
def test_another_right_answer_passes(chapter, entry, seed):
    verdict = verdict_on(chapter, entry.exercise, entry.implementation, seed)
    assert verdict.passed, verdict.message


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_exercise_has_mistakes_and_another_right_answer(chapter):
    for name in exercises_of(chapter):
        assert sum(entry.exercise == name for entry in load_alternatives(chapter, Mistake)) >= 2, name
        assert sum(entry.exercise == name for entry in load_alternatives(chapter, Variant)) >= 1, name


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_mistakes_belong_to_exercises_and_differ_from_each_other(chapter):
    for entry in load_alternatives(chapter, Mistake):
        assert entry.exercise in exercises_of(chapter)
    names = [entry.name for entry in load_alternatives(chapter, Mistake)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_cases_come_from_the_seed_alone_and_another_seed_gives_others(chapter):
    for name, exercise in exercises_of(chapter).items():
        answers = [answers_of(exercise, load_solution(chapter), seed) for seed in (0, 0, 1)]
        assert repr(answers[0]) == repr(answers[1]), name
        assert repr(answers[0]) != repr(answers[2]), name


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_stubs_and_solutions_have_the_same_signatures_and_opening_lines(chapter):
    import ast

    def definitions(path: Path) -> dict[str, tuple[str, str]]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        return {
            node.name: (
                ast.unparse(node.args) if isinstance(node, ast.FunctionDef) else "",
                (ast.get_docstring(node) or "").splitlines()[0],
            )
            for node in tree.body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in exercises_of(chapter)
        }

    stubs, solutions = (
        definitions(EXERCISES / f"{chapter}.py"),
        definitions(SOLUTIONS / f"{chapter}.py"),
    )
    assert stubs == solutions
    assert set(stubs) == set(exercises_of(chapter))
