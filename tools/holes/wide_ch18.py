"""Wide cases for chapter 18, masks."""

from collections.abc import Iterator

import torch

from grader.exercise import Case, Random
from tools.holes.wide import Wide, checks_of

CHECKS = checks_of("ch18_masks")


def vectors_and_books(random: Random) -> Iterator[Case]:
    for masks, places, width, size in [(1, 1, 1, 1), (3, 1, 1, 7), (1, 9, 2, 3), (4, 2, 16, 40)]:
        for scale, middle in ((1e-4, 0.0), (1.0, 0.0), (30.0, 100.0), (1.0, -20.0)):
            yield {
                "vectors": middle + random.normal(masks, places, width, scale=scale),
                "codebook": middle + random.normal(size, width, scale=scale),
            }
    book = random.integers(-3, 4, 9, 2).float()
    yield {"vectors": book[random.integers(0, 9, 4, 3)] + 0.01, "codebook": book.unique(dim=0)}


def pairs(random: Random) -> Iterator[Case]:
    for shape in ((1, 1, 1), (1, 3, 2), (4, 1, 5), (2, 16, 3)):
        for scale in (1e-3, 1.0, 100.0):
            yield {"vectors": random.normal(*shape, scale=scale), "chosen": random.normal(*shape, scale=scale)}
        same = random.normal(*shape)
        yield {"vectors": same, "chosen": same.clone()}


def weighted_pairs(random: Random) -> Iterator[Case]:
    for case in pairs(random):
        for commitment in (0.0, 0.25, 1.0, 1, 7.5):
            yield case | {"commitment": commitment}


def shape_texts(random: Random) -> Iterator[Case]:
    def codes(number: int = 16) -> list[str]:
        return [f"<seg{code:03d}>" for code in random.integers(0, 128, number).tolist()]

    for number in (0, 1, 8, 15, 16, 17, 31, 32, 48):
        yield {"text": "".join(codes(number))}
    for text in ("<seg000>" * 16, "<seg127>" * 16, "<seg128>" * 16, "<seg001>" * 15 + "<seg128>", "", "<seg>"):
        yield {"text": text}
    for between in (" ", "\n", " cat ", ";", "<loc0001>"):
        yield {"text": between.join(codes())}
        yield {"text": between + "".join(codes()) + between}
    for wrong in (
        "<seg1>",
        "<seg12>",
        "<seg0123>",
        "<seg130>",
        "<seg200>",
    ):
        for place in (0, 7, 15):
            listed = codes(15)
            yield {"text": "".join([*listed[:place], wrong, *listed[place:]])}
            listed = codes(16)
            yield {"text": "".join([*listed[:place], wrong, *listed[place:]])}
        yield {"text": "".join(codes(16)) + wrong}


def masks_to_paste(random: Random) -> Iterator[Case]:
    for side, box, height, width in [
        (1, (0.0, 0.0, 1.0, 1.0), 1, 1),
        (1, (2.0, 1.0, 5.0, 3.0), 7, 6),
        (4, (-3.0, -2.0, 9.0, 11.0), 5, 6),
        (4, (10.0, 3.0, 14.0, 8.0), 10, 10),
        (4, (3.0, 10.0, 8.0, 14.0), 10, 10),
        (4, (-9.0, 0.0, -2.0, 4.0), 5, 5),
        (8, (0.4, 0.6, 7.4, 7.6), 9, 9),
        (2, (1.5, 2.5, 4.5, 6.5), 9, 9),
        (16, (2.0, 2.0, 5.0, 20.0), 30, 10),
    ]:
        values = random.normal(side, side)
        for grid in (
            values,
            torch.ones(side, side),
            -torch.ones(side, side),
            values.abs() * 1e-3,
            torch.zeros(side, side),
        ):
            yield {"values": grid, "box": box, "height": height, "width": width}


WIDE = [
    Wide("nearest_codes", vectors_and_books),
    Wide("straight_through", pairs, {"tolerance": 1e-3}),
    Wide("pull_together", weighted_pairs, {"tolerance": 1e-4}),
    Wide("read_mask", shape_texts),
    Wide("paste_mask", masks_to_paste),
]
WITHOUT = {
    "nearest_codes": ("bfloat16",),
    "straight_through": ("bfloat16", "large"),
    "pull_together": ("bfloat16", "large"),
    "paste_mask": ("bfloat16", "float64"),
}
