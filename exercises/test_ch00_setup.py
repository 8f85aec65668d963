"""Checks of exercises/ch00_setup.py: cases for each exercise. What is right, the solutions know."""

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
    yield {"vectors": random.normal(2, 4, 3, dtype=torch.bfloat16)}  # fourths are exact in it


def pictures_and_shades(random: Random) -> Iterator[Case]:
    for batch, channels, height, width in [(2, 3, 4, 5), (1, 1, 3, 2), (3, 3, 3, 3), (2, 4, 2, 4)]:
        yield {"pictures": random.normal(batch, channels, height, width), "shades": random.normal(batch, channels)}
    yield {"pictures": torch.empty(2, 3, 4, 4, device="meta"), "shades": torch.empty(2, 3, device="meta")}


EXERCISES = [
    Exercise("to_unit_length", "Every vector to length 1", vectors, section="Shapes that fit"),
    Exercise("add_shades", "A number for each channel", pictures_and_shades, section="Shapes that fit"),
    Exercise(
        "append_places", "Make a tensor where the others live", vectors_of_every_dtype, section="Kinds and places"
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
