"""Helpers for exercises that ask for a class: random weights, and a clear error if its weights have other names."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from grader.exercise import Case, Random


def random_weights(module: nn.Module, random: Random, scale: float = 0.5) -> dict[str, Tensor]:
    """Random values for all weights of a module, biases and norms included, because 0 and 1 would hide mistakes."""
    return {
        name: random.normal(*tensor.shape, scale=scale) + (1 if name.endswith("norm.weight") else 0)
        for name, tensor in module.state_dict().items()
    }


def load_weights(module: nn.Module, weights: dict[str, Tensor]):
    """Load weights into a module.

    Raises:
        ValueError: the names or shapes of the module's weights differ; the message gives the first difference.
    """
    found = {name: list(tensor.shape) for name, tensor in module.state_dict().items()}
    for name, tensor in weights.items():
        if name not in found:
            raise ValueError(f"it has no weight `{name}` {list(tensor.shape)}; it has {', '.join(found) or 'none'}")
        if found[name] != list(tensor.shape):
            raise ValueError(f"its weight `{name}` has the shape {found[name]}, expected {list(tensor.shape)}")
    surplus = [name for name in found if name not in weights]
    if surplus:
        raise ValueError(f"it has an unexpected weight `{surplus[0]}`")
    module.load_state_dict(weights)


def call_module(name: str, argument: str = "hidden_states") -> Callable[[ModuleType, Case], Any]:
    """How to run a class: create it from `config`, load `weights`, call it with one argument, all from the case."""

    def call(submission: ModuleType, case: Case) -> Any:
        module = getattr(submission, name)(case["config"])
        load_weights(module, case["weights"])
        with torch.no_grad():
            return module(case[argument])

    return call
