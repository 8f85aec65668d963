"""Checks of exercises/ch19_inside.py: cases for each exercise. What is right, the solutions know."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from grader import Case, Exercise, Random


def score_tables(random: Random) -> Iterator[Case]:
    for heads, patches, prompt, answer in ((2, 4, 5, 3), (4, 9, 3, 6), (1, 4, 7, 2)):
        places = patches + prompt + answer
        scores = random.normal(heads, places, places, scale=2.0) + 90 * random.uniform(heads, 1, 1, low=1)
        block = torch.cat([torch.zeros(patches + prompt), torch.arange(1, answer + 1)])
        scores = scores.masked_fill(block[None, None, :] > block[None, :, None], torch.finfo(torch.float32).min)
        for word in (0, answer - 1, random.integer(0, answer)):
            yield {"scores": scores.clone(), "num_patches": patches, "num_answer_tokens": answer, "word": word}


def stacks(random: Random) -> Iterator[Case]:
    for layers, heads, places in ((1, 2, 3), (2, 3, 4), (4, 4, 6)):
        yield {"weights": [random.normal(heads, places, places, scale=2.0).softmax(-1) for _ in range(layers)]}


def vectors(random: Random) -> Iterator[Case]:
    for places, width, size, eps in ((3, 8, 12, 1e-6), (5, 4, 7, 1e-6), (2, 16, 30, 0.5)):
        yield {
            "hidden_states": random.normal(places, width, scale=random.choice([0.3, 6.0])),
            "norm_weight": random.normal(width, scale=0.7),
            "head_weight": random.normal(size, width, scale=0.6),
            "eps": eps,
        }


def pictures(random: Random) -> Iterator[Case]:
    for channels, height, width, side in ((3, 6, 9, 3), (1, 4, 4, 2), (3, 8, 4, 4)):
        yield {
            "picture": random.uniform(channels, height, width, low=-1),
            "weights": random.normal(channels, height, width),
            "side": side,
            "value": random.choice([0.0, 0.5, -1.0]),
        }


def call_occlusion(submission, case: Case) -> dict:
    picture, weights = case["picture"].clone(), case["weights"]

    def score(seen: Tensor) -> float:
        # Not a mere sum, so that squares have to be covered one at a time.
        return float((seen * weights).sum() + (seen.mean((0, 1)) ** 2).sum())

    fall = submission.occlusion(score, picture, case["side"], case["value"])
    return {"fall": fall, "the picture afterwards": picture}


EXERCISES = [
    Exercise(
        "word_map", "The right place, after softmax", score_tables, points=2, section="From a word to the patches"
    ),
    Exercise(
        "rollout",
        "Layer after layer",
        stacks,
        points=2,
        forbidden=("vlm.inside.rollout.attention_rollout",),
        section="Through several layers",
    ),
    Exercise(
        "lens",
        "If it stopped here",
        vectors,
        points=2,
        forbidden=("vlm.inside.logit_lens.logit_lens",),
        section="What do the vectors already say?",
    ),
    Exercise(
        "occlusion",
        "What it would miss",
        pictures,
        points=2,
        call=call_occlusion,
        show=lambda case: {name: case[name] for name in ("picture", "side", "value")},
        forbidden=("vlm.inside.occlusion.occlusion_map",),
        section="What would it miss?",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
