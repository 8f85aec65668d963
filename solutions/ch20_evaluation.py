"""Solutions of chapter 20, "Evaluating a VLM".

Shapes: M images or answers, C columns, R bootstrap draws.
"""

import re
from collections.abc import Callable

import torch
from torch import Tensor

ARTICLES = ("a", "an", "the")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def normalize(answer: str) -> str:
    """Remove from an answer what should not matter in a comparison."""
    text = re.sub(r"(?<=\d),(?=\d)", "", answer.lower())
    text = re.sub(r"(?<!\d)\.|\.(?!\d)|[^\w\s.']", " ", text)
    words = [str(NUMBERS.index(word)) if word in NUMBERS else word for word in text.split()]
    return " ".join(word for word in words if word not in ARTICLES)


def vqa_score(answer: str, human_answers: list[str]) -> float:
    """VQA accuracy: the score of an answer against the answers of several people."""
    scores = []
    for person in range(len(human_answers)):
        others = human_answers[:person] + human_answers[person + 1 :]
        scores.append(min(others.count(answer) / 3, 1))
    return sum(scores) / len(scores)


def precision_and_recall(counts: Tensor) -> tuple[float, float]:
    """Precision and recall over many images, in which every box counts equally."""
    right, predicted, actual = counts.sum(0).tolist()
    return (right / predicted if predicted else 1.0), (right / actual if actual else 1.0)


def interval_from_draws(
    rows: Tensor, picks: Tensor, statistic: Callable[[Tensor], float], confidence: float
) -> tuple[float, float]:
    """A bootstrap confidence interval, computed from given draws."""
    results = torch.tensor([statistic(rows[pick]) for pick in picks])  # [R]
    tail = (1 - confidence) / 2
    low, high = results.quantile(torch.tensor([tail, 1 - tail]))
    return low.item(), high.item()


def paired_interval(
    results: Tensor,
    other_results: Tensor,
    picks: Tensor,
    confidence: float,
) -> tuple[float, float]:
    """A bootstrap interval for the difference of two models, evaluated on the same images."""
    differences = (results - other_results)[:, None]  # [M, 1]
    return interval_from_draws(differences, picks, lambda rows: rows.mean().item(), confidence)


def calibration_error(confidences: Tensor, is_right: Tensor, num_bins: int) -> float:
    """The expected calibration error (ECE)."""
    bins = (torch.ceil(confidences * num_bins) - 1).clamp(min=0)  # [M]
    error = 0.0
    for index in bins.unique():
        inside = bins == index  # [M]
        gap = confidences[inside].mean() - is_right[inside].float().mean()
        error += inside.float().mean().item() * gap.abs().item()
    return error
