"""Wide cases for chapter 7, rotary positions."""

from collections.abc import Iterator

import torch

from grader.exercise import Case, Random
from tools.holes.training import call_with_gradients
from tools.holes.wide import Wide

SIZES = [(1, 1, 1, 2), (4, 1, 3, 2), (1, 5, 2, 4), (2, 2, 7, 16)]
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def states(random: Random) -> Iterator[Case]:
    for shape in SIZES:
        for dtype in DTYPES:
            yield {"states": random.normal(*shape, dtype=dtype)}


def positions(random: Random) -> Iterator[Case]:
    for batch, _, length, head_dim in SIZES:
        for theta in (1.0, 2.5, 500.0, 10000.0, 1e6, 10000):
            for dtype in DTYPES:
                yield {
                    "position_ids": random.integers(0, 60, batch, length),
                    "head_dim": head_dim,
                    "theta": theta,
                    "dtype": dtype,
                }
    zeros = torch.zeros(2, 3, dtype=torch.int64)
    yield {"position_ids": zeros, "head_dim": 4, "theta": 100.0, "dtype": torch.float32}
    yield {"position_ids": zeros.int() + 8000, "head_dim": 256, "theta": 10000.0, "dtype": torch.float32}
    yield {"position_ids": zeros.int() + 300, "head_dim": 256, "theta": 10000.0, "dtype": torch.bfloat16}


def states_and_angles(random: Random) -> Iterator[Case]:
    for batch, heads, length, head_dim in SIZES:
        for dtype in DTYPES[:2]:
            half = random.uniform(batch, 1, length, head_dim // 2, low=-7.0, high=7.0).to(dtype)
            angles = torch.cat([half, half], dim=-1)
            states = random.normal(batch, heads, length, head_dim, dtype=dtype)
            yield {"states": states, "cos": angles.cos(), "sin": angles.sin()}


def queries_keys_values(random: Random) -> Iterator[Case]:
    for batch, heads, length, head_dim in SIZES:
        for theta in (3.0, 10000.0):
            for scale in (0.3, 1.5):
                shape = (batch, heads, length, head_dim)
                tensors = {name: random.normal(*shape, scale=scale) for name in ("query", "key", "value")}
                for low, high in ((0, 1), (0, 9), (300, 400)):
                    yield tensors | {"position_ids": random.integers(low, high, batch, length), "theta": theta}


WIDE = [
    Wide("rotate_half", states),
    Wide("rotate_half", states, {"call": call_with_gradients("rotate_half"), "tolerance": 1e-2}),
    Wide("rotary_cos_sin", positions, {"tolerance": 1e-3}),
    Wide("apply_rotary", states_and_angles),
    Wide("apply_rotary", states_and_angles, {"call": call_with_gradients("apply_rotary", "states"), "tolerance": 1e-3}),
    Wide("attend_with_positions", queries_keys_values, {"tolerance": 1e-3}),
    Wide(
        "attend_with_positions",
        queries_keys_values,
        {"call": call_with_gradients("attend_with_positions"), "tolerance": 1e-2},
    ),
]
WITHOUT = {"attend_with_positions": ("bfloat16", "large"), "rotary_cos_sin": ("bfloat16",)}
