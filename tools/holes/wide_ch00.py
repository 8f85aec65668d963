"""Wide cases for chapter 0, tensors, dtypes and devices."""

from collections.abc import Iterator

import torch

from grader.exercise import Case, Random
from tools.holes.training import call_with_gradients
from tools.holes.wide import Wide

SHAPES = [(1, 1, 1), (1, 1, 4), (5, 1, 1), (2, 7, 1), (3, 2, 9)]


def vectors(random: Random) -> Iterator[Case]:
    for shape in SHAPES:
        for scale in (1e-8, 1e-4, 1.0, 1e8):
            yield {"vectors": random.normal(*shape, scale=scale)}
        yield {"vectors": random.normal(*shape, dtype=torch.float64)}
        yield {"vectors": -random.uniform(*shape, low=0.5)}


def vectors_to_train(random: Random) -> Iterator[Case]:
    for shape in SHAPES:
        yield {"vectors": random.normal(*shape) + 2}


def vectors_of_every_dtype(random: Random) -> Iterator[Case]:
    for shape in SHAPES:
        for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
            yield {"vectors": random.normal(*shape, dtype=dtype)}
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        yield {"vectors": random.normal(1, 64, 2, dtype=dtype)}
        yield {"vectors": torch.empty(2, 3, 4, dtype=dtype, device="meta")}


def images_and_offsets(random: Random) -> Iterator[Case]:
    for batch, channels, height, width in [(1, 1, 1, 1), (3, 1, 2, 5), (1, 4, 1, 1), (5, 2, 3, 1)]:
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            images = random.normal(batch, channels, height, width, dtype=dtype)
            yield {"images": images, "offsets": random.normal(batch, channels, dtype=dtype)}


WIDE = [
    Wide("to_unit_length", vectors),
    Wide("to_unit_length", vectors_to_train, {"call": call_with_gradients("to_unit_length"), "tolerance": 1e-3}),
    Wide("add_channel_offsets", images_and_offsets),
    Wide("add_channel_offsets", images_and_offsets, {"call": call_with_gradients("add_channel_offsets")}),
    Wide("append_positions", vectors_of_every_dtype),
]
