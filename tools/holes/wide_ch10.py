"""Wide cases for chapter 10, choosing the next token."""

from collections.abc import Iterator

import torch
from torch import Tensor

from grader.exercise import Case, Random
from tools.holes.wide import Wide

SIZES = [(1, 1), (1, 2), (5, 3), (2, 50), (3, 257)]


def scores(random: Random) -> Iterator[Case]:
    for batch, size in SIZES:
        for temperature in (0, 0.0, 1, 1.0, 0.01, 0.3, 3.0, 100.0):
            yield {"logits": random.normal(batch, size, scale=3.0), "temperature": temperature}
        yield {"logits": random.normal(batch, size, scale=1e4), "temperature": 0}
        yield {"logits": random.normal(batch, size) - 1e4, "temperature": 1.5}
        yield {"logits": random.normal(batch, size) + 3e4, "temperature": 0.7}
        yield {"logits": torch.zeros(batch, size), "temperature": 0.5}
        yield {"logits": random.normal(batch, size, scale=1e-4), "temperature": 1e-4}
        yield {"logits": random.normal(batch, size, scale=1e-6), "temperature": 0}


def distributions(random: Random) -> Iterator[Case]:
    # Parts of 4096: all sums are exact.
    for batch, size in [(1, 1), (1, 2), (4, 3), (5, 8), (2, 40)]:
        for top_p in (2**-12, 0.25, 0.5, 0.75, 0.9001, 1 - 2**-13, 1.0):
            parts = torch.stack([distinct_parts(random, size) for _ in range(batch)])
            yield {"probabilities": parts, "top_p": top_p}
    # At 1 all tokens are kept, also where the rounded sum ends below 1 or reaches it early.
    for size in (3, 10, 100, 1000):
        rows = torch.softmax(random.normal(6, size, scale=2.0), dim=-1)
        yield {"probabilities": rows, "top_p": 1.0}
    yield {"probabilities": torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]), "top_p": 1.0}
    yield {"probabilities": torch.tensor([[0.0, 1.0, 0.0], [0.75, 0.0, 0.25]]), "top_p": 0.75}


def distinct_parts(random: Random, size: int) -> Tensor:
    """Different probabilities, whole parts of 4096, in a random order."""
    parts = (torch.arange(size) + 1) * (4096 // (size * (size + 1)))
    parts[-1] += 4096 - int(parts.sum())
    return parts[random.uniform(size).argsort()] / 4096


def ties(random: Random) -> Iterator[Case]:
    for rows in ([[0.25] * 4], [[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.125, 0.125, 0.125, 0.125]], [[0.125] * 8] * 3):
        for top_p in (0.1, 0.25, 0.375, 0.5, 0.625, 1.0):
            yield {"probabilities": torch.tensor(rows), "top_p": top_p}


def call_sorted(submission, case: Case) -> Tensor:
    """Which of several that are alike is kept does not matter; how many are does."""
    return submission.filter_top_p(**case).sort(dim=-1).values


def lines(random: Random) -> Iterator[Case]:
    for batch, size in [(1, 1), (1, 4), (7, 3), (3, 16)]:
        parts = random.integers(0, 9, batch, size)
        parts[:, random.integer(0, size)] += 64 - parts.sum(-1).clamp(max=64)
        probabilities = parts / parts.sum(-1, keepdim=True)
        if not torch.equal(probabilities.cumsum(-1)[:, -1], torch.ones(batch)):
            continue
        for draws in (
            torch.zeros(batch),
            torch.full((batch,), 1 - 2**-24),
            random.integers(0, 64, batch) / 64,  # on a border
            (random.integers(1, 65, batch) / 64).nextafter(torch.zeros(1)),  # right below one
        ):
            yield {"probabilities": probabilities, "draws": draws}
    firsts = torch.tensor([[0.0, 0.0, 1.0, 0.0], [0.0, 0.5, 0.0, 0.5], [1.0, 0.0, 0.0, 0.0]])
    for draw in (0.0, 0.25, 0.5, 1 - 2**-24):
        yield {"probabilities": firsts, "draws": torch.full((3,), draw)}
    short = torch.tensor([[0.3, 0.3, 0.3999, 0.0, 0.0], [0.0, 0.9999, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.9999]])
    yield {"probabilities": short, "draws": torch.full((3,), 1 - 2**-24)}


def answers(random: Random) -> Iterator[Case]:
    for vocabulary, eos in [(5, 0), (12, 1), (9, 8), (30, 7)]:
        others = [token for token in range(vocabulary) if token != eos]
        for length, max_new_tokens in [(0, 1), (1, 1), (2, 1), (3, 4), (4, 4), (5, 4), (1, 20)]:
            for prompt in ([others[0]], [eos, eos], [others[-1], eos, *others[:2]]):
                tokens = [random.choice(others) for _ in range(length)]
                yield {
                    "prompt": prompt,
                    "tokens": tokens,
                    "max_new_tokens": max_new_tokens,
                    "eos_token_id": eos,
                    "vocabulary": vocabulary,
                }
        yield {
            "prompt": [eos],
            "tokens": [others[1]] * 6,  # a model that repeats itself
            "max_new_tokens": 8,
            "eos_token_id": eos,
            "vocabulary": vocabulary,
        }


def call_generate(submission, case: Case) -> list:
    """The answer, for scores that are all negative, all alike but one, or of a small dtype, and what was asked."""
    reports = []
    for low, high, dtype in ((0, 5, torch.float32), (-900, -1, torch.float32), (-1, -0.5, torch.bfloat16)):
        asked = []

        def next_logits(ids: list[int], asked=asked, low=low, high=high, dtype=dtype) -> Tensor:
            asked.append(list(ids))
            logits = torch.full((case["vocabulary"],), float(low), dtype=dtype)
            step = len(ids) - len(case["prompt"])
            logits[[*case["tokens"], case["eos_token_id"]][min(step, len(case["tokens"]))]] = high
            return logits

        given = list(case["prompt"])
        answer = submission.generate_greedy(next_logits, given, case["max_new_tokens"], case["eos_token_id"])
        reports.append({"answer": answer, "asked": asked, "prompt": given})
    return reports


WIDE = [
    Wide("token_probabilities", scores),
    Wide("filter_top_p", distributions),
    Wide("filter_top_p", ties, {"call": call_sorted}),
    Wide("draw_tokens", lines),
    Wide("generate_greedy", answers, {"call": call_generate}),
]
WITHOUT = {"token_probabilities": ("bfloat16", "float64"), "filter_top_p": ("bfloat16",), "draw_tokens": ("bfloat16",)}
