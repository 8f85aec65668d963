"""Checks of exercises/ch22_pretraining.py: cases for each exercise. What is right, the solutions know."""

from collections.abc import Iterator

import pytest
import torch

from grader import Case, Exercise, Random


def rulers(random: Random) -> Iterator[Case]:
    for targets, num_marks, sigma in ((3, 20, 2.0), (2, 50, 6.5), (4, 9, 0.7)):
        marks = random.integers(0, num_marks, targets)
        marks[0] = random.choice([0, num_marks - 1])  # at an end half of the bell is missing
        yield {"marks": marks, "num_marks": num_marks, "sigma": sigma}
    yield {"marks": random.integers(0, 30, 2), "num_marks": 30, "sigma": 0.05}  # one right mark, or nearly
    yield {"marks": torch.tensor([0, 1023, random.integer(1, 1000)]), "num_marks": 1024, "sigma": 4.0}


def steps(random: Random) -> Iterator[Case]:
    for num_steps, warmup_steps, last in ((100, 10, 0.02), (1000, 50, 0.1), (30, 1, 0.0), (40, 3, 0.05)):
        peak = random.choice([1e-3, 2e-3, 5e-4]) * 100  # so that the grader's tolerance is small beside it
        final = last * peak
        places = {0, max(warmup_steps - 1, 0), warmup_steps, warmup_steps + 1, num_steps // 2, num_steps - 1}
        for step in sorted(places | {random.integer(0, num_steps)}):
            yield {"step": step, "num_steps": num_steps, "warmup_steps": warmup_steps, "peak": peak, "final": final}


def data_sets(random: Random) -> Iterator[Case]:
    yield {"sizes": [100, 400, 10000], "temperature": 2.0, "limit": 900}
    for number, temperature in ((3, 1.0), (4, 2.0), (5, 3.5), (2, 8.0)):
        sizes = [random.integer(10, 100) * 10 ** random.integer(0, 4) for _ in range(number)]
        sizes[-1] = 50_000_000
        yield {"sizes": sizes, "temperature": temperature, "limit": random.integer(1000, 100_000)}
    yield {"sizes": [300, 500], "temperature": 1.0, "limit": 1000}  # nothing to limit


def surprising_rows(random: Random) -> Iterator[Case]:
    for rows, tokens in ((3, 6), (5, 10)):
        counts = random.uniform(rows, tokens) < 0.5
        counts[0], counts[0, random.integer(0, tokens)] = False, True  # a short answer
        counts[1] = True  # a long one
        yield {"surprises": random.uniform(rows, tokens, high=5), "counts": counts}
    counts = random.uniform(4, 5) < 0.5
    counts[2], counts[0, 0] = False, True  # a row in which nothing counts
    surprises = random.uniform(4, 5, high=5)
    yield {"surprises": surprises, "counts": counts}
    yield {"surprises": torch.where(counts, surprises, torch.nan), "counts": counts}
    yield {"surprises": torch.where(counts, surprises, torch.inf), "counts": counts}
    yield {"surprises": torch.where(surprises < 2, 0.0, surprises), "counts": counts}  # certain, and counted


def call_answers_alike(submission, case: Case) -> dict:
    surprises = case["surprises"].clone().requires_grad_()
    loss = submission.answers_alike(surprises, case["counts"].clone())
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        return {"loss": loss, "its gradient": torch.zeros_like(surprises)}
    gradient = torch.autograd.grad(loss, surprises)[0] if loss.requires_grad else torch.zeros_like(surprises)
    return {"loss": loss.detach(), "its gradient": gradient.nan_to_num()}


EXERCISES = [
    Exercise(
        "soft_targets",
        "Near is better than far",
        rulers,
        points=2,
        forbidden=("toybox.losses.soft_location_targets",),
        section="A ruler is not a word list",
    ),
    Exercise("learning_rate", "Up, and slowly down", steps, section="How fast?"),
    Exercise("mixture", "Who is heard how often", data_sets, points=2, section="What it is shown"),
    Exercise(
        "answers_alike",
        "Long answers and short ones",
        surprising_rows,
        points=2,
        call=call_answers_alike,
        section="What it is shown",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
