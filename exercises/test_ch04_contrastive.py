"""Test cases for exercises/ch04_contrastive.py; the correct answers come from solutions/ch04_contrastive.py."""

from collections.abc import Iterator

import pytest
import torch

from grader import Case, Exercise, Random


def vectors(random: Random) -> Iterator[Case]:
    for pairs, width in [(4, 6), (7, 3), (1, 5), (5, 5)]:
        lengths = random.uniform(2, pairs, 1, low=0.2, high=5.0)  # no vector has length 1 by chance
        yield {
            "image_embeds": random.normal(pairs, width) * lengths[0],
            "text_embeds": random.normal(pairs, width) * lengths[1],
            "logit_scale": random.uniform(low=0.5, high=2.5),
            "logit_bias": random.uniform(low=-8.0, high=-2.0),
        }


def logits(random: Random) -> Iterator[Case]:
    for pairs, scale in [(5, 3.0), (2, 1.0), (8, 10.0), (1, 2.0)]:
        yield {"logits": random.normal(pairs, pairs, scale=scale)}
    yield {"logits": random.normal(4, 4, scale=400.0)}
    yield {"logits": random.normal(3, 3, dtype=torch.float64)}


def images_and_sentences(random: Random) -> Iterator[Case]:
    for images, classes, sentences, width in [(40, 4, 3, 3), (40, 3, 6, 2), (25, 5, 5, 3)]:
        lengths = random.uniform(classes, sentences, 1, low=0.05, high=4.0)
        yield {
            "image_embeds": random.normal(images, width),
            "sentence_embeds": random.normal(classes, sentences, width) * lengths,
        }


EXERCISES = [
    Exercise(
        "pair_logits",
        "Logits for pairs of images and texts",
        vectors,
        section="Two vectors, one space: cosine similarity and the logit scale",
    ),
    Exercise("softmax_loss", "CLIP's loss", logits, points=2, section="CLIP's softmax loss: pick your partner"),
    Exercise(
        "sigmoid_loss", "SigLIP's loss", logits, points=2, section="SigLIP's sigmoid loss: yes or no, pair by pair"
    ),
    Exercise(
        "classify_zero_shot",
        "Zero-shot classification with a prompt ensemble",
        images_and_sentences,
        2,
        section="A classifier for free: prompt ensembles",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
