"""Wide cases for chapter 22, pretraining."""

from collections.abc import Iterator

import torch

from grader.exercise import Case, Random
from tools.holes.wide import Wide

NAN, INFINITY = float("nan"), float("inf")


def rulers(random: Random) -> Iterator[Case]:
    for targets, num_marks in [(1, 1), (1, 2), (3, 5), (4, 1024), (2, 3000)]:
        for sigma in (1e-3, 0.01, 0.5, 3, 40.0, 1e4):
            yield {"marks": random.integers(0, num_marks, targets), "num_marks": num_marks, "sigma": sigma}
            yield {"marks": torch.tensor([0, num_marks - 1]), "num_marks": num_marks, "sigma": sigma}


def steps(random: Random) -> Iterator[Case]:
    for num_steps, warmup_steps in [(2, 1), (3, 2), (10, 9), (10, 1), (1000, 100), (7, 3)]:
        for peak, final in [(1.0, 0.0), (3.0, 2.0), (0.5, 0.5), (1.0, 4.0)]:
            for step in sorted({0, 1, warmup_steps - 1, warmup_steps, warmup_steps + 1, num_steps - 1}):
                if step < num_steps:
                    yield {
                        "step": step,
                        "num_steps": num_steps,
                        "warmup_steps": warmup_steps,
                        "peak": peak,
                        "final": final,
                    }


def data_sets(random: Random) -> Iterator[Case]:
    for sizes in ([1], [5, 5], [1, 1000], [10**9, 3, 10**6], [7, 100, 100, 101], [1, 2, 3, 4, 5, 6, 7]):
        for temperature in (1, 1.0, 0.5, 2.0, 100.0):
            for limit in (1, 4, 100, 10**6, 10**12):
                yield {"sizes": sizes, "temperature": temperature, "limit": limit}


def surprising_rows(random: Random) -> Iterator[Case]:
    for rows, tokens in [(1, 1), (1, 4), (5, 1), (3, 3), (6, 20)]:
        for chance in (0.2, 0.6, 1.0):
            counts = random.uniform(rows, tokens) < chance
            counts[-1, -1] = True
            for value in (NAN, INFINITY, -INFINITY, 1e30, 0.0, -7.0):
                surprises = random.uniform(rows, tokens, high=9)
                yield {"surprises": torch.where(counts, surprises, value), "counts": counts}
            yield {"surprises": torch.where(counts, 1e-7 * surprises, 1e7), "counts": counts}


WIDE = [
    Wide("soft_targets", rulers),
    Wide("learning_rate", steps),
    Wide("mixture", data_sets),
    Wide("answers_alike", surprising_rows),
]
WITHOUT = {"answers_alike": ("bfloat16", "float64")}
