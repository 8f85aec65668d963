"""Wide cases for chapter 6, norms and the MLP."""

from collections.abc import Iterator

import torch

from grader.exercise import Case, Random
from grader.modules import load_weights, random_weights
from tools.holes.training import call_trained, call_with_gradients, report
from tools.holes.wide import Wide, checks_of
from vlm import gemma

CHECKS = checks_of("ch06_norms_mlp")
SIZES = [(1, 1, 1), (1, 1, 5), (4, 2, 1), (2, 7, 3), (5, 1, 16)]


def states(random: Random) -> Iterator[Case]:
    for shape in SIZES:
        for scale in (1e-6, 1e-3, 1.0, 1e6):
            yield {"states": random.normal(*shape, scale=scale)}
        yield {"states": torch.zeros(shape)}
        for dtype in (torch.float64, torch.bfloat16, torch.float16):
            yield {"states": random.normal(*shape, dtype=dtype)}


def training_states(random: Random) -> Iterator[Case]:
    for shape in SIZES:
        yield {"states": random.normal(*shape) + 1}


def norms(random: Random) -> Iterator[Case]:
    for batch, length, size in SIZES:
        for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
            for scale, eps in [(1.0, 1e-6), (1e-3, 1e-3), (1e-2, 1e-8), (100.0, 1.0), (0.0, 1e-6), (200.0, 1e-6)]:
                hidden_states = random.normal(batch, length, size, scale=scale).to(dtype)
                yield {"weight": random.normal(size), "eps": eps, "hidden_states": hidden_states}


def call_norm(submission, case: Case) -> dict:
    norm = submission.GemmaRMSNorm(case["weight"].shape[0], case["eps"])
    load_weights(norm, {"weight": case["weight"]})
    return report(norm, norm(case["hidden_states"]))


def mlps(random: Random) -> Iterator[Case]:
    for batch, length, hidden_size in SIZES:
        for intermediate_size in (1, 2, 17):
            for scale in (0.1, 1.0, 6.0):
                config = CHECKS.small_config(hidden_size, intermediate_size)
                yield {
                    "config": config,
                    "weights": random_weights(gemma.GemmaMLP(config), random),
                    "hidden_states": random.normal(batch, length, hidden_size, scale=scale),
                }


def norms_and_layers(random: Random) -> Iterator[Case]:
    for hidden_size, width in [(1, 1), (1, 4), (5, 1), (3, 8), (9, 9)]:
        for dtype in (torch.float32, torch.float64):
            yield {
                "norm_weight": random.normal(hidden_size, dtype=dtype),
                "linear_weight": random.normal(width, hidden_size, dtype=dtype),
            }


WIDE = [
    Wide("root_mean_square", states),
    Wide("root_mean_square", training_states, {"call": call_with_gradients("root_mean_square"), "tolerance": 1e-3}),
    Wide("GemmaRMSNorm", norms, {"call": call_norm, "tolerance": 1e-2, "equal": None}),
    Wide("GemmaMLP", mlps, {"call": call_trained("GemmaMLP", "hidden_states"), "tolerance": 1e-3}),
    Wide("fold_norm", norms_and_layers),
    Wide("fold_norm", norms_and_layers, {"call": call_with_gradients("fold_norm")}),
]
