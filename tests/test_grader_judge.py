"""What a verdict says: the mistake by its name, or the difference, and always the case."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch

from grader.encoding import Meta, Raised, decode, encode
from grader.exercise import Exercise
from grader.judge import MAX_MESSAGE_CHARACTERS, KnownMistake, Truth, judge
from grader.runner import Outcome

CASES = [{"x": torch.tensor([1.0, 2.0])}, {"x": torch.tensor([0.0, 0.0])}, {"x": torch.tensor([3.0])}]
DOUBLE = Exercise("double", "Twice as much", lambda random: iter(CASES))
RIGHT = [2 * case["x"] for case in CASES]
SAME = KnownMistake("unchanged", "You return the argument.", [case["x"] for case in CASES])
TRIPLE = KnownMistake("tripled", "You tripled. See “Doubling”.", [3 * case["x"] for case in CASES])


def verdict_on(answers, exercise=DOUBLE, expected=RIGHT, **problem):
    outcome = Outcome(answers=answers, arguments=[dict(case) for case in CASES], **problem)
    return judge(exercise, CASES, outcome, Truth(expected, [SAME, TRIPLE]))


def test_right_answers_pass():
    assert verdict_on(RIGHT).passed


def test_a_known_mistake_is_named_with_the_case():
    verdict = verdict_on(TRIPLE.answers)
    assert not verdict.passed
    assert verdict.mistake == "tripled"
    assert verdict.message.startswith("You tripled. See “Doubling”.\n2 of 2 values differ")
    assert verdict.message.endswith("(for x of shape [2])")


def test_a_known_mistake_beside_another_one_is_named_as_probable():
    verdict = verdict_on([TRIPLE.answers[0], RIGHT[1], RIGHT[2] + 5])
    assert verdict.mistake == "tripled"
    assert verdict.message.startswith("Probably this, and perhaps more: You tripled.")


def test_of_several_known_mistakes_the_one_that_agrees_most_is_named_and_of_equals_the_first():
    half = KnownMistake("first case tripled", "Half.", [TRIPLE.answers[0], *RIGHT[1:]])
    twin = KnownMistake("tripled again", "Twin.", TRIPLE.answers)
    outcome = Outcome(answers=TRIPLE.answers, arguments=[dict(case) for case in CASES])
    for known, name in (([half, TRIPLE], "tripled"), ([TRIPLE, twin], "tripled"), ([twin, TRIPLE], "tripled again")):
        assert judge(DOUBLE, CASES, outcome, Truth(RIGHT, known)).mistake == name


def test_a_mistake_that_agrees_only_where_the_answer_is_right_is_not_named():
    verdict = verdict_on([RIGHT[0] + 5, RIGHT[1], RIGHT[2]])
    assert not verdict.passed
    assert verdict.mistake == ""


def test_skipped_cases_do_not_count_if_they_have_no_numbers():
    cases = [CASES[0], {"x": torch.empty(2, device="meta")}]
    expected = [RIGHT[0], Meta((2,), torch.float32)]

    def verdict(answers, skipped):
        outcome = Outcome(answers=answers, arguments=[decode(encode(case)) for case in cases], skipped=skipped)
        return judge(DOUBLE, cases, outcome, Truth(expected, [KnownMistake("unchanged", "", [CASES[0]["x"], None])]))

    assert verdict([RIGHT[0], None], [1]).passed
    assert not verdict([RIGHT[0], None], []).passed
    assert not verdict([None, expected[1]], [0]).passed  # that case has numbers
    assert verdict([CASES[0]["x"], None], [1]).mistake == "unchanged"


def test_an_error_comes_with_the_case_that_it_happened_in():
    verdict = verdict_on([], problem="error", what="line 3: ValueError", case=2)
    assert verdict.message == "it stopped with an error. line 3: ValueError\nfor x of shape [1]"


def test_another_error_than_the_right_one_is_told_which():
    expected = [*RIGHT[:2], Raised("ValueError", "too long")]
    verdict = verdict_on([], expected=expected, problem="error", what="RuntimeError: no", case=2)
    assert (
        verdict.message
        == "it stopped with an error. RuntimeError: no (here a ValueError is the right answer)\nfor x of shape [1]"
    )


def test_tensors_in_a_list_are_said_by_their_shapes():
    cases = [{"states": [torch.zeros(2, 3), torch.zeros(4)], "ids": [1, 2]}]
    exercise = Exercise("sizes", "Sizes", lambda random: iter(cases))
    verdict = judge(exercise, cases, Outcome(answers=[1], arguments=cases), Truth([2], []))
    assert verdict.message.endswith("(for states [of shape [2, 3], of shape [4]], ids [1, 2])")


def test_an_error_outside_of_all_cases_names_none():
    verdict = verdict_on([], problem="error", what="line 3: NameError", case=-1)
    assert verdict.message == "it stopped with an error. line 3: NameError"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (torch.zeros(2), "expected a ValueError, got a Tensor"),
        (Raised("KeyError", "x"), "expected a ValueError, got a KeyError"),
    ],
)
def test_an_error_that_should_have_been_raised(answer, says):
    expected = [Raised("ValueError", "no"), *RIGHT[1:]]
    assert says in verdict_on([answer, *RIGHT[1:]], expected=expected).message
    assert verdict_on([Raised("ValueError", "not so"), *RIGHT[1:]], expected=expected).passed


def test_an_error_that_should_not_have_been_raised():
    assert "it raised ValueError: too long" in verdict_on([Raised("ValueError", "too long"), *RIGHT[1:]]).message


def test_weights_and_configs_of_a_case_are_said_in_short():
    @dataclass
    class Shape:
        size: int

    cases = [{"weights": {"a": torch.zeros(2), "b": torch.zeros(3)}, "config": Shape(3), "x": torch.zeros(2, 3)}]
    exercise = Exercise("double", "", lambda random: iter(cases))
    verdict = judge(exercise, cases, Outcome(answers=[1.0], arguments=[{}]), Truth([2.0], []))
    assert verdict.message.endswith("(for weights of 2 tensors, config a Shape, x of shape [2, 3])")


def test_an_exercise_says_what_of_a_case_is_shown():
    exercise = Exercise("double", "", lambda random: iter(CASES), show=lambda case: {"numbers": len(case["x"])})
    assert verdict_on(TRIPLE.answers, exercise).message.endswith("(for numbers 2)")


@pytest.mark.parametrize("answers", [[], RIGHT[:2], [*RIGHT, RIGHT[0]], [None] * 3 + ["x"]])
def test_a_message_with_too_few_or_too_many_answers_gives_no_point(answers):
    verdict = verdict_on(answers)
    assert verdict.passed is False and verdict.message.startswith("its answer could not be read (")


def test_missing_arguments_give_no_point():
    verdict = judge(DOUBLE, CASES, Outcome(answers=RIGHT, arguments=[]), Truth(RIGHT, []))
    assert verdict.passed is False and "answers are missing" in verdict.message


@pytest.mark.parametrize("change", [1e-6, 0.5, 100.0])
def test_an_argument_that_changed_by_however_little_gives_no_point(change):
    arguments = [{"x": case["x"] + change} for case in CASES]
    verdict = judge(DOUBLE, CASES, Outcome(answers=RIGHT, arguments=arguments), Truth(RIGHT, []))
    assert verdict.passed is False and "the argument `x` was modified in place" in verdict.message


def test_an_error_is_reported_with_its_case_and_what_was_refused_before_it():
    outcome = Outcome(problem="error", what="ValueError: no", case=0, refused="open a socket")
    verdict = judge(DOUBLE, CASES, outcome, Truth(RIGHT, []))
    assert verdict.passed is False
    assert verdict.message.splitlines() == [
        "it stopped with an error. ValueError: no",
        "for x of shape [2]",
        "before that it tried to open a socket, which the grader does not let a submission do",
    ]


def test_a_message_is_cut_and_cannot_rewrite_the_terminal():
    outcome = Outcome(problem="error", what="\x1b[2J" + "a" * MAX_MESSAGE_CHARACTERS, case=-1)
    message = judge(DOUBLE, CASES, outcome, Truth(RIGHT, [])).message
    assert "\x1b" not in message and message.endswith("...")
    assert len(message) == MAX_MESSAGE_CHARACTERS + 3


def test_where_several_answers_are_right_the_exercise_decides():
    either_sign = dataclasses.replace(DOUBLE, equal=lambda answer, expected: torch.equal(answer.abs(), expected.abs()))
    assert verdict_on([-right for right in RIGHT], either_sign).passed
    assert not verdict_on([-right for right in RIGHT]).passed
    assert not verdict_on([right + 1 for right in RIGHT], either_sign).passed


def test_a_table_shows_each_step_of_a_wrong_answer_after_the_first_difference():
    steps = dataclasses.replace(DOUBLE, table=True)
    expected = [{"first": right, "second": 4 * right} for right in RIGHT]
    answers = [{"first": right, "second": 5 * right} for right in RIGHT]
    message = verdict_on(answers, steps, expected).message
    assert message.startswith("['second']: 2 of 2 values differ")
    assert message.endswith("(for x of shape [2])\nstep by step: first ok, second 2e-01")


def test_what_cannot_be_compared_gives_no_point():
    broken = dataclasses.replace(DOUBLE, equal=lambda answer, expected: answer.nothing)
    verdict = verdict_on(RIGHT, broken)
    assert verdict.passed is False and "could not be read (AttributeError: " in verdict.message
