"""Wide cases for chapter 2, patches."""

from collections.abc import Iterator

import torch

from grader.exercise import Case, Random
from tools.holes.training import call_with_gradients
from tools.holes.wide import Wide

# (B, C, rows, columns, P)
SIZES = [(1, 1, 1, 1, 1), (1, 1, 1, 5, 2), (2, 1, 4, 1, 3), (5, 2, 2, 2, 1), (1, 5, 3, 2, 4), (2, 3, 1, 1, 14)]
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.uint8, torch.int64)


def images(random: Random) -> Iterator[Case]:
    for batch, channels, rows, columns, size in SIZES:
        for dtype in DTYPES:
            pixels = (100 * random.uniform(batch, channels, rows * size, columns * size)).to(dtype)
            yield {"pixel_values": pixels, "patch_size": size}


def patches(random: Random) -> Iterator[Case]:
    for batch, channels, rows, columns, size in SIZES:
        for dtype in DTYPES:
            yield {
                "patches": (100 * random.uniform(batch, rows * columns, channels * size * size)).to(dtype),
                "patch_size": size,
                "height": rows * size,
                "width": columns * size,
            }


def filters(random: Random) -> Iterator[Case]:
    for batch, channels, rows, columns, size in SIZES:
        for hidden_size in (1, 3, 20):
            for dtype in (torch.float32, torch.float64):
                yield {
                    "pixel_values": random.normal(batch, channels, rows * size, columns * size, dtype=dtype),
                    "weight": random.normal(hidden_size, channels, size, size, dtype=dtype),
                    "bias": random.normal(hidden_size, dtype=dtype),
                }


def pixels(random: Random) -> Iterator[Case]:
    for rows, columns, size in [(1, 1, 1), (3, 1, 2), (1, 4, 3), (7, 2, 5), (64, 64, 14)]:
        for shape in ((), (1,), (6,), (2, 3, 2)):
            y, x = (random.integers(0, n * size, *shape) for n in (rows, columns))
            yield {"y": y, "x": x, "width": columns * size, "patch_size": size}


WIDE = [
    Wide("patchify", images),
    Wide("unpatchify", patches),
    Wide("embed_patches", filters, {"tolerance": 1e-4}),
    Wide("embed_patches", filters, {"call": call_with_gradients("embed_patches"), "tolerance": 1e-3}),
    Wide("patch_of_pixel", pixels),
]
