"""Wide cases for chapter 4, contrastive training."""

from collections.abc import Iterator

import torch

from grader.exercise import Case, Random
from tools.holes.training import call_with_gradients
from tools.holes.wide import Wide


def vectors(random: Random) -> Iterator[Case]:
    for pairs, width in [(1, 1), (2, 1), (3, 8), (9, 2)]:
        for length in (1e-4, 1.0, 1e4):
            for scale, bias in [(0.0, 0.0), (-2.0, 3.0), (4.6, -10.0)]:
                yield {
                    "image_embeds": random.normal(pairs, width, scale=length),
                    "text_embeds": random.normal(pairs, width, scale=1 / length),
                    "logit_scale": torch.tensor(scale),
                    "logit_bias": torch.tensor(bias),
                }
    yield {
        "image_embeds": random.normal(3, 4, dtype=torch.float64),
        "text_embeds": random.normal(3, 4, dtype=torch.float64),
        "logit_scale": torch.tensor(1.0, dtype=torch.float64),
        "logit_bias": torch.tensor(-2.0, dtype=torch.float64),
    }


def vectors_to_train(random: Random) -> Iterator[Case]:
    """Where lengths differ much, or a vector has one number, the gradients are rounding alone."""
    for case in vectors(random):
        lengths = case["image_embeds"].norm(dim=-1), case["text_embeds"].norm(dim=-1)
        if case["image_embeds"].shape[1] > 1 and all(((x > 0.1) & (x < 10)).all() for x in lengths):
            yield case


def tables(random: Random) -> Iterator[Case]:
    for pairs in (1, 2, 3, 20):
        for scale in (0.0, 0.01, 1.0, 30.0, 900.0):
            yield {"logits": random.normal(pairs, pairs, scale=scale)}
        yield {"logits": random.normal(pairs, pairs) - 50}
        yield {"logits": random.normal(pairs, pairs) + 50}
        yield {"logits": 40 * torch.eye(pairs) - 20}
        yield {"logits": random.normal(pairs, pairs, dtype=torch.float64)}


def pictures_and_sentences(random: Random) -> Iterator[Case]:
    for pictures, kinds, sentences, width in [(1, 1, 1, 1), (1, 2, 1, 3), (30, 6, 1, 2), (50, 2, 9, 8), (30, 12, 2, 4)]:
        for _ in range(3):
            yield {
                "image_embeds": random.normal(pictures, width) * random.uniform(pictures, 1, low=0.01, high=100.0),
                "sentence_embeds": random.normal(kinds, sentences, width)
                * random.uniform(kinds, sentences, 1, low=0.01, high=100.0),
            }


WIDE = [
    Wide("pair_logits", vectors, {"tolerance": 1e-4}),
    Wide("pair_logits", vectors_to_train, {"call": call_with_gradients("pair_logits"), "tolerance": 1e-3}),
    Wide("softmax_loss", tables, {"tolerance": 1e-4}),
    Wide("softmax_loss", tables, {"call": call_with_gradients("softmax_loss"), "tolerance": 1e-4}),
    Wide("sigmoid_loss", tables, {"tolerance": 1e-4}),
    Wide("sigmoid_loss", tables, {"call": call_with_gradients("sigmoid_loss"), "tolerance": 1e-4}),
    Wide("choose_kind", pictures_and_sentences),
]
WITHOUT = {"softmax_loss": ("bfloat16",), "sigmoid_loss": ("bfloat16",), "choose_kind": ("bfloat16",)}
