"""Checks of exercises/ch01_whole_vlm.py: cases for each exercise. What is right, the solutions know."""

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


def answers_to_write(random: Random) -> Iterator[Case]:
    yield {"prefix_length": 10, "new_tokens": 3}
    yield {"prefix_length": random.integer(1, 20), "new_tokens": 1}
    for _ in range(4):
        yield {"prefix_length": random.integer(1, 4000), "new_tokens": random.integer(2, 300)}


NAMES = ["cat", "dog", "red bus", "turtle", "old oak tree"]


def answers(random: Random) -> Iterator[Case]:
    yield {"answer": "", "height": 100, "width": 50}
    for number in (1, 2, 4):
        things = [thing(random) for _ in range(number)]
        yield {
            "answer": " ; ".join(things),
            "height": random.integer(50, 400),
            "width": random.integer(500, 900),
        }
    yield {"answer": "<loc0000><loc0000><loc1023><loc1023> cat", "height": 112, "width": 336}


def thing(random: Random) -> str:
    top, left, bottom, right = random.integers(0, 1024, 4).tolist()
    return f"<loc{top:04d}><loc{left:04d}><loc{bottom:04d}><loc{right:04d}> {random.choice(NAMES)}"


EXERCISES = [
    Exercise("trace_shapes", "Every shape from picture to scores", models, points=2, section="Three parts"),
    Exercise("places_worked_through", "What a cache saves", answers_to_write, section="The loop"),
    Exercise(
        "read_boxes",
        "From words to boxes",
        answers,
        points=2,
        forbidden=("vlm.regions.boxes.parse_detections", "vlm.parse_detections"),
        section="From words to boxes",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
