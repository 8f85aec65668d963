"""Test cases for exercises/ch01_whole_vlm.py; the correct answers come from solutions/ch01_whole_vlm.py."""

from collections.abc import Iterator

import pytest

from grader import Case, Exercise, Random


def models(random: Random) -> Iterator[Case]:
    for rows, patch_size in [(8, 14), (16, 14), (3, 10), (1, 7)]:
        yield {
            "batch": random.integer(2, 9),
            "image_size": rows * patch_size,
            "patch_size": patch_size,
            "prompt_tokens": random.integer(0, 12),
            "vision_width": random.integer(20, 90),
            "text_width": random.integer(100, 200),
            "vocab_size": random.integer(300, 900),
        }


def answer_lengths(random: Random) -> Iterator[Case]:
    yield {"prefix_length": 10, "new_tokens": 3}
    yield {"prefix_length": random.integer(1, 20), "new_tokens": 1}
    for _ in range(4):
        yield {"prefix_length": random.integer(1, 4000), "new_tokens": random.integer(2, 300)}


NAMES = ["cat", "dog", "red bus", "turtle", "old oak tree"]


def answers(random: Random) -> Iterator[Case]:
    yield {"answer": "", "height": 100, "width": 50}
    for number in (1, 2, 4):
        objects = [make_object(random) for _ in range(number)]
        yield {
            "answer": " ; ".join(objects),
            "height": random.integer(50, 400),
            "width": random.integer(500, 900),
        }
    yield {"answer": "<loc0000><loc0000><loc1023><loc1023> cat", "height": 112, "width": 336}


def make_object(random: Random) -> str:
    top, left, bottom, right = random.integers(0, 1024, 4).tolist()
    return f"<loc{top:04d}><loc{left:04d}><loc{bottom:04d}><loc{right:04d}> {random.choice(NAMES)}"


EXERCISES = [
    Exercise(
        "trace_shapes",
        "Every shape from the image to the logits",
        models,
        points=2,
        section="Three parts: vision tower, projector, language model",
    ),
    Exercise(
        "positions_processed", "What a cache saves", answer_lengths, section="The generation loop: greedy decoding"
    ),
    Exercise(
        "read_boxes",
        "From location tokens to boxes",
        answers,
        points=2,
        forbidden=("vlm.regions.boxes.parse_detections", "vlm.parse_detections"),
        section="From location tokens to boxes",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
