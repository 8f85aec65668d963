"""Checks of exercises/ch22_pretraining.py: test cases for each exercise. The solutions define what is right."""

from collections.abc import Iterator

import pytest
import torch

from grader import Case, Exercise, Random


def location_bins(random: Random) -> Iterator[Case]:
    for targets, num_bins, sigma in ((3, 20, 2.0), (2, 50, 6.5), (4, 9, 0.7)):
        bins = random.integers(0, num_bins, targets)
        bins[0] = random.choice([0, num_bins - 1])  # at an end, where half of the bell is missing
        yield {"bins": bins, "num_bins": num_bins, "sigma": sigma}
    yield {"bins": random.integers(0, 30, 2), "num_bins": 30, "sigma": 0.05}  # almost one-hot
    yield {"bins": torch.tensor([0, 1023, random.integer(1, 1000)]), "num_bins": 1024, "sigma": 4.0}


def steps(random: Random) -> Iterator[Case]:
    for num_steps, warmup_steps, last in ((100, 10, 0.02), (1000, 50, 0.1), (30, 1, 0.0), (40, 3, 0.05)):
        peak = random.choice([1e-3, 2e-3, 5e-4]) * 100  # large compared with the grader's tolerance
        final = last * peak
        chosen = {0, max(warmup_steps - 1, 0), warmup_steps, warmup_steps + 1, num_steps // 2, num_steps - 1}
        for step in sorted(chosen | {random.integer(0, num_steps)}):
            yield {"step": step, "num_steps": num_steps, "warmup_steps": warmup_steps, "peak": peak, "final": final}


def data_sets(random: Random) -> Iterator[Case]:
    yield {"sizes": [100, 400, 10000], "temperature": 2.0, "limit": 900}
    for number, temperature in ((3, 1.0), (4, 2.0), (5, 3.5), (2, 8.0)):
        sizes = [random.integer(10, 100) * 10 ** random.integer(0, 4) for _ in range(number)]
        sizes[-1] = 50_000_000
        yield {"sizes": sizes, "temperature": temperature, "limit": random.integer(1000, 100_000)}
    yield {"sizes": [300, 500], "temperature": 1.0, "limit": 1000}  # the limit has no effect


def rows_of_losses(random: Random) -> Iterator[Case]:
    for rows, tokens in ((3, 6), (5, 10)):
        counts = random.uniform(rows, tokens) < 0.5
        counts[0], counts[0, random.integer(0, tokens)] = False, True  # a short answer
        counts[1] = True  # a long one
        yield {"losses": random.uniform(rows, tokens, high=5), "counts": counts}
    counts = random.uniform(4, 5) < 0.5
    counts[2], counts[0, 0] = False, True  # a row in which nothing counts
    losses = random.uniform(4, 5, high=5)
    yield {"losses": losses, "counts": counts}
    yield {"losses": torch.where(counts, losses, torch.nan), "counts": counts}
    yield {"losses": torch.where(counts, losses, torch.inf), "counts": counts}
    yield {"losses": torch.where(losses < 2, 0.0, losses), "counts": counts}  # a loss of 0 counts too


def call_mean_over_answers(submission, case: Case) -> dict:
    losses = case["losses"].clone().requires_grad_()
    loss = submission.mean_over_answers(losses, case["counts"].clone())
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        return {"loss": loss, "gradient in the losses": torch.zeros_like(losses)}
    gradient = torch.autograd.grad(loss, losses)[0] if loss.requires_grad else torch.zeros_like(losses)
    return {"loss": loss.detach(), "gradient in the losses": gradient.nan_to_num()}


EXERCISES = [
    Exercise(
        "soft_targets",
        "Soft location targets",
        location_bins,
        points=2,
        forbidden=("toybox.losses.soft_location_targets",),
        section="Soft targets: location bins have neighbors",
    ),
    Exercise("learning_rate", "Learning-rate schedule", steps, section="Learning-rate schedule and Muon"),
    Exercise(
        "sampling_weights",
        "Mixing data sets",
        data_sets,
        points=2,
        section="Training data: domain randomization and a mixture of tasks",
    ),
    Exercise(
        "mean_over_answers",
        "Equal weight for every answer",
        rows_of_losses,
        points=2,
        call=call_mean_over_answers,
        section="Training data: domain randomization and a mixture of tasks",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
