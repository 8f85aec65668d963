"""Test cases for exercises/ch02_patches.py; the correct answers come from solutions/ch02_patches.py."""

from collections.abc import Iterator

import pytest
import torch

from grader import Case, Exercise, Random

# (B, C, H / P, W / P, P): several images, images that are not square, a single patch.
SIZES = [(2, 3, 2, 3, 4), (1, 3, 4, 2, 2), (3, 1, 3, 3, 5), (1, 4, 1, 1, 3)]


def images(random: Random) -> Iterator[Case]:
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
    Exercise("patchify", "Cut images into patches", images, points=2, section="Cutting an image into patches"),
    Exercise(
        "unpatchify", "Assemble an image from patches", patches, points=2, section="Cutting an image into patches"
    ),
    Exercise(
        "embed_patches",
        "A convolution that is a linear layer",
        filters,
        2,
        forbidden=NO_CONVOLUTION,
        section="Patch embedding: a vector for each patch",
    ),
    Exercise(
        "patch_of_pixel", "Which patch contains a pixel", pixels, section="Position embeddings: where a patch was"
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
