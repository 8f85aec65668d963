"""What an exercise is, for its grader: random cases, and how to call a submission with one."""

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
    """Random numbers for cases, all from one seed."""

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
    """The usual way: call the function that is named like the exercise."""
    return getattr(submission, name)(**case)


@dataclass(frozen=True)
class Exercise:
    """One thing to write, and how it is checked.

    Attributes:
        name: of the function or class to write; also the exercise's own.
        title: what it is, in a few words.
        make_cases: from random numbers to arguments; several cases, of several shapes.
        points: what a right solution is worth; a wrong one is worth nothing.
        call: runs a submission on one case and returns what is compared. For classes it makes one, gives it
            weights and calls it. None calls the function `name` with the case as arguments.
        forbidden: dotted names of what the exercise is about and therefore may not be called, such as
            "torch.nn.functional.softmax".
        tolerance: how far a number may be from the reference's, absolutely and relative to it.
        equal: replaces the comparison where several answers are right: takes what came and what the reference
            gives, and says whether it counts as equal.
        raises: errors that may be the right answer to a case.
        show: what a learner sees of a case when an answer to it is wrong; None: the arguments.
        table: where an answer is a dict of tensors, one for each step: whether a wrong one is shown step by step.
        section: the heading in the chapter where the idea is explained.
        seconds: how long it may take.
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
        """The cases of a seed: always the same, and others for each exercise."""
        # A hash, since of a torch seed only the lower 32 bits count.
        return list(self.make_cases(Random(zlib.crc32(f"{seed} {self.name}".encode()))))

    def run(self, submission: ModuleType, case: Case) -> Any:
        """What the submission makes of a case."""
        try:
            if self.call is not None:
                return self.call(submission, case)
            return call_by_name(submission, self.name, case)
        except self.raises as error:
            return Raised(type(error).__name__, str(error))
