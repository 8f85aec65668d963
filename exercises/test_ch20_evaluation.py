"""Checks of exercises/ch20_evaluation.py: test cases for each exercise. The solutions define what is right."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from grader import Case, Exercise, Random

ANSWERS = (
    "  Two cats, on the grass. ",
    "YES!",
    "A bird and an apple",
    "1,000 birds, 2,500 dogs",
    "2.5 or 2. or .5",
    "top-left",
    "it's a cat",
    "another theory",
    "someone ate ten of the apples",
    "",
    "the",
    "No... two",
    "red/blue; (green)",
    "cats,dogs",
    "3,000.25!",
    "The  theatre\tof a\ntown",
    "one-two-three",
    "the the a an a cat",
    "a café in Zürich",
    "snake_case",
    "1,2,3 and 1,5",
    "a's and the's",
    "eleven and twelve",
    "vitamin-a",
)


def texts(random: Random) -> Iterator[Case]:
    words = ["cat", "dogs", "THE", "a", "An", "three", "Seven", "grass.", "on,", "4", "1,200", "0.75", "tree!", "zero"]
    for answer in ANSWERS:
        yield {"answer": answer}
    for _ in range(5):
        yield {"answer": " ".join(random.choice(words) for _ in range(6))}


def panels(random: Random) -> Iterator[Case]:
    for people, agreeing in ((10, 0), (10, 1), (10, 2), (10, 3), (10, 4), (10, 10), (5, 2), (3, 3), (2, 1)):
        answers = ["red"] * agreeing + [random.choice(["blue", "green", "dark red"]) for _ in range(people - agreeing)]
        order = random.uniform(people).argsort().tolist()
        yield {"answer": "red", "human_answers": [answers[i] for i in order]}
    for _ in range(3):
        people = random.integer(4, 12)
        yield {"answer": "red", "human_answers": [random.choice(["red", "blue", "Red"]) for _ in range(people)]}


def tables(random: Random) -> Iterator[Case]:
    for images in (5, 30):
        actual = random.integers(0, 5, images)
        predicted = (actual + random.integers(-1, 3, images)).clamp(min=0)
        right = (torch.minimum(actual, predicted) - random.integers(0, 2, images)).clamp(min=0)
        yield {"counts": torch.stack([right, predicted, actual], dim=1)}
    yield {"counts": torch.tensor([[1, 1, 1], [1, 4, 5], [0, 0, 2]])}
    yield {"counts": torch.tensor([[0, 0, 3], [0, 0, 1]])}  # no predicted boxes
    yield {"counts": torch.tensor([[0, 2, 0], [0, 1, 0]])}  # no objects
    yield {"counts": torch.tensor([[0, 3, 2], [0, 1, 4]])}  # no right boxes


def samples(random: Random) -> Iterator[Case]:
    for images, draws, confidence in ((12, 90, 0.95), (30, 101, 0.8), (7, 25, 0.5)):
        actual = random.integers(1, 6, images).float()
        found = (actual * random.uniform(images)).round()
        yield {
            "rows": torch.stack([found, actual, random.normal(images)], dim=1),
            "picks": random.integers(0, images, draws, images),
            "confidence": confidence,
        }


def ratio_and_more(rows: Tensor) -> float:
    """A ratio of sums, plus terms that change if columns are resampled separately or rows are reordered."""
    return float(rows[:, 0].sum() / rows[:, 1].sum() + (rows[:, 0] * rows[:, 2]).mean() + 0.1 * rows[0, 2])


def call_interval_from_draws(submission, case: Case) -> tuple[float, float]:
    return submission.interval_from_draws(case["rows"], case["picks"], ratio_and_more, case["confidence"])


def pairs(random: Random) -> Iterator[Case]:
    for images, draws, confidence in ((20, 60, 0.95), (40, 101, 0.8), (9, 30, 0.5)):
        difficulty = random.uniform(images)  # the same for both models
        yield {
            "results": (difficulty + 0.8 * random.uniform(images) < 1.1).float(),
            "other_results": (difficulty + 0.8 * random.uniform(images) < 0.9).float(),
            "picks": random.integers(0, images, draws, images),
            "confidence": confidence,
        }


def answers_with_confidence(random: Random) -> Iterator[Case]:
    for answers, num_bins in ((40, 10), (25, 5), (60, 15)):
        confidences = random.uniform(answers).sqrt()
        # Halfway between the edges of bins, so that rounding does not matter.
        confidences = (torch.floor(confidences * num_bins * 2).clamp(max=2 * num_bins - 1) + 0.5) / (2 * num_bins)
        yield {
            "confidences": confidences,
            "is_right": random.uniform(answers) < confidences**2,
            "num_bins": num_bins,
        }
    edges = torch.tensor([0.0, 0.0, 0.0, 0.25, 0.25, 0.5, 0.75, 1.0, 1.0])  # exact in float32
    right = torch.tensor([True] * 3 + [False] * 3 + [True] + [False] * 2)  # so that the assignment to bins matters
    yield {"confidences": edges, "is_right": right, "num_bins": 4}
    yield {
        "confidences": torch.tensor([0.3, 0.4, 0.3, 0.4]),  # overconfident in one half and underconfident in the other
        "is_right": torch.tensor([True, True, False, False]),
        "num_bins": 2,
    }
    yield {"confidences": torch.full((9,), 0.9), "is_right": torch.arange(9) < 3, "num_bins": 10}


EXERCISES = [
    Exercise(
        "normalize",
        "Normalizing answers",
        texts,
        points=2,
        forbidden=("vlm.metrics.answers.normalize_answer",),
        section="Exact match: when are two answers the same?",
    ),
    Exercise(
        "vqa_score",
        "VQA accuracy",
        panels,
        forbidden=("vlm.metrics.answers.vqa_accuracy",),
        section="Exact match: when are two answers the same?",
    ),
    Exercise(
        "precision_and_recall",
        "Precision and recall over all images",
        tables,
        section="Ratio of sums or mean of ratios?",
    ),
    Exercise(
        "interval_from_draws",
        "A bootstrap interval",
        samples,
        points=2,
        call=call_interval_from_draws,
        show=lambda case: {"rows": case["rows"], "confidence": case["confidence"]},
        section="Bootstrap confidence intervals: how far would the number move?",
    ),
    Exercise(
        "paired_interval",
        "A paired bootstrap interval",
        pairs,
        points=2,
        show=lambda case: {name: case[name] for name in ("results", "other_results", "confidence")},
        section="Paired comparison: is this model better than that one?",
    ),
    Exercise(
        "calibration_error",
        "Expected calibration error",
        answers_with_confidence,
        points=2,
        forbidden=("vlm.metrics.calibration.expected_calibration_error", "vlm.metrics.calibration.measure_reliability"),
        section="Calibration: does it know when it is wrong?",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
