"""Wide cases for chapter 15, what PaliGemma 2 changed."""

from collections.abc import Iterator

import torch
from torch import Tensor

from grader.exercise import Case, Random
from tools.holes.training import call_with_gradients
from tools.holes.wide import Wide, checks_of
from vlm.attention_mask import make_prefix_lm_mask
from vlm.config import Gemma2Config

CHECKS = checks_of("ch15_gemma2")


def numbers(random: Random) -> Iterator[Case]:
    for shape in ((), (1,), (4,), (2, 3, 4), (1, 2, 1, 5)):
        for scale in (1e-3, 1.0, 60.0, 1e5):
            for cap in (0.01, 1, 30.0, 50.0, 1e4):
                yield {"values": random.normal(*shape, scale=scale), "cap": cap}
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        yield {"values": random.normal(3, 4, scale=40.0, dtype=dtype), "cap": 50.0}


def queries_keys_values(random: Random) -> Iterator[Case]:
    for batch, heads, queries, keys, size in [(1, 1, 1, 1, 1), (3, 2, 2, 5, 4), (2, 4, 5, 5, 2), (4, 1, 1, 9, 3)]:
        for scale, scaling, cap in [(1.0, 1.0, 1.0), (0.1, 3.0, 50.0), (8.0, 0.5, 30.0), (30.0, 1.0, 5000.0)]:
            may_look = random.uniform(batch, 1, queries, keys) < 0.5
            may_look[..., -1] |= ~may_look.any(-1)
            yield {
                "query": random.normal(batch, heads, queries, size, scale=scale),
                "key": random.normal(batch, heads, keys, size, scale=scale),
                "value": random.normal(batch, heads, keys, size, scale=2.0),
                "mask": torch.zeros(may_look.shape).masked_fill(~may_look, torch.finfo(torch.float32).min),
                "scaling": scaling,
                "cap": cap,
            }


def large_scores(random: Random) -> Iterator[Case]:
    """What is hidden scores far above what is visible, under a high cap. Whole numbers: rounding is no matter."""
    for sign in (1, -1):
        query = random.integers(10, 90, 2, 1, 3, 4).float()
        key = sign * random.integers(10, 90, 2, 1, 5, 4).float()
        hidden = query @ key.mT > (query @ key.mT).median()
        yield {
            "query": query,
            "key": key,
            "value": random.normal(2, 1, 5, 4),
            "mask": torch.zeros(hidden.shape).masked_fill(hidden, torch.finfo(torch.float32).min),
            "scaling": 1.0,
            "cap": 1e6,
        }


def configs(random: Random) -> Iterator[Case]:
    for heads, head_dim, hidden_size, scalar in [(2, 8, 16, 100), (4, 256, 1024, 1), (2, 4, 6, 0.25), (8, 6, 48, 7)]:
        yield {
            "config": Gemma2Config(
                hidden_size=hidden_size,
                num_attention_heads=heads,
                num_key_value_heads=1,
                head_dim=head_dim,
                query_pre_attn_scalar=scalar,
            )
        }


def blocks(random: Random) -> Iterator[Case]:
    for batch, length, size in [(1, 1, 1), (3, 1, 2), (1, 4, 5), (4, 2, 3)]:
        for scale in (0.01, 1.0, 100.0):
            yield {
                "hidden_states": random.normal(batch, length, size, scale=scale),
                "matrices": {name: random.normal(size, size) for name in ("attention", "mlp")},
                "scales": {name: 0.5 + random.uniform(size) for name in CHECKS.NORMS},
            }


def windows(random: Random) -> Iterator[Case]:
    for pads, prefixes, suffixes in [
        ([0], [1], [0]),
        ([0], [1], [1]),
        ([0], [2], [7]),
        ([3, 0, 1], [2, 4, 6], [3, 4, 1]),
        ([0, 4], [9, 1], [1, 5]),
        ([2, 2], [3, 3], [4, 4]),
    ]:
        total = max(a + b + c for a, b, c in zip(pads, prefixes, suffixes))
        real = torch.tensor([[0] * pad + [1] * (total - pad) for pad in pads])
        types = torch.tensor([[0] * (a + b) + [1] * (total - a - b) for a, b in zip(pads, prefixes)])
        on_the_right = torch.tensor([[1] * (total - pad) + [0] * pad for pad in pads])
        for mask in (real, on_the_right):
            for new in {1, 2, total} & set(range(1, total + 1)):
                for window in (1, 2, 3, total - 1, total, total + 5):
                    may_look = make_prefix_lm_mask(mask, types[:, -new:], torch.float32)[:, 0] == 0
                    yield {"may_look": may_look, "token_type_ids": types[:, -new:], "window": max(window, 1)}


def arbitrary(random: Random) -> Iterator[Case]:
    """Whatever the rule was that made `may_look`, it holds inside the window too."""
    for batch, new, total in [(1, 3, 3), (2, 2, 6), (3, 5, 5)]:
        for window in (1, 2, 4, 9):
            types: Tensor = random.integers(0, 2, batch, new).sort(-1).values
            yield {
                "may_look": random.uniform(batch, new, total) < 0.6,
                "token_type_ids": types,
                "window": window,
            }


WIDE = [
    Wide("soft_cap", numbers),
    Wide("soft_cap", numbers, {"call": call_with_gradients("soft_cap"), "tolerance": 2e-2}),
    Wide("attend", queries_keys_values, {"tolerance": 1e-3}),
    Wide("attend", large_scores, {"tolerance": 1e-3}),
    Wide("attention_scaling", configs),
    Wide("run_block", blocks, {"tolerance": 1e-4}),
    Wide("limit_to_window", windows),
    Wide("limit_to_window", arbitrary),
]
WITHOUT = {"attend": ("bfloat16",)}
