"""Test cases for exercises/ch10_sampling.py; the correct answers come from solutions/ch10_sampling.py."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from grader import Case, Exercise, Random

EOS, VOCABULARY = 1, 12


def logits(random: Random) -> Iterator[Case]:
    for temperature in (1.0, 0.5, 2.0, 0, 0.05):
        yield {"logits": random.normal(3, 6, scale=2.0), "temperature": temperature}
    yield {"logits": random.normal(3, 6, scale=2.0) + 150, "temperature": 1.0}  # e^150 overflows float32
    yield {"logits": 1e-3 * random.uniform(2, 6).argsort().float(), "temperature": 0}  # all nearly equal


def shuffled(random: Random, values: list[float]) -> Tensor:
    return torch.tensor(values)[random.uniform(len(values)).argsort()]


def distributions(random: Random) -> Iterator[Case]:
    # Sums of these are exact, so a sum can equal top_p, and no other sum is close to it.
    exact = [0.5, 0.25, 0.15625, 0.09375]
    for top_p in (0.75, 0.5, 0.8, 0.1, 1.0):
        yield {"probabilities": torch.stack([shuffled(random, exact) for _ in range(3)]), "top_p": top_p}
    wide = [0.3, 0.22, 0.16, 0.12, 0.09, 0.06, 0.05]
    yield {"probabilities": torch.stack([shuffled(random, wide) for _ in range(2)]), "top_p": 0.72}
    one_sure = [0.97, 0.02, 0.01]
    yield {
        "probabilities": torch.stack([shuffled(random, one_sure), shuffled(random, [0.4, 0.35, 0.25])]),
        "top_p": 0.9,
    }


def probabilities_and_draws(random: Random) -> Iterator[Case]:
    for batch, size in ((4, 5), (6, 8)):
        widths = random.uniform(batch, size, low=0.2)
        widths[:, random.integer(1, size - 1)] = 0
        probabilities = widths / widths.sum(-1, keepdim=True)
        # The middle of a token's interval, so that rounding does not matter.
        chosen = random.integers(0, size, batch)
        chosen = torch.where(probabilities[torch.arange(batch), chosen] == 0, 0, chosen)
        middles = probabilities.cumsum(-1) - probabilities / 2
        yield {"probabilities": probabilities, "draws": middles[torch.arange(batch), chosen]}
    # Rounded sums may end below 1: a number beyond belongs to the last token with a width.
    short = torch.tensor([[0.5, 0.25, 0.2499999, 0.0], [0.4999999, 0.0, 0.5, 0.0]])
    yield {"probabilities": short, "draws": torch.full((2,), 1 - 2**-24)}
    # Exact numbers: a draw on a border belongs to the token to the right, and 0 to the first token with a width.
    yield {
        "probabilities": torch.tensor([[0.25, 0.25, 0.0, 0.5], [0.0, 0.0, 0.75, 0.25]]),
        "draws": torch.tensor([0.5, 0.0]),
    }


def answers(random: Random) -> Iterator[Case]:
    for length, max_new_tokens in ((4, 10), (6, 6), (9, 5), (0, 3)):
        tokens = random.integers(3, VOCABULARY, length).tolist()
        prompt = random.integers(3, VOCABULARY, random.integer(2, 5)).tolist()
        yield {"prompt": [*prompt, EOS, 0], "tokens": tokens, "max_new_tokens": max_new_tokens}
    with_pad = random.integers(3, VOCABULARY, 5).tolist()
    with_pad[2] = 0  # here the pad token is a token like any other
    yield {"prompt": [5, 4], "tokens": with_pad, "max_new_tokens": 9}


def call_generate(submission, case: Case) -> dict:
    """Run the submission with a fake model that generates the tokens of the case, then `<eos>`."""
    prompt, tokens = case["prompt"], case["tokens"]
    calls = []

    def next_logits(ids: list[int]) -> Tensor:
        calls.append(len(ids))
        step = len(ids) - len(prompt)
        is_as_expected = list(ids) == [*prompt, *tokens[: max(step, 0)]]
        logits = torch.zeros(VOCABULARY)
        logits[tokens[step] if is_as_expected and step < len(tokens) else EOS if is_as_expected else 2] = 5.0
        return logits

    prompt_ids = list(prompt)
    new_tokens = submission.generate_greedy(next_logits, prompt_ids, case["max_new_tokens"], EOS)
    return {"answer": new_tokens, "calls of next_logits": len(calls), "the prompt afterward": prompt_ids}


EXERCISES = [
    Exercise("token_probabilities", "Softmax temperature", logits, section="Softmax temperature"),
    Exercise(
        "filter_top_p",
        "Top-p (nucleus) filtering",
        distributions,
        points=2,
        forbidden=("vlm.generate.filter_top_p",),
        section="Top-k and top-p (nucleus) sampling: only the likely tokens",
    ),
    Exercise(
        "draw_tokens",
        "Sampling with a given random number",
        probabilities_and_draws,
        points=2,
        forbidden=("torch.multinomial",),
        section="Sampling, and how to repeat it with a seed",
    ),
    Exercise(
        "generate_greedy",
        "Greedy decoding until `<eos>`",
        answers,
        points=2,
        call=call_generate,
        show=lambda case: {"prompt": case["prompt"], "max_new_tokens": case["max_new_tokens"]},
        section="When to stop: the end-of-sequence token",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
