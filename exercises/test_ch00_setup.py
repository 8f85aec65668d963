"""Test cases for exercises/ch00_setup.py; the correct answers come from solutions/ch00_setup.py."""

from collections.abc import Iterator

import pytest
import torch

from grader import Case, Exercise, Random


def vectors(random: Random) -> Iterator[Case]:
    for shape in [(2, 3, 4), (1, 5, 2), (3, 3, 3), (4, 1, 6)]:
        yield {"vectors": random.normal(*shape)}
    yield {"vectors": random.normal(2, 4, 3, dtype=torch.float64)}
    yield {"vectors": torch.empty(2, 4, 3, device="meta")}


def vectors_of_every_dtype(random: Random) -> Iterator[Case]:
    yield from vectors(random)
    yield {"vectors": random.normal(2, 4, 3, dtype=torch.bfloat16)}  # multiples of 1/4 are exact in bfloat16


def images_and_offsets(random: Random) -> Iterator[Case]:
    for batch, channels, height, width in [(2, 3, 4, 5), (1, 1, 3, 2), (3, 3, 3, 3), (2, 4, 2, 4)]:
        yield {"images": random.normal(batch, channels, height, width), "offsets": random.normal(batch, channels)}
    yield {"images": torch.empty(2, 3, 4, 4, device="meta"), "offsets": torch.empty(2, 3, device="meta")}


EXERCISES = [
    Exercise("to_unit_length", "Scale every vector to length 1", vectors, section="Shapes that fit"),
    Exercise("add_channel_offsets", "One offset for each channel", images_and_offsets, section="Shapes that fit"),
    Exercise(
        "append_positions",
        "A new tensor with the right dtype and device",
        vectors_of_every_dtype,
        section="Dtypes and devices",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
