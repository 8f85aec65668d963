"""Checks of exercises/ch15_gemma2.py: test cases for each exercise. The solutions define what is right."""

from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
import torch
from torch import Tensor

from grader import Case, Exercise, Random
from vlm.attention_mask import make_prefix_lm_mask
from vlm.config import Gemma2Config

NORMS = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")


def numbers(random: Random) -> Iterator[Case]:
    for scale, cap in ((10.0, 50.0), (100.0, 30.0), (1.0, 2.0)):
        yield {"values": random.normal(3, 5, scale=scale), "cap": cap}
    yield {"values": torch.tensor([-1e4, -30.0, 0.0, 30.0, 1e4]), "cap": 30.0}


def queries_keys_values(random: Random) -> Iterator[Case]:
    for batch, heads, queries, keys, size, scale in ((2, 2, 4, 6, 8, 1.0), (1, 3, 3, 5, 4, 6.0), (2, 1, 1, 7, 6, 3.0)):
        may_attend = random.uniform(batch, 1, queries, keys) < 0.6
        may_attend[..., 0] |= ~may_attend.any(-1)
        yield {
            "query": random.normal(batch, heads, queries, size, scale=scale),
            "key": random.normal(batch, heads, keys, size, scale=scale),
            "value": random.normal(batch, heads, keys, size),
            "mask": torch.zeros(may_attend.shape).masked_fill(~may_attend, torch.finfo(torch.float32).min),
            "scaling": 0.2 + random.integer(1, 6) / 10,
            "cap": 2.0 + random.integer(0, 5),
        }
    # A high cap, and scores below -100: masked scores must be lower still.
    query, key = random.normal(1, 1, 3, 4, scale=9.0).abs(), -random.normal(1, 1, 5, 4, scale=9.0).abs()
    masked = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 1, 0, 0, 0]]).bool()[None, None]
    yield {
        "query": query + 3,
        "key": key - 3,
        "value": random.normal(1, 1, 5, 4),
        "mask": torch.zeros(masked.shape).masked_fill(masked, torch.finfo(torch.float32).min),
        "scaling": 1.0,
        "cap": 300.0,
    }


def configs(random: Random) -> Iterator[Case]:
    """No two of the numbers that a learner might use are equal in all of the configs."""
    for heads, head_dim, hidden_size, scalar in ((8, 256, 2304, 256), (32, 128, 4608, 144), (4, 16, 96, 36)):
        extra = random.integer(1, 4) * heads
        yield {
            "config": Gemma2Config(
                hidden_size=hidden_size + (extra if scalar == 36 else 0),
                num_attention_heads=heads,
                num_key_value_heads=heads // 2,
                head_dim=head_dim,
                query_pre_attn_scalar=scalar + (random.integer(1, 9) if scalar == 36 else 0),
            )
        }


def call_attention_scaling(submission: ModuleType, case: Case) -> float:
    return submission.attention_scaling(case["config"])


def blocks(random: Random) -> Iterator[Case]:
    for batch, length, size in ((2, 3, 4), (1, 5, 6)):
        matrices = {name: random.normal(size, size, scale=0.6) for name in ("attention", "mlp")}
        yield {
            "hidden_states": random.normal(batch, length, size, scale=2.0),
            "matrices": matrices,
            "scales": {name: 0.5 + random.uniform(size) for name in NORMS},
        }


def call_run_block(submission: ModuleType, case: Case) -> Tensor:
    """Run the block with nonlinear sublayers, and with norms that differ from each other."""

    def sublayer(name: str) -> Callable[[Tensor], Tensor]:
        return lambda states: torch.tanh(states @ case["matrices"][name]) + 0.1 * states.square()

    def norm(name: str) -> Callable[[Tensor], Tensor]:
        return lambda states: case["scales"][name] * states / (states.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    norms = {name: norm(name) for name in NORMS}
    return submission.run_block(case["hidden_states"], sublayer("attention"), sublayer("mlp"), norms)


def windows(random: Random) -> Iterator[Case]:
    """Rows with left padding, prefixes of different lengths, some beyond the window, and new tokens after a cache."""
    for pads, prefixes, total, new, window in (
        ([0], [5], 11, None, 3),
        ([0, 2], [6, 1], 11, None, 2),
        ([1, 0], [3, 5], 9, None, 1),
        ([0], [4], 8, None, 6),
        ([0, 3], [6, 3], 12, 1, 4),
        ([0, 1], [4, 3], 10, 3, 3),
        ([0], [4], 7, None, 40),
    ):
        total += random.integer(0, 3)
        types = torch.tensor([[0] * (a + b) + [1] * (total - a - b) for a, b in zip(pads, prefixes)])
        real = torch.tensor([[0] * pad + [1] * (total - pad) for pad in pads])
        types = types if new is None else types[:, -new:]
        may_attend = make_prefix_lm_mask(real, types, torch.float32)[:, 0] == 0  # [B, S, T]
        yield {"may_attend": may_attend, "token_type_ids": types, "window": window}


EXERCISES = [
    Exercise(
        "soft_cap",
        "Soft-capping",
        numbers,
        forbidden=("vlm.attention.soft_cap",),
        section="Soft-capping attention scores",
    ),
    Exercise(
        "attend",
        "Attention with soft-capped scores",
        queries_keys_values,
        points=2,
        forbidden=("vlm.attention.attention", "torch.nn.functional.scaled_dot_product_attention"),
        section="Soft-capping attention scores",
    ),
    Exercise(
        "attention_scaling",
        "The attention scale",
        configs,
        call=call_attention_scaling,
        section="The attention scale: `query_pre_attn_scalar`",
    ),
    Exercise(
        "run_block",
        "A block with four norms",
        blocks,
        points=2,
        call=call_run_block,
        show=lambda case: {"hidden_states": case["hidden_states"]},
        section="Post-norms: a norm on each sublayer's output",
    ),
    Exercise(
        "limit_to_window",
        "A sliding window for the suffix",
        windows,
        points=3,
        forbidden=("vlm.attention_mask.limit_to_window",),
        section="A sliding window in every other layer",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
