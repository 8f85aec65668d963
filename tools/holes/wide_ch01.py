"""Wide cases for chapter 1, the whole model in numbers."""

from collections.abc import Iterator

from grader.exercise import Case, Random
from tools.holes.wide import Wide

NAMES = ["a", "cat", "red bus", "stop-sign", "person in a red coat", "7", "CAT", "Käse"]


def models(random: Random) -> Iterator[Case]:
    for rows, patch_size in [(1, 1), (1, 14), (2, 3), (32, 14), (5, 8)]:
        for batch, prompt_tokens in [(1, 0), (1, 1), (4, 30)]:
            yield {
                "batch": batch,
                "image_size": rows * patch_size,
                "patch_size": patch_size,
                "prompt_tokens": prompt_tokens,
                "vision_width": random.integer(1, 9),
                "text_width": random.integer(1, 9),
                "vocab_size": random.integer(1, 9),
            }


def answer_lengths(random: Random) -> Iterator[Case]:
    for prefix_length in (1, 2, 3, 260, 100000):
        for new_tokens in (1, 2, 3, 1000):
            yield {"prefix_length": prefix_length, "new_tokens": new_tokens}


def answers(random: Random) -> Iterator[Case]:
    for height, width in [(1, 1), (1023, 1023), (64, 224), (3, 2000)]:
        for number in (0, 1, 2, 3, 9):
            objects = []
            for _ in range(number):
                edges = random.choice([[0, 0, 1023, 1023], [0, 0, 0, 0], random.integers(0, 1024, 4).tolist()])
                objects.append("".join(f"<loc{edge:04d}>" for edge in edges) + f" {random.choice(NAMES)}")
            yield {"answer": " ; ".join(objects), "height": height, "width": width}
    same = "<loc0001><loc0002><loc0003><loc0004> cat"
    yield {"answer": f"{same} ; {same}", "height": 10, "width": 20}


WIDE = [
    Wide("trace_shapes", models),
    Wide("positions_processed", answer_lengths),
    Wide("read_boxes", answers),
]
