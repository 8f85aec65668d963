"""Checks of exercises/ch19_inside.py: test cases for each exercise. The solutions define what is right."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from grader import Case, Exercise, Random


def score_matrices(random: Random) -> Iterator[Case]:
    for heads, patches, prompt, answer in ((2, 4, 5, 3), (4, 9, 3, 6), (1, 4, 7, 2)):
        positions = patches + prompt + answer
        scores = random.normal(heads, positions, positions, scale=2.0) + 90 * random.uniform(heads, 1, 1, low=1)
        block = torch.cat([torch.zeros(patches + prompt), torch.arange(1, answer + 1)])
        scores = scores.masked_fill(block[None, None, :] > block[None, :, None], torch.finfo(torch.float32).min)
        for token in (0, answer - 1, random.integer(0, answer)):
            yield {"scores": scores.clone(), "num_patches": patches, "num_answer_tokens": answer, "token": token}


def stacks(random: Random) -> Iterator[Case]:
    for layers, heads, positions in ((1, 2, 3), (2, 3, 4), (4, 4, 6)):
        yield {"weights": [random.normal(heads, positions, positions, scale=2.0).softmax(-1) for _ in range(layers)]}


def vectors(random: Random) -> Iterator[Case]:
    for positions, width, size, eps in ((3, 8, 12, 1e-6), (5, 4, 7, 1e-6), (2, 16, 30, 0.5)):
        yield {
            "hidden_states": random.normal(positions, width, scale=random.choice([0.3, 6.0])),
            "norm_weight": random.normal(width, scale=0.7),
            "head_weight": random.normal(size, width, scale=0.6),
            "eps": eps,
        }


def images(random: Random) -> Iterator[Case]:
    for channels, height, width, side in ((3, 6, 9, 3), (1, 4, 4, 2), (3, 8, 4, 4)):
        yield {
            "image": random.uniform(channels, height, width, low=-1),
            "weights": random.normal(channels, height, width),
            "side": side,
            "value": random.choice([0.0, 0.5, -1.0]),
        }


def call_occlusion(submission, case: Case) -> dict:
    image, weights = case["image"].clone(), case["weights"]

    def score(seen: Tensor) -> float:
        # Not just a sum, so that squares must be covered one at a time.
        return float((seen * weights).sum() + (seen.mean((0, 1)) ** 2).sum())

    drop = submission.occlusion(score, image, case["side"], case["value"])
    return {"drop": drop, "the image afterwards": image}


EXERCISES = [
    Exercise(
        "attention_map",
        "An attention map",
        score_matrices,
        points=2,
        section="Attention maps: from a token to the patches",
    ),
    Exercise(
        "rollout",
        "Attention rollout",
        stacks,
        points=2,
        forbidden=("vlm.inside.rollout.attention_rollout",),
        section="Attention rollout: through several layers",
    ),
    Exercise(
        "logit_lens",
        "The logit lens",
        vectors,
        points=2,
        forbidden=("vlm.inside.logit_lens.logit_lens",),
        section="The logit lens: what do the hidden states already say?",
    ),
    Exercise(
        "occlusion",
        "Occlusion",
        images,
        points=2,
        call=call_occlusion,
        show=lambda case: {name: case[name] for name in ("image", "side", "value")},
        forbidden=("vlm.inside.occlusion.occlusion_map",),
        section="Occlusion: what could it not do without?",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
