"""Test cases for exercises/ch06_norms_mlp.py; the correct answers come from solutions/ch06_norms_mlp.py."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from grader import Case, Exercise, Random
from grader.modules import call_module, load_weights, random_weights
from vlm import gemma
from vlm.config import GemmaConfig

SIZES = [(2, 5, 8), (1, 3, 6), (3, 1, 4)]  # (B, S, D)


def states(random: Random) -> Iterator[Case]:
    for shape in SIZES:
        yield {"states": random.normal(*shape) + random.normal(1)}  # a mean that is not 0
    yield {"states": random.normal(2, 4, 6, dtype=torch.float64)}
    yield {"states": torch.empty(2, 4, 6, device="meta")}


def norms(random: Random) -> Iterator[Case]:
    # Small inputs reveal a wrong or misplaced eps; bfloat16 reveals a cast that comes too early.
    for scale, eps, dtype in [
        (1.0, 1e-6, torch.float32),
        (2e-3, 1e-6, torch.float32),
        (2e-3, 1e-5, torch.float32),
        (3.0, 1e-6, torch.bfloat16),
        (0.0, 1e-6, torch.float32),
    ]:
        size = 64 if dtype == torch.bfloat16 else 6
        hidden_states = random.normal(2, 5, size, scale=scale) + scale * random.normal(1)
        yield {"weight": random.normal(size), "eps": eps, "hidden_states": hidden_states.to(dtype)}


def call_norm(submission, case: Case) -> Tensor:
    norm = submission.GemmaRMSNorm(case["weight"].shape[0], case["eps"])
    start = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    load_weights(norm, {"weight": case["weight"]})
    if start["weight"].any():
        raise ValueError("`weight` should start as zeros: the scale is 1 + weight")
    with torch.no_grad():
        return norm(case["hidden_states"])


def nearly_all_equal(answer: Tensor, expected: Tensor) -> bool:
    """In bfloat16, a value halfway between two others may be rounded either way: allow 1 % of differences."""
    wrong = ~torch.isclose(answer.float(), expected.float(), rtol=1e-5, atol=1e-5)
    allowed = 0.01 if expected.dtype == torch.bfloat16 else 0.0
    return wrong.float().mean().item() <= allowed


def small_config(hidden_size: int, intermediate_size: int) -> GemmaConfig:
    return GemmaConfig(
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=10,
        head_dim=4,
    )


def mlps(random: Random) -> Iterator[Case]:
    for (batch, length, hidden_size), intermediate_size in zip(SIZES, (13, 6, 9)):
        config = small_config(hidden_size, intermediate_size)
        weights = random_weights(gemma.GemmaMLP(config), random)
        yield {"config": config, "weights": weights, "hidden_states": random.normal(batch, length, hidden_size)}


def norms_and_layers(random: Random) -> Iterator[Case]:
    for hidden_size, width in [(4, 6), (5, 5), (6, 3)]:
        yield {"norm_weight": random.normal(hidden_size), "linear_weight": random.normal(width, hidden_size)}


EXERCISES = [
    Exercise("root_mean_square", "The root mean square", states, section="RMSNorm"),
    Exercise(
        "GemmaRMSNorm",
        "RMSNorm",
        norms,
        points=2,
        call=call_norm,
        forbidden=(
            "torch.nn.functional.rms_norm",
            "torch.nn.RMSNorm",
            "torch.rms_norm",
            "vlm.gemma.GemmaRMSNorm",
        ),
        equal=nearly_all_equal,
        section="Why Gemma's norm multiplies by 1 + weight",
    ),
    Exercise(
        "GemmaMLP",
        "The gated MLP",
        mlps,
        points=2,
        call=call_module("GemmaMLP"),
        forbidden=("vlm.gemma.GemmaMLP",),
        section="GeGLU: an MLP with a gate",
    ),
    Exercise(
        "fold_norm",
        "Fold a norm into the next layer",
        norms_and_layers,
        section="Why Gemma's norm multiplies by 1 + weight",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
