"""Proof of the graders: every known mistake is failed and called by its name, every right answer passes."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from grader.encoding import decode, encodable_part, encode
from grader.exercise import Exercise
from grader.grading import all_checks, chapter_of, load_exercises
from grader.judge import Verdict, judge
from grader.places import EXERCISES, ROOT, SOLUTIONS
from grader.runner import Outcome
from grader.truth import Mistake, Variant, answers_of, live_truth, load_alternatives, load_solution, substitute

SEEDS = (0, 1)
CHAPTERS = {chapter_of(checks): checks for checks in all_checks()}
# Mistakes that give no answer: torch, or the loader of weights, stops, and says what is wrong by itself.
ENDS_IN_AN_ERROR = {
    "length_without_keepdim": "The size of tensor a (4) must match the size of tensor b (3)",
    "offsets_on_rows_and_columns": "The size of tensor a (5) must match the size of tensor b (3)",
    "offsets_on_rows": "The size of tensor a (4) must match the size of tensor b (3)",
    "positions_on_the_cpu": "Tensor on device cpu is not on the expected device meta",
    "AttentionWithoutBias": "it has no weight `q_proj.bias`",
    "NormThatStartsWithOnes": "`weight` should start as zeros",
    "MlpWithBias": "it has an unexpected weight `gate_proj.bias`",
    "fold_into_rows": "The size of tensor a (6) must match the size of tensor b (4)",
    "AttentionOfWidthD": "its weight `q_proj.weight` has the shape [16, 16], expected [24, 16]",
    "AttentionWithAllKeyHeads": "its weight `k_proj.weight` has the shape [24, 16], expected [12, 16]",
    "AttentionWithBias": "it has an unexpected weight `q_proj.bias`",
    "wrong_shape_ignored": "The expanded size of the tensor (64) must match the existing size (65)",
    "shapes_broadcast": "The expanded size of the tensor",
    "vectors_split": "mat1 and mat2 shapes cannot be multiplied (8x1 and 4x2)",
    "none_not_handled": "unsupported operand type(s) for *: 'int' and 'NoneType'",
}


GRADED = [
    pytest.param(chapter, exercise, id=f"{chapter}-{exercise.name}")
    for chapter, checks in CHAPTERS.items()
    for exercise in load_exercises(checks)
]


def alternatives(chapter: str, exercise: Exercise, kind: type) -> list:
    return [entry for entry in load_alternatives(chapter, kind) if entry.exercise == exercise.name]


def verdict_on(chapter: str, exercise: Exercise, implementation, seed: int) -> Verdict:
    """Judge an implementation that we trust, in this process."""
    submission = substitute(load_solution(chapter), exercise.name, implementation)
    arguments = [decode(encode(encodable_part(case))) for case in exercise.cases(seed)]
    try:
        outcome = Outcome(answers=answers_of(exercise, submission, seed), arguments=arguments)
    except Exception as error:
        outcome = Outcome("error", f"{type(error).__name__}: {error}")
    return judge(exercise, exercise.cases(seed), outcome, live_truth(exercise, chapter, seed))


def is_caught(entry: Mistake, verdict: Verdict) -> bool:
    if entry.name in ENDS_IN_AN_ERROR:
        return not verdict.passed and ENDS_IN_AN_ERROR[entry.name] in verdict.message
    return not verdict.passed and verdict.mistake == entry.name and entry.says in verdict.message


@pytest.mark.parametrize(("chapter", "exercise"), GRADED)
def test_every_known_mistake_is_failed_and_named(chapter, exercise, record_property):
    entries = alternatives(chapter, exercise, Mistake)
    missed = {}
    for entry in entries:
        for seed in SEEDS:
            verdict = verdict_on(chapter, exercise, entry.implementation, seed)
            if not is_caught(entry, verdict):
                missed[entry.name] = verdict
    record_property("known_mistakes", len(entries))
    record_property("caught_mistakes", len(entries) - len(missed))
    assert missed == {}
    assert len(entries) >= 2


@pytest.mark.parametrize(("chapter", "exercise"), GRADED)
def test_every_other_right_answer_passes(chapter, exercise):
    entries = alternatives(chapter, exercise, Variant)
    verdicts = {
        (entry.name, seed): verdict_on(chapter, exercise, entry.implementation, seed)
        for entry in entries
        for seed in SEEDS
    }
    assert {key: verdict.message for key, verdict in verdicts.items() if not verdict.passed} == {}
    assert entries


def test_mistakes_and_other_answers_belong_to_exercises_and_mistakes_differ_in_their_names():
    for chapter, checks in CHAPTERS.items():
        mistakes, variants = (load_alternatives(chapter, kind) for kind in (Mistake, Variant))
        names = {exercise.name for exercise in load_exercises(checks)}
        assert {entry.exercise for entry in mistakes + variants} <= names, chapter
        counts = Counter(entry.name for entry in mistakes)
        assert max(counts.values()) == 1, (chapter, counts.most_common(3))


def test_cases_come_from_the_seed_alone_and_another_seed_gives_others():
    changing, standing_still = [], []
    for chapter, checks in CHAPTERS.items():
        for exercise in load_exercises(checks):
            first, again, other = (repr(answers_of(exercise, load_solution(chapter), seed)) for seed in (0, 0, 1))
            changing += [exercise.name] if first != again else []
            standing_still += [exercise.name] if first == other else []
    assert (changing, standing_still) == ([], [])


def definitions(path: Path, names: set[str]) -> dict[str, tuple[str, str]]:
    """Arguments and first line of the docstring of what is defined in a file."""
    return {
        node.name: (
            ast.unparse(node.args) if isinstance(node, ast.FunctionDef) else "",
            (ast.get_docstring(node) or "").splitlines()[0],
        )
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in names
    }


def test_stubs_and_solutions_have_the_same_signatures_and_opening_lines():
    for chapter, checks in CHAPTERS.items():
        names = {exercise.name for exercise in load_exercises(checks)}
        stubs, solutions = (definitions(folder / f"{chapter}.py", names) for folder in (EXERCISES, SOLUTIONS))
        assert stubs == solutions, chapter
        assert set(stubs) == names, chapter


def read_headings(chapter: str) -> list[str]:
    """The headings in a chapter's source, its title first."""
    source = (ROOT / "book" / f"{chapter}.py").read_text(encoding="utf-8")
    text = "\n".join(cell for cell in source.split("\n# %%") if cell.startswith(" [markdown]"))
    return re.findall(r"^# #+ (.+)$", text, re.MULTILINE)


def test_sections_that_messages_name_are_headings_of_the_book():
    chapters = {int(name[2:4]): name for name in CHAPTERS if name.startswith("ch")}
    headings = {number: read_headings(name) for number, name in chapters.items()}
    checked, lost = 0, []
    for number, chapter in chapters.items():
        for entry in [*load_exercises(CHAPTERS[chapter]), *load_alternatives(chapter, Mistake)]:
            elsewhere = re.fullmatch(r"(.+) \(chapter (\d+)\)", entry.section)
            section, where = (elsewhere[1], int(elsewhere[2])) if elsewhere else (entry.section, number)
            checked += bool(section)
            lost += [(chapter, entry.name, section)] if section and section not in headings[where] else []
    assert checked > 90
    assert lost == []


@pytest.mark.parametrize("folder", [EXERCISES, SOLUTIONS], ids=["stubs", "solutions"])
def test_files_quote_the_topic_of_their_chapter(folder):
    for chapter in CHAPTERS:
        if chapter.startswith("ch"):
            docstring = ast.get_docstring(ast.parse((folder / f"{chapter}.py").read_text(encoding="utf-8")))
            topic = read_headings(chapter)[0].partition(":")[0]
            assert f'"{topic}"' in docstring, chapter
