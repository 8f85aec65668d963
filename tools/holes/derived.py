"""Wide cases derived from the grader's own: another seed, memory layout, dtype, device, size; asked twice."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from grader.exercise import Case, Exercise

Derivation = Callable[[Tensor], Tensor]
SEEDS = (100,)
LOW_PRECISION = 2e-2  # bfloat16 keeps 8 bits


def another_layout(tensor: Tensor) -> Tensor:
    """The same numbers, not contiguous."""
    if tensor.dim() == 0 or tensor.is_meta or tensor.numel() == 0:
        return tensor
    wider = torch.stack([tensor, torch.zeros_like(tensor)], dim=-1)
    return wider[..., 0]


def cast(dtype: torch.dtype) -> Derivation:
    return lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor


def on_meta(tensor: Tensor) -> Tensor:
    return tensor.to("meta")


def scaled(factor: float) -> Derivation:
    """Larger or smaller numbers; what is never negative may be a probability or a size, and stays."""
    return lambda tensor: (
        tensor * factor if tensor.is_floating_point() and not tensor.is_meta and (tensor < 0).any() else tensor
    )


CHANGES: dict[str, Derivation] = {
    "not contiguous": another_layout,
    "float64": cast(torch.float64),
    "bfloat16": cast(torch.bfloat16),
    "on meta": on_meta,
    "large": scaled(30.0),
    "small": scaled(1e-3),
}


def derived_cases(exercise: Exercise, without: tuple[str, ...]) -> list[tuple[str, Exercise, Callable[[], list[Case]]]]:
    """Sets of derived cases: a name, how to run them, and what makes them."""
    sets = [(f"seed {seed}", exercise, lambda seed=seed: exercise.cases(seed)) for seed in SEEDS]
    for name, change in CHANGES.items():
        if name not in without:
            runs = (
                dataclasses.replace(exercise, tolerance=max(exercise.tolerance, LOW_PRECISION))
                if name == "bfloat16"
                else exercise
            )
            sets.append((name, runs, lambda change=change: changed_cases(exercise, change)))
    if "twice" not in without:
        sets.append(("twice", dataclasses.replace(exercise, call=twice(exercise)), lambda: exercise.cases(SEEDS[0])))
    return sets


def changed_cases(exercise: Exercise, change: Derivation) -> list[Case]:
    """The cases of a seed with every tensor changed, without those that stay as they are."""
    cases = exercise.cases(SEEDS[0])
    return [{name: mapped(value, change) for name, value in case.items()} for case in cases if has_tensor(case)]


def mapped(value: Any, change: Derivation) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)(mapped(item, change) for item in value)
    if isinstance(value, dict):
        return {key: mapped(item, change) for key, item in value.items()}
    return value


def has_tensor(value: Any) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else []
    return isinstance(value, Tensor) or any(map(has_tensor, items))


def twice(exercise: Exercise) -> Callable[[Any, Case], Any]:
    """Ask the same submission twice; the second answer counts."""

    def call(submission: Any, case: Case) -> Any:
        exercise.run(submission, case)
        return exercise.run(submission, case)

    return call
