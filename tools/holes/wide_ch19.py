"""Wide cases for chapter 19, looking inside."""

from collections.abc import Iterator

import torch
from torch import Tensor

from grader.exercise import Case, Random
from tools.holes.wide import Wide

LOWEST = torch.finfo(torch.float32).min


def score_tables(random: Random) -> Iterator[Case]:
    for heads, patches, prompt, answer in [(1, 1, 1, 1), (3, 1, 0, 1), (5, 3, 1, 8), (2, 16, 2, 2)]:
        places = patches + prompt + answer
        scores = random.normal(heads, places, places, scale=2.0)
        hidden = torch.ones(places, places, dtype=torch.bool).triu(1)
        hidden[:, : patches + prompt] = False
        for table in (scores, scores.masked_fill(hidden, LOWEST), scores.masked_fill(hidden, -1e9), scores - 300):
            for word in range(answer):
                yield {"scores": table, "num_patches": patches, "num_answer_tokens": answer, "word": word}


def stacks(random: Random) -> Iterator[Case]:
    for layers, heads, places in [(1, 1, 1), (1, 5, 2), (6, 1, 3), (3, 2, 9)]:
        yield {"weights": [random.normal(heads, places, places, scale=3.0).softmax(-1) for _ in range(layers)]}
        yield {"weights": [random.integers(0, 2, heads, places, places).float().softmax(-1) for _ in range(layers)]}
        yield {"weights": [torch.eye(places).expand(heads, places, places)] * layers}


def vectors(random: Random) -> Iterator[Case]:
    for places, width, size in [(1, 1, 1), (1, 4, 9), (6, 2, 3), (3, 32, 100)]:
        for scale, eps in [(1e-3, 1e-6), (1e-2, 1e-2), (1.0, 1.0), (300.0, 1e-12), (0.0, 1e-6)]:
            yield {
                "hidden_states": random.normal(places, width, scale=scale),
                "norm_weight": random.normal(width),
                "head_weight": random.normal(size, width, scale=2.0),
                "eps": eps,
            }


def pictures(random: Random) -> Iterator[Case]:
    for channels, height, width, side in [(1, 1, 1, 1), (1, 2, 6, 2), (4, 6, 2, 2), (3, 5, 5, 5), (2, 3, 4, 1)]:
        for value in (0, 0.0, 1.0, -7.5):
            yield {
                "picture": random.normal(channels, height, width),
                "weights": random.normal(channels, height, width),
                "side": side,
                "value": value,
            }


def call_occlusion(submission, case: Case) -> dict:
    """With a score that is no sum, which is negative at times, and is asked as often as needed."""
    picture, asked = case["picture"].clone(), []

    def score(seen: Tensor) -> float:
        asked.append(seen.shape)
        return float((seen * case["weights"]).sum() ** 2 - 20 + seen.abs().max())

    fall = submission.occlusion(score, picture, case["side"], case["value"])
    return {"fall": fall, "the picture afterwards": picture}


WIDE = [
    Wide("word_map", score_tables),
    Wide("rollout", stacks),
    Wide("lens", vectors),
    Wide("occlusion", pictures, {"call": call_occlusion, "tolerance": 1e-3}),
]
WITHOUT = dict.fromkeys(("word_map", "rollout", "lens", "occlusion"), ("bfloat16", "float64"))
