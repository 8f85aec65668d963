"""Wide cases for chapter 17, boxes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from grader.exercise import Case, Random
from tools.holes.wide import Wide, checks_of

CHECKS = checks_of("ch17_boxes")
SIZES = [(1, 1), (1023, 2046), (64, 64), (3, 4000)]


def boxes_to_write(random: Random) -> Iterator[Case]:
    for height, width in SIZES:
        for low, high in ((0, 1), (-3, 4), (-2, -1), (1.5, 2), (0.9995, 1.0), (0.0, 0.0005)):
            parts = random.uniform(4, low=low, high=high).tolist()
            yield {
                "box": [part * size for part, size in zip(parts, (height, width, height, width))],
                "height": height,
                "width": width,
            }
        for box in ([0, 0, height, width], [height, width, 0, 0], [0.0, 0.0, 0.0, 0.0]):
            yield {"box": box, "height": height, "width": width}


def streams(random: Random) -> Iterator[Case]:
    def run(*marks: int) -> str:
        return "".join(f"<loc{mark:04d}>" for mark in marks)

    good = run(10, 20, 300, 400)
    texts = [
        *(run(*marks) + " cat" for marks in [(5, 5, 5, 9), (5, 5, 9, 5), (9, 1, 5, 9), (1, 9, 5, 5), (5, 9, 9, 5)]),
        *(run(*marks) + " cat" for marks in [(0, 0, 1023, 1023), (0, 0, 1, 1), (1022, 1022, 1023, 1023)]),
        *(f"{good} {name}" for name in ("", " ", "a  b", "\tx ", "Ä", "x.y", "loc", "1", "a/b", "cat,dog", "it's (1)")),
        *(f"{good} cat{end}" for end in (";", " ;", ";;", " ; ;", " ; ; ", ";\n")),
        *(f"{good} cat ; {bad} dog ; {good} bus" for bad in (run(1), run(1, 2, 3), run(*range(5)), run(*range(8)))),
        *(f"{good} cat ; {run(1, 2, 3)}{bad} dog ; {good} bus" for bad in ("<loc1024>", "<loc9999>", "<loc12>")),
        *(f"{good} cat ; {bad}{good} dog ; {good} bus" for bad in ("<loc>", "<loc00001>", "<loc999>", run(7))),
        *(f"{good}{good} cat", f"{good} {good} cat", f"{good} cat {good} dog {good}", f"x {good} cat y"),
        *(f"; {good} cat", f"dog ; cat {good} bus", "<loc0001", "loc0001> cat", f"{good[:-1]} cat"),
        "".join(f"{good} n{number} ; " for number in range(20)),
    ]
    for text in texts:
        for height, width in SIZES[:2]:
            yield {"text": text, "height": height, "width": width}


def pairs_of_boxes(random: Random) -> Iterator[Case]:
    def some(number: int, size: float) -> Tensor:
        return (random.integers(0, 8, number, 4) / 4).float() * size  # many ties, empty ones and turned ones

    for number, others in [(1, 1), (0, 0), (0, 3), (1, 6), (12, 9)]:
        for size in (1e-3, 1.0, 500.0):
            yield {"boxes": some(number, size), "others": some(others, size)}
            yield {"boxes": some(number, size) - size, "others": some(others, size) - size}
    yield {"boxes": torch.tensor([[0.0, 0, 1e-4, 1e-4]]), "others": torch.tensor([[0.0, 0, 1e-4, 2e-4]])}
    yield {"boxes": torch.tensor([[0.0, 0, 1e4, 1e4]]), "others": torch.tensor([[0.0, 0, 1, 1], [5e3, 0, 1e4, 1e4]])}


def rankings(random: Random) -> Iterator[Case]:
    for number, objects in [(1, 1), (1, 0), (0, 0), (0, 4), (7, 1), (2, 9), (15, 10)]:
        for min_iou in (0.01, 0.05, 0.5, 0.9, 1.0):
            ious = random.uniform(number, objects)
            yield {"ious": ious, "scores": random.uniform(number), "min_iou": min_iou}
            yield {"ious": ious, "scores": random.normal(number, scale=5.0), "min_iou": min_iou}
            yield {"ious": ious * (ious > 0.7), "scores": 1e-4 * random.uniform(number), "min_iou": min_iou}


def lists(random: Random) -> Iterator[Case]:
    for number, num_right, num_actual in [
        (1, 1, 1),
        (1, 0, 1),
        (0, 0, 1),
        (5, 5, 5),
        (5, 5, 53),
        (6, 3, 11),
        (100, 50, 101),
        (30, 25, 25),
        (9, 1, 401),
    ]:
        for low, high in ((0, 1), (-9, 0), (0.5, 0.501)):
            order = random.uniform(number).argsort()
            yield {
                "scores": random.uniform(number, low=low, high=high),
                "is_right": order < num_right,
                "num_actual": num_actual,
            }


WIDE = [
    Wide("write_box", boxes_to_write),
    Wide("read_answer", streams),
    Wide("iou_matrix", pairs_of_boxes),
    Wide("find_right", rankings),
    Wide("average_precision", lists),
]
WITHOUT = {"iou_matrix": ("bfloat16",), "find_right": ("bfloat16",), "average_precision": ("bfloat16",)}
