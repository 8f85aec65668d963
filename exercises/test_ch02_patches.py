"""Checks of exercises/ch02_patches.py: cases for each exercise. What is right, the solutions know."""

from collections.abc import Iterator

import pytest
import torch

from grader import Case, Exercise, Random

# (B, C, H / P, W / P, P): more than one picture, pictures that are not square, one patch alone.
SIZES = [(2, 3, 2, 3, 4), (1, 3, 4, 2, 2), (3, 1, 3, 3, 5), (1, 4, 1, 1, 3)]


def pictures(random: Random) -> Iterator[Case]:
    for batch, channels, rows, columns, size in SIZES:
        yield {"pixel_values": random.normal(batch, channels, rows * size, columns * size), "patch_size": size}
    yield {"pixel_values": random.normal(2, 3, 8, 12, dtype=torch.float64), "patch_size": 4}
    yield {"pixel_values": torch.empty(2, 3, 8, 12, device="meta"), "patch_size": 4}


def patches(random: Random) -> Iterator[Case]:
    for batch, channels, rows, columns, size in SIZES:
        yield {
            "patches": random.normal(batch, rows * columns, channels * size * size),
            "patch_size": size,
            "height": rows * size,
            "width": columns * size,
        }


def filters(random: Random) -> Iterator[Case]:
    for batch, channels, rows, columns, size in SIZES:
        hidden_size = random.integer(5, 9)
        yield {
            "pixel_values": random.normal(batch, channels, rows * size, columns * size),
            "weight": random.normal(hidden_size, channels, size, size),
            "bias": random.normal(hidden_size),
        }


def pixels(random: Random) -> Iterator[Case]:
    for rows, columns, size in [(2, 5, 4), (6, 3, 2), (4, 4, 14)]:
        yield {
            "y": random.integers(0, rows * size, 3, 7),
            "x": random.integers(0, columns * size, 3, 7),
            "width": columns * size,
            "patch_size": size,
        }


NO_CONVOLUTION = ("torch.nn.functional.conv2d", "torch.conv2d", "torch.nn.Conv2d")
EXERCISES = [
    Exercise("patchify", "Cut pictures into patches", pictures, points=2, section="Cutting"),
    Exercise("unpatchify", "Put patches together", patches, points=2, section="Cutting"),
    Exercise("embed_patches", "A convolution that is a linear layer", filters, 2, forbidden=NO_CONVOLUTION),
    Exercise("patch_of_pixel", "Which patch holds a pixel", pixels, section="Where a patch was"),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
