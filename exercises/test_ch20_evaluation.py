"""Checks of exercises/ch20_evaluation.py: cases for each exercise. What is right, the solutions know."""

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
    for pictures in (5, 30):
        there = random.integers(0, 5, pictures)
        drawn = (there + random.integers(-1, 3, pictures)).clamp(min=0)
        right = (torch.minimum(there, drawn) - random.integers(0, 2, pictures)).clamp(min=0)
        yield {"counts": torch.stack([right, drawn, there], dim=1)}
    yield {"counts": torch.tensor([[1, 1, 1], [1, 4, 5], [0, 0, 2]])}
    yield {"counts": torch.tensor([[0, 0, 3], [0, 0, 1]])}  # nothing drawn
    yield {"counts": torch.tensor([[0, 2, 0], [0, 1, 0]])}  # nothing there
    yield {"counts": torch.tensor([[0, 3, 2], [0, 1, 4]])}  # nothing right


def samples(random: Random) -> Iterator[Case]:
    for pictures, draws, confidence in ((12, 90, 0.95), (30, 101, 0.8), (7, 25, 0.5)):
        there = random.integers(1, 6, pictures).float()
        found = (there * random.uniform(pictures)).round()
        yield {
            "rows": torch.stack([found, there, random.normal(pictures)], dim=1),
            "picks": random.integers(0, pictures, draws, pictures),
            "confidence": confidence,
        }


def ratio_and_more(rows: Tensor) -> float:
    """A ratio of sums, plus something that feels when columns are torn apart or rows are sorted."""
    return float(rows[:, 0].sum() / rows[:, 1].sum() + (rows[:, 0] * rows[:, 2]).mean() + 0.1 * rows[0, 2])


def call_interval(submission, case: Case) -> tuple[float, float]:
    return submission.interval(case["rows"], case["picks"], ratio_and_more, case["confidence"])


def pairs(random: Random) -> Iterator[Case]:
    for pictures, draws, confidence in ((20, 60, 0.95), (40, 101, 0.8), (9, 30, 0.5)):
        hard = random.uniform(pictures)  # for both
        yield {
            "results": (hard + 0.8 * random.uniform(pictures) < 1.1).float(),
            "other_results": (hard + 0.8 * random.uniform(pictures) < 0.9).float(),
            "picks": random.integers(0, pictures, draws, pictures),
            "confidence": confidence,
        }


def sure_answers(random: Random) -> Iterator[Case]:
    for answers, num_bins in ((40, 10), (25, 5), (60, 15)):
        confidences = random.uniform(answers).sqrt()
        # In the middle between two borders of bins, so that rounding does not decide.
        confidences = (torch.floor(confidences * num_bins * 2).clamp(max=2 * num_bins - 1) + 0.5) / (2 * num_bins)
        yield {
            "confidences": confidences,
            "is_right": random.uniform(answers) < confidences**2,
            "num_bins": num_bins,
        }
    edges = torch.tensor([0.0, 0.0, 0.0, 0.25, 0.25, 0.5, 0.75, 1.0, 1.0])  # exact numbers
    right = torch.tensor([True] * 3 + [False] * 3 + [True] + [False] * 2)  # so that it matters which go together
    yield {"confidences": edges, "is_right": right, "num_bins": 4}
    yield {
        "confidences": torch.tensor([0.3, 0.4, 0.3, 0.4]),  # too sure in one half and too unsure in the other
        "is_right": torch.tensor([True, True, False, False]),
        "num_bins": 2,
    }
    yield {"confidences": torch.full((9,), 0.9), "is_right": torch.arange(9) < 3, "num_bins": 10}


EXERCISES = [
    Exercise(
        "normalize",
        "What does not matter",
        texts,
        points=2,
        forbidden=("vlm.metrics.answers.normalize_answer",),
        section="When are two answers the same?",
    ),
    Exercise(
        "vqa_score",
        "Against ten people",
        panels,
        forbidden=("vlm.metrics.answers.vqa_accuracy",),
        section="When are two answers the same?",
    ),
    Exercise("precision_and_recall", "Add up first", tables, section="Add up first, divide last"),
    Exercise(
        "interval",
        "How far it would move",
        samples,
        points=2,
        call=call_interval,
        show=lambda case: {"rows": case["rows"], "confidence": case["confidence"]},
        section="How far would it move?",
    ),
    Exercise(
        "paired_interval",
        "The same pictures",
        pairs,
        points=2,
        show=lambda case: {name: case[name] for name in ("results", "other_results", "confidence")},
        section="Is this one better than that one?",
    ),
    Exercise(
        "calibration_error",
        "Does it know?",
        sure_answers,
        points=2,
        forbidden=("vlm.metrics.calibration.expected_calibration_error", "vlm.metrics.calibration.measure_reliability"),
        section="Does it know when it is wrong?",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
