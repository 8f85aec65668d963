"""Describes in words how an answer differs from the right one."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from grader.encoding import Meta, Raised

Equal = Callable[[Any, Any], bool]


def difference(answer: Any, expected: Any, tolerance: float, equal: Equal | None = None) -> str:
    """The first thing that is wrong with an answer; "" if it counts as equal.

    Types are compared first, then shapes, dtypes and values: a wrong shape explains more than wrong values do.

    Args:
        tolerance: for each number, absolute and relative to the expected one.
        equal: replaces the comparison of values if several answers are right; it is called only with answers of the
            right type and shape.
    """
    problem = _difference_of_form(answer, expected, "")
    if problem:
        return problem
    if equal is not None:
        if equal(answer, expected):
            return ""
        return _difference_of_values(answer, expected, tolerance, "") or "the values are wrong"
    return _difference_of_values(answer, expected, tolerance, "")


def same(answer: Any, other: Any, tolerance: float) -> bool:
    """Whether two answers are equal within the tolerance."""
    return difference(answer, other, tolerance) == ""


def error_table(answer: dict[str, Any], expected: dict[str, Any], tolerance: float) -> str:
    """For each step "ok", or its largest error relative to its largest value."""
    steps = []
    for name, right in expected.items():
        if name not in answer:
            steps.append(f"{name} missing")
        elif not difference(answer[name], right, tolerance):
            steps.append(f"{name} ok")
        elif not isinstance(answer[name], Tensor) or answer[name].shape != right.shape:
            steps.append(f"{name} has another shape")
        else:
            error = (answer[name].double() - right.double()).abs().max() / right.double().abs().max()
            steps.append(f"{name} {error:.0e}")
    return "step by step: " + ", ".join(steps)


def _difference_of_form(answer: Any, expected: Any, where: str) -> str:
    at = f"{where}: " if where else ""
    if isinstance(expected, Raised):
        if not isinstance(answer, Raised):
            return f"expected a {expected.error}, got {_describe(answer)}"
        return "" if answer.error == expected.error else f"expected a {expected.error}, got a {answer.error}"
    if isinstance(answer, Raised):
        return f"it raised {answer.error}: {answer.says}"
    if isinstance(expected, (Tensor, Meta)):
        if not isinstance(answer, (Tensor, Meta)):
            return f"{at}expected a tensor, got {_describe(answer)}"
        if tuple(answer.shape) != tuple(expected.shape):
            return f"{at}the shape is {list(answer.shape)}, expected {list(expected.shape)}"
        if answer.dtype != expected.dtype:
            return f"{at}the dtype is {_name(answer.dtype)}, expected {_name(expected.dtype)}"
        if isinstance(expected, Meta) and not isinstance(answer, Meta):
            return f"{at}the answer is on another device than the arguments: create new tensors on their device"
        if isinstance(answer, Meta) and not isinstance(expected, Meta):
            return f"{at}the answer has no data: it is on the meta device"
        return ""
    if isinstance(expected, (list, tuple)):
        if not isinstance(answer, (list, tuple)):
            return f"{at}expected {_describe(expected)}, got {_describe(answer)}"
        if len(answer) != len(expected):
            return f"{at}expected {len(expected)} items, got {len(answer)}"
        parts = (_difference_of_form(a, e, f"{where}[{i}]") for i, (a, e) in enumerate(zip(answer, expected)))
        return next(filter(None, parts), "")
    if isinstance(expected, dict):
        if not isinstance(answer, dict):
            return f"{at}expected a dict, got {_describe(answer)}"
        if answer.keys() != expected.keys():
            return f"{at}the keys differ: {_difference_of_keys(answer, expected)}"
        parts = (_difference_of_form(answer[key], expected[key], f"{where}[{key!r}]") for key in expected)
        return next(filter(None, parts), "")
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        if isinstance(answer, bool) or not isinstance(answer, (int, float)):
            return f"{at}expected a number, got {_describe(answer)}"
        return ""
    if expected is None:
        return "" if answer is None else f"{at}expected None, got {_describe(answer)}"
    return "" if isinstance(answer, type(expected)) else f"{at}expected {_describe(expected)}, got {_describe(answer)}"


def _difference_of_keys(answer: dict, expected: dict, shown: int = 4) -> str:
    """The first keys that are missing, and the first that are unexpected."""
    parts = []
    for what, names in (
        ("missing", expected.keys() - answer.keys()),
        ("unexpected", answer.keys() - expected.keys()),
    ):
        if names:
            listed = [repr(name) for name in sorted(map(str, names))[:shown]]
            more = [f"and {len(names) - shown} more"] if len(names) > shown else []
            parts.append(f"{what} {', '.join(listed + more)}")
    return "; ".join(parts)


def _difference_of_values(answer: Any, expected: Any, tolerance: float, where: str) -> str:
    at = f"{where}: " if where else ""
    if isinstance(expected, (Meta, Raised)):
        return ""
    if isinstance(expected, Tensor):
        return at + text if (text := _difference_of_tensors(answer, expected, tolerance)) else ""
    if isinstance(expected, (list, tuple)):
        parts = (
            _difference_of_values(a, e, tolerance, f"{where}[{i}]") for i, (a, e) in enumerate(zip(answer, expected))
        )
        return next(filter(None, parts), "")
    if isinstance(expected, dict):
        parts = (_difference_of_values(answer[k], expected[k], tolerance, f"{where}[{k!r}]") for k in expected)
        return next(filter(None, parts), "")
    if isinstance(expected, float):
        close = answer == expected or (math.isnan(answer) and math.isnan(expected))
        if math.isfinite(expected):  # no finite number is close to infinity
            close = close or abs(answer - expected) <= tolerance * (1 + abs(expected))
        return "" if close else f"{at}it is {answer:.6g}, expected {expected:.6g}"
    return "" if answer == expected else f"{at}it is {answer!r}, expected {expected!r}"


def _difference_of_tensors(answer: Tensor, expected: Tensor, tolerance: float) -> str:
    if not expected.is_floating_point():
        wrong = answer != expected
    else:
        answer, expected = answer.double(), expected.double()
        wrong = ~torch.isclose(answer, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    if not wrong.any():
        return ""
    index = tuple(int(i) for i in wrong.nonzero()[0])
    number = f"{int(wrong.sum())} of {wrong.numel()} values differ" if wrong.numel() > 1 else "the value differs"
    at = f" at {list(index)}" if index else ""
    example = f"{at} it is {answer[index].item():.6g}, expected {expected[index].item():.6g}"
    if answer.is_floating_point() and answer.isnan().any() and not expected.isnan().any():
        return f"the answer contains nan; {number}: first{example}"
    return f"{number}: first{example}"


def _describe(value: Any) -> str:
    if value is None:
        return "None: is a `return` missing?"
    return f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
