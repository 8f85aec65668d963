"""How an answer that is not right is described: the first thing that is wrong with it."""

import math

import numpy as np
import pytest
import torch

from grader.compare import difference, same
from grader.encoding import Meta, Raised, decode, encode

RIGHT = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "expected a tensor, got None: is a `return` missing?"),
        ([1.0], "expected a tensor, got a list"),
        (RIGHT.T, "the shape is [3, 2], expected [2, 3]"),
        (RIGHT.double(), "the dtype is float64, expected float32"),
        (RIGHT + 1, "6 of 6 values differ: first at [0, 0] it is 2, expected 1"),
        (
            torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.5, 6.0]]),
            "1 of 6 values differ: first at [1, 1] it is 5.5, expected 5",
        ),
        (RIGHT * math.nan, "the answer contains nan; 6 of 6 values differ: first at [0, 0] it is nan, expected 1"),
    ],
)
def test_what_is_wrong_with_a_tensor(answer, says):
    assert difference(answer, RIGHT, 1e-5) == says


@pytest.mark.parametrize(
    ("answer", "expected", "says"),
    [
        (3, 2, "it is 3, expected 2"),
        (True, 1, "expected a number, got a bool"),
        ("2", 2, "expected a number, got a str"),
        (2.1, 2.0, "it is 2.1, expected 2"),
        ("cat", "dog", "it is 'cat', expected 'dog'"),
        ([1, 2], [1, 2, 3], "expected 3 items, got 2"),
        ([1, 5], [1, 2], "[1]: it is 5, expected 2"),
        ((RIGHT, RIGHT + 1), (RIGHT, RIGHT), "[1]: 6 of 6 values differ: first at [0, 0] it is 2, expected 1"),
        ({"a": 1}, {"b": 1}, "the keys differ: missing 'b'; unexpected 'a'"),
        ({"a": 1}, {"a": 2}, "['a']: it is 1, expected 2"),
        (1, None, "expected None, got an int"),
        (2.0, math.inf, "it is 2, expected inf"),
        (math.nan, math.inf, "it is nan, expected inf"),
        (math.nan, 2.0, "it is nan, expected 2"),
    ],
)
def test_what_is_wrong_with_other_values(answer, expected, says):
    assert difference(answer, expected, 1e-5) == says


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (RIGHT + 5e-6, RIGHT),
        (RIGHT * (1 + 5e-6), RIGHT),
        (torch.tensor([math.nan, math.inf]), torch.tensor([math.nan, math.inf])),
        ([1, 2], (1, 2)),
        (2, 2.0),
        (2.0, 2),
        (1.000001, 1.0),
        (-math.inf, -math.inf),
        (math.nan, math.nan),
    ],
)
def test_what_counts_as_equal(answer, expected):
    assert difference(answer, expected, 1e-5) == ""


def test_whole_numbers_are_compared_exactly():
    assert difference(torch.tensor([10**6 + 1]), torch.tensor([10**6]), 1e-5).startswith("the value differs")


def test_an_answer_on_another_device_is_said():
    assert "on another device" in difference(RIGHT, Meta((2, 3), torch.float32), 1e-5)
    assert difference(Meta((2, 3), torch.float32), Meta((2, 3), torch.float32), 1e-5) == ""


def test_a_comparison_of_its_own_sees_answers_of_the_right_form_only():
    seen = []

    def equal(answer, expected):
        seen.append(answer)
        return bool((answer - answer[0] == expected - expected[0]).all())  # 1-indexed is as good as 0-indexed

    expected = torch.arange(4)
    assert difference(expected + 1, expected, 0, equal) == ""
    assert difference(expected * 2, expected, 0, equal) == "3 of 4 values differ: first at [1] it is 2, expected 1"
    assert difference(expected, expected, 0, lambda *_: False) == "the values are wrong"
    assert "shape" in difference(expected[:3], expected, 0, equal)
    assert len(seen) == 2


VALUES = [
    1,
    True,
    None,
    "ü",
    0.1,
    math.inf,
    [1, [2.5]],
    (1, (2,)),
    {"a": 1, 2: [3]},
    RIGHT,
    RIGHT.T,
    RIGHT.bfloat16(),
    torch.tensor(3),
    torch.tensor([True, False]),
    [RIGHT, RIGHT],
    torch.empty(0, 3),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_survive_the_way_there_and_back(value):
    back = decode(encode(value))
    assert type(back) is type(value)
    assert same(back, value, 0.0)


def test_nan_survives_and_gradients_do_not():
    assert math.isnan(decode(encode(math.nan)))
    assert not decode(encode(torch.ones(2, requires_grad=True))).requires_grad


def test_a_number_of_numpy_is_a_number():
    assert decode(encode([np.int64(3), np.float32(0.5), np.bool_(True)])) == [3, 0.5, True]


@pytest.mark.parametrize("value", [print, object(), {1, 2}, 1j])
def test_other_things_cannot_be_sent(value):
    with pytest.raises(TypeError, match="was returned: expected tensors, numbers, strings"):
        encode([value])


@pytest.mark.parametrize("data", [b"", b"all right!", encode([1])[:-1], b"\xff" * 100])
def test_bytes_that_are_nothing_are_refused(data):
    with pytest.raises(ValueError, match="not encoded values"):
        decode(data)


@pytest.mark.parametrize(
    ("expected", "off"),
    [(1000.0, 0.005), (0.0, 5e-6)],  # a tolerance of 1e-5 is of the number itself, and of 1 where the number is small
)
def test_the_tolerance_is_relative_and_absolute(expected, off):
    for make in (float, torch.tensor):
        right, close, far = make(expected), make(expected + off), make(expected + 4 * off)
        assert same(close, right, 1e-5) and same([close], [right], 1e-5) and same({"a": close}, {"a": right}, 1e-5)
        assert (
            not same(far, right, 1e-5) and not same([far], [right], 1e-5) and not same({"a": far}, {"a": right}, 1e-5)
        )


@pytest.mark.parametrize(
    ("answer", "expected", "says"),
    [
        (1, "a", "expected a str, got an int"),
        ([1, "b"], [1, [2]], "[1]: expected a list, got a str"),
        ({"a": [1]}, {"a": {}}, "['a']: expected a dict, got a list"),
        ({"a": "x"}, {"a": 2}, "['a']: expected a number, got a str"),
        (dict.fromkeys("abcdef"), {}, "the keys differ: unexpected 'a', 'b', 'c', 'd', and 2 more"),
        (dict.fromkeys("abcd"), {}, "the keys differ: unexpected 'a', 'b', 'c', 'd'"),
    ],
)
def test_another_form_is_described_with_its_place(answer, expected, says):
    assert difference(answer, expected, 1e-5) == says


def test_values_of_every_kind_come_through_an_encoding_as_they_were():
    values = [
        Raised("ValueError", "no"),
        Meta((2, 3), torch.int64),
        (RIGHT, [np.float32(1.5)]),
        {(1, RIGHT.dtype.itemsize): RIGHT},
    ]
    raised, meta, (tensor, [number]), mapping = decode(encode(values))
    assert raised == values[0] and meta == values[1] and number == 1.5
    assert torch.equal(tensor, RIGHT) and list(mapping) == [(1, 4)] and torch.equal(mapping[1, 4], RIGHT)
