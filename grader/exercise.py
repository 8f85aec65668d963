"""Defines what an exercise is: how to make random test cases, and how to call a submission with one."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from grader.encoding import Raised

Case = dict[str, Any]  # names and values of the arguments


class Random:
    """Random numbers for test cases, all from one seed."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> Tensor:
        """Normally distributed numbers, [*shape]."""
        return (scale * torch.randn(shape, generator=self.generator)).to(dtype)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Numbers between low and high, [*shape]."""
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Whole numbers from low to high - 1, [*shape]."""
        return torch.randint(low, high, shape, generator=self.generator)

    def integer(self, low: int, high: int) -> int:
        """One whole number from low to high - 1."""
        return int(self.integers(low, high, 1))

    def choice(self, options: list) -> Any:
        """One of the options."""
        return options[self.integer(0, len(options))]


def call_by_name(submission: ModuleType, name: str, case: Case) -> Any:
    """The default: call the function that has the name of the exercise."""
    return getattr(submission, name)(**case)


@dataclass(frozen=True)
class Exercise:
    """One function or class to write, and how it is checked.

    Attributes:
        name: the name of the function or class, and of the exercise.
        title: a short description.
        make_cases: makes the arguments of several test cases, of different shapes, from random numbers.
        points: the points for a right solution; a wrong one gets none.
        call: runs a submission on one case and returns the value to compare; for a class, it creates an instance, loads
            its weights and calls it. None: call the function `name` with the case as arguments.
        forbidden: dotted names of functions that may not be called, because they do what the exercise asks for, such as
            "torch.nn.functional.softmax".
        tolerance: the largest error of a number, absolute and relative to the reference.
        equal: replaces the comparison of values if several answers are right: takes the answer and the reference's,
            and returns whether they count as equal.
        raises: exceptions that may be the right answer to a case.
        show: makes the description of a case that a learner sees when the answer is wrong; None: the arguments.
        table: whether a wrong answer is shown step by step; the answer is a dict of tensors, one for each step.
        section: the heading in the chapter where the idea is explained.
        seconds: the time limit.
    """

    name: str
    title: str
    make_cases: Callable[[Random], Iterator[Case]]
    points: int = 1
    call: Callable[[ModuleType, Case], Any] | None = None
    forbidden: tuple[str, ...] = ()
    tolerance: float = 1e-5
    equal: Callable[[Any, Any], bool] | None = None
    raises: tuple[type[Exception], ...] = ()
    show: Callable[[Case], Case] | None = None
    table: bool = False
    section: str = ""
    seconds: float = 20.0

    def cases(self, seed: int) -> list[Case]:
        """The test cases of a seed: always the same for an exercise, and different for each exercise."""
        # A hash, because torch uses only the lower 32 bits of a seed.
        return list(self.make_cases(Random(zlib.crc32(f"{seed} {self.name}".encode()))))

    def run(self, submission: ModuleType, case: Case) -> Any:
        """Run the submission on a case."""
        try:
            if self.call is not None:
                return self.call(submission, case)
            return call_by_name(submission, self.name, case)
        except self.raises as error:
            return Raised(type(error).__name__, str(error))
