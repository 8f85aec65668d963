"""Wide cases for chapter 8, grouped-query attention with a mask."""

from collections.abc import Iterator

import torch
from torch import Tensor

from grader.exercise import Case, Random
from grader.modules import random_weights
from tools.holes.training import call_trained
from tools.holes.wide import Wide, checks_of
from vlm import gemma

CHECKS = checks_of("ch08_gqa")
# (B, S, A, K, E, D)
SIZES = [(1, 1, 1, 1, 2, 1), (3, 2, 6, 3, 2, 5), (1, 6, 8, 1, 4, 32), (4, 3, 2, 2, 8, 16), (2, 7, 8, 2, 2, 3)]


def keys_and_groups(random: Random) -> Iterator[Case]:
    for batch, length, heads, key_value_heads, head_dim, _ in SIZES:
        for dtype in (torch.float32, torch.bfloat16, torch.float64):
            states = random.normal(batch, key_value_heads, length, head_dim, dtype=dtype)
            yield {"states": states, "num_groups": heads // key_value_heads}


def permissions(random: Random) -> Iterator[Case]:
    for batch, queries, keys in [(1, 1, 1), (3, 2, 5), (2, 4, 4), (1, 5, 2)]:
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            for may_look in (
                CHECKS.visible(random, batch, queries, keys),
                torch.ones(batch, 1, queries, keys, dtype=torch.bool),
                torch.zeros(batch, 1, queries, keys, dtype=torch.bool),
                torch.ones(batch, 1, queries, keys, dtype=torch.bool).tril(),
            ):
                yield {"may_look": may_look, "dtype": dtype}


def call_mask(submission, case: Case) -> dict:
    """Like the grader's, but with scores of 20,000 where a query may not look, and far below zero where it may."""
    may_look, dtype = case["may_look"], case["dtype"]
    mask = submission.additive_mask(may_look, dtype)
    scores = torch.linspace(-3, 3, mask.numel()).reshape(mask.shape)
    weights = []
    for low, high in ((0, 0), (0, 20000), (-20000, 0), (-30000, 300)):
        tempting = torch.where(may_look, scores + low, scores + high).to(dtype)
        weights.append(torch.where(may_look, torch.softmax((tempting + mask).float(), dim=-1), 0))
    return {"the mask": torch.zeros_like(mask), "finite": bool(mask.isfinite().all()), "weights": weights}


def queries_keys_values(random: Random) -> Iterator[Case]:
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        for sizes in [(1, 1, 1, 1, 1), (3, 2, 4, 4, 2), (2, 8, 1, 9, 4), (4, 1, 5, 3, 6)]:
            batch, _, queries, keys, _ = sizes
            case = CHECKS.make_tensors(random, dtype, sizes, scale=2.0)
            yield case
            yield case | {"mask": torch.zeros(batch, 1, queries, keys, dtype=dtype), "scaling": 1.0}
            yield case | {"mask": random.normal(batch, 1, queries, keys, scale=4.0).to(dtype)}  # may also encourage
            yield case | {"mask": case["mask"].clamp(min=-3000.0), "scaling": 0.1}
            yield case | {"query": 30 * case["query"], "scaling": 7.0}
            infinite = case["mask"].masked_fill(case["mask"] < -1000, float("-inf"))
            yield case | {"mask": infinite}


def close_enough(answer: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> bool:
    """Rounded as the dtype rounds: with sharp scores, much."""
    tolerance = 1e-3 if expected[0].dtype in (torch.float32, torch.float64) else 0.1
    return all(torch.allclose(a.float(), e.float(), rtol=tolerance, atol=tolerance) for a, e in zip(answer, expected))


def precise(random: Random) -> Iterator[Case]:
    """In bfloat16, cases that show where the softmax is taken: many keys of nearly the same score."""
    for dtype in (torch.bfloat16, torch.float16):
        batch, keys = 2, 400
        yield {
            "query": random.normal(batch, 1, 2, 4, scale=0.1).to(dtype),
            "key": random.normal(batch, 1, keys, 4, scale=0.1).to(dtype),
            "value": torch.ones(batch, 1, keys, 4, dtype=dtype),
            "mask": torch.zeros(batch, 1, 2, keys, dtype=dtype),
            "scaling": 0.5,
        }


def attention_layers(random: Random) -> Iterator[Case]:
    for batch, length, heads, key_value_heads, head_dim, hidden_size in SIZES:
        for theta, first in ((10000.0, 0), (10.0, 7)):
            config = CHECKS.make_config(heads, key_value_heads, head_dim, hidden_size)
            position_ids = torch.arange(length) + first * torch.arange(batch)[:, None]  # rows that begin elsewhere
            cos, sin = gemma.rotary_cos_sin(position_ids, head_dim, theta, torch.float32)
            may_look = CHECKS.visible(random, batch, length, length)
            yield {
                "config": config,
                "weights": random_weights(gemma.GemmaAttention(config, layer_idx=0), random),
                "hidden_states": random.normal(batch, length, hidden_size),
                "cos": cos,
                "sin": sin,
                "mask": (-2 * random.uniform(*may_look.shape)).masked_fill(~may_look, torch.finfo(torch.float32).min),
            }


def caches(random: Random) -> Iterator[Case]:
    for _, length, heads, key_value_heads, head_dim, hidden_size in SIZES:
        for layers, batch_size, bytes_per_number in ((1, 1, 1), (3, 1, 4), (26, 7, 2)):
            yield {
                "config": CHECKS.make_config(heads, key_value_heads, head_dim, hidden_size, layers),
                "batch_size": batch_size,
                "length": length,
                "bytes_per_number": bytes_per_number,
            }


WIDE = [
    Wide("repeat_kv", keys_and_groups),
    Wide("additive_mask", permissions, {"call": call_mask}),
    Wide("attend", queries_keys_values, {"equal": close_enough}),
    Wide("attend", precise),
    Wide(
        "GemmaAttention",
        attention_layers,
        {"call": call_trained("GemmaAttention", "hidden_states", "cos", "sin", "mask"), "tolerance": 1e-3},
    ),
    Wide("cache_bytes", caches),
]
