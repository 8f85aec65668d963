"""Wide cases for chapter 14, comparing a model with a reference."""

from collections.abc import Iterator

import torch
from torch import nn

from grader.exercise import Case, Random
from tools.holes.training import call_with_gradients
from tools.holes.wide import Wide, checks_of

CHECKS = checks_of("ch14_proving")
INFINITY = float("inf")


def pairs(random: Random) -> Iterator[Case]:
    for shape in [(1, 1), (1, 1, 1), (3, 2), (2, 5, 1), (2, 3, 2, 2)]:
        for scale in (1e-6, 1.0, 1e6):
            theirs = random.normal(*shape, scale=scale) - 2 * scale  # the largest is below zero
            ours = theirs + random.normal(*shape, scale=scale)
            yield {"ours": ours, "theirs": theirs, "is_real": None}
            yield {"ours": theirs.clone(), "theirs": theirs, "is_real": None}
            yield {"ours": ours.double(), "theirs": theirs.double(), "is_real": None}
            is_real = random.uniform(*shape[:2]) < 0.5
            is_real[0, 0] = True
            yield {"ours": ours, "theirs": theirs, "is_real": is_real}
            yield {"ours": ours, "theirs": theirs, "is_real": torch.ones_like(is_real)}
            broken = ours.clone()
            broken[-1, -1] = torch.nan
            yield {"ours": broken, "theirs": theirs, "is_real": is_real}
            yield {"ours": broken, "theirs": theirs, "is_real": None}
            infinite = ours.clone()
            infinite[0, 0] = INFINITY
            yield {"ours": infinite, "theirs": theirs, "is_real": None}
    whole = random.normal(2, 3, 4)
    for other in (whole[0], whole[:, :1], whole[..., :1], whole[None], whole.reshape(2, 4, 3), whole.flatten()):
        yield {"ours": other, "theirs": whole, "is_real": None}
        if other.dim() > 1:
            yield {"ours": whole, "theirs": other, "is_real": None}


def tables(random: Random) -> Iterator[Case]:
    for tolerance in (0.0, 1e-5, 0.5, 10.0):
        yield {"errors": {}, "tolerance": tolerance}
        for values in (
            [tolerance],
            [tolerance, 2 * tolerance + 1],
            [INFINITY],
            [0.0, 0.0],
            [11, 1e-9, 12],
            [0, 1, 0.1],
        ):
            yield {"errors": {f"b{n}" if n % 2 else f"a{n}": v for n, v in enumerate(values)}, "tolerance": tolerance}


def linear_from(weights: dict) -> nn.Linear:
    size_out, size_in = weights["weight"].shape
    linear = nn.Linear(size_in, size_out, bias="bias" in weights)
    linear.load_state_dict(weights)
    return linear


def towers(random: Random) -> Iterator[Case]:
    for batch, places, size in [(1, 1, 2), (3, 2, 5), (1, 7, 16)]:
        for scale in (1e-3, 0.1, 30.0):
            for eps in (1e-6, 1e-2):
                norm = {"weight": random.normal(size), "bias": random.normal(size)}
                yield {"hidden_states": random.normal(batch, places, size, scale=scale), "norm": norm, "eps": eps}


def call_finish_tower(submission, case: Case):
    norm = nn.LayerNorm(case["hidden_states"].shape[-1], eps=case["eps"])
    norm.load_state_dict(case["norm"])
    return submission.finish_tower(case["hidden_states"], norm)


def pictures(random: Random) -> Iterator[Case]:
    for batch, places, size_in, size_out in [(1, 1, 1, 1), (3, 2, 4, 1), (1, 5, 2, 30)]:
        yield {
            "hidden_states": random.normal(batch, places, size_in),
            "linear": CHECKS.make_linear(random, size_in, size_out),
        }


def call_project_image(submission, case: Case):
    return submission.project_image(case["hidden_states"], linear_from(case["linear"]))


def words(random: Random) -> Iterator[Case]:
    for batch, length, size in [(1, 1, 1), (3, 2, 5), (1, 6, 2048)]:
        yield {"input_ids": random.integers(0, 20, batch, length), "weight": random.normal(20, size)}


def states(random: Random) -> Iterator[Case]:
    for shape in [(1, 1, 1), (4,), (3, 2, 5), (2, 1, 3, 64)]:
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            for scale, eps in [(1.0, 1e-6), (1e-3, 1e-3), (0.01, 1e-8), (100.0, 1.0), (0.0, 1e-6)]:
                hidden_states = random.normal(*shape, scale=scale).to(dtype)
                yield {"hidden_states": hidden_states, "weight": random.normal(shape[-1]), "eps": eps}


def angles(random: Random) -> Iterator[Case]:
    for batch, heads, length, half in [(1, 1, 1, 1), (4, 1, 2, 1), (1, 5, 3, 8), (2, 2, 6, 3)]:
        turns = random.uniform(batch, 1, length, half, low=-7.0, high=7.0)
        turns = torch.cat([turns, turns], dim=-1)
        yield {"states": random.normal(batch, heads, length, 2 * half), "cos": turns.cos(), "sin": turns.sin()}


def heads(random: Random) -> Iterator[Case]:
    for batch, num_heads, length, size, num_groups in [
        (1, 1, 1, 1, 1),
        (3, 2, 1, 4, 1),
        (2, 4, 5, 1, 3),
        (1, 1, 2, 2, 8),
    ]:
        yield {"states": random.normal(batch, num_heads, length, size), "num_groups": num_groups}


def mlps(random: Random) -> Iterator[Case]:
    for batch, length, size, inner in [(1, 1, 1, 1), (3, 1, 2, 9), (1, 6, 5, 3)]:
        for scale in (0.1, 1.0, 5.0):
            yield {
                "hidden_states": random.normal(batch, length, size, scale=scale),
                "gate_proj": CHECKS.make_linear(random, size, inner, bias=False),
                "up_proj": CHECKS.make_linear(random, size, inner, bias=False),
                "down_proj": CHECKS.make_linear(random, inner, size, bias=False),
            }


def call_gated_mlp(submission, case: Case):
    layers = [linear_from(case[name]) for name in ("gate_proj", "up_proj", "down_proj")]
    return submission.gated_mlp(case["hidden_states"], *layers)


def batches(random: Random) -> Iterator[Case]:
    for pads, prefixes, suffixes in [
        ([0], [1], [0]),
        ([0], [1], [4]),
        ([3, 0], [1, 2], [1, 3]),
        ([0, 0], [4, 2], [0, 2]),
        ([2, 4, 0, 1], [3, 1, 2, 5], [2, 2, 5, 1]),
    ]:
        counts = list(zip(pads, prefixes, suffixes, strict=True))
        length = max(map(sum, counts))
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            yield {
                "attention_mask": torch.tensor([[0] * pad + [1] * (length - pad) for pad, _, _ in counts]),
                "token_type_ids": torch.tensor([[0] * (p + q) + [1] * (length - p - q) for p, q, _ in counts]),
                "dtype": dtype,
            }


def call_make_mask(submission, case: Case):
    mask = submission.make_mask(case["attention_mask"], case["token_type_ids"], case["dtype"])
    return torch.where(case["attention_mask"][:, None, :, None] == 1, mask, 0)


WIDE = [
    Wide("relative_error", pairs),
    Wide("first_departure", tables),
    Wide("finish_tower", towers, {"call": call_finish_tower, "tolerance": 1e-4}),
    Wide("project_image", pictures, {"call": call_project_image}),
    Wide("embed_words", words),
    Wide("rms_norm", states, {"tolerance": 1e-2}),
    Wide("turn", angles),
    Wide("turn", angles, {"call": call_with_gradients("turn", "states"), "tolerance": 1e-3}),
    Wide("share_heads", heads),
    Wide("gated_mlp", mlps, {"call": call_gated_mlp, "tolerance": 1e-4}),
    Wide("make_mask", batches, {"call": call_make_mask}),
]
WITHOUT = {"relative_error": ("bfloat16", "large", "small")}
