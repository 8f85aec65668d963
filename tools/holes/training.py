"""How to run an answer as if it were trained: the result, and what it passes back to its arguments and weights."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from grader.exercise import Case
from grader.modules import load_weights


def call_with_gradients(name: str, *trained: str) -> Callable[[ModuleType, Case], dict]:
    """Call a function; gradients go to these of its arguments, or to all that are tensors of floating-point numbers."""

    def call(submission: ModuleType, case: Case) -> dict:
        names = [key for key, value in case.items() if is_float(value) and key in (trained or case)]
        leaves = {key: case[key].clone().requires_grad_() for key in names}
        result = getattr(submission, name)(**case | leaves)
        return {"result": result} | gradients(result, leaves)

    return call


def call_trained(name: str, *arguments: str) -> Callable[[ModuleType, Case], dict]:
    """Create a module from `config`, load `weights`, call it with the arguments; its weights are to be trained."""

    def call(submission: ModuleType, case: Case) -> dict:
        module = getattr(submission, name)(case["config"])
        load_weights(module, case["weights"])
        result = module(*(case[argument] for argument in arguments))
        return report(module, result)

    return call


def report(module: nn.Module, result: Any) -> dict:
    """The result of a module, the gradients of its weights, and how much memory these have for themselves."""
    weights = dict(module.named_parameters())
    own_memory = len({weight.data_ptr() for weight in weights.values()})
    return {"result": result, "weights with memory of their own": own_memory} | gradients(result, weights)


def gradients(result: Any, trained: dict[str, Tensor]) -> dict[str, Tensor]:
    """The gradient of a weighted sum of all results, for each tensor; zeros if nothing comes back."""
    total = sum((part * weights_like(part)).sum() for part in floats_in(result))
    if isinstance(total, Tensor) and total.requires_grad:
        total.backward()
    return {
        f"gradient of {name}": torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        for name, tensor in trained.items()
    }


def weights_like(part: Tensor) -> Tensor:
    """Different numbers of about 1, so that no gradient cancels out by symmetry."""
    return torch.linspace(0.5, 1.5, part.numel(), dtype=part.dtype).reshape(part.shape)


def floats_in(value: Any) -> list[Tensor]:
    if is_float(value):
        return [value]
    return [part for item in value for part in floats_in(item)] if isinstance(value, (list, tuple)) else []


def is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
