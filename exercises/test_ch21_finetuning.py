"""Checks of exercises/ch21_finetuning.py: cases for each exercise. What is right, the solutions know."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from grader import Case, Exercise, Random

PAD, EOS, VOCABULARY = 0, 1, 40


def batches(random: Random) -> Iterator[Case]:
    for padding, pad_type in (("left", 0), ("right", 0), ("right", 1), ("left", 1)):
        lengths = [(random.integer(2, 6), random.integer(1, 5)) for _ in range(3)]
        longest = max(prefix + suffix for prefix, suffix in lengths) + 1
        rows: list[list[Tensor]] = []
        for prefix, suffix in lengths:
            pads = longest - prefix - suffix
            ids = torch.cat([random.integers(2, VOCABULARY, prefix + suffix - 1), torch.tensor([EOS])])
            ids[prefix] = ids[prefix] if suffix == 1 else PAD  # a real token may look like padding
            types = torch.cat([torch.zeros(prefix), torch.ones(suffix)]).long()
            fill = [torch.full((pads,), value) for value in (PAD, pad_type, 0)]
            row = [ids, types, torch.ones_like(ids)]
            order = (lambda a, b: [a, b]) if padding == "left" else (lambda a, b: [b, a])
            rows.append([torch.cat(order(pad, real)) for pad, real in zip(fill, row)])
        names = ("input_ids", "token_type_ids", "attention_mask")
        yield dict(zip(names, (torch.stack(column) for column in zip(*rows))))


def scored_batches(random: Random) -> Iterator[Case]:
    for rows, places, size, scale in ((1, 5, 7, 1.0), (3, 6, 11, 3.0), (2, 8, 5, 300.0)):
        labels = random.integers(0, size, rows, places)
        for row in range(rows):  # different numbers of labels that count, so that the kinds of means differ
            labels[row, : random.integer(1, places - 2) if row else 1] = -100
        if rows > 1:
            labels[0, 2:] = -100
            labels[1, -1] = -100
        yield {"logits": random.normal(rows, places, size, scale=scale), "labels": labels}
    first = random.integers(0, 6, 2, 4)  # the first place has a label too, which no place foretells
    first[1, 2:] = -100
    yield {"logits": random.normal(2, 4, 6), "labels": first}
    zeros = torch.zeros(2, 5, dtype=torch.long)  # token 0 is a token like any other
    zeros[:, :2] = -100
    yield {"logits": random.normal(2, 5, 6), "labels": zeros}


def call_suffix_loss(submission, case: Case) -> dict:
    logits = case["logits"].clone().requires_grad_()
    loss = submission.suffix_loss(logits, case["labels"].clone())
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        return {"loss": loss, "its gradient": torch.zeros_like(logits)}
    gradient = torch.autograd.grad(loss, logits)[0] if loss.requires_grad else torch.zeros_like(logits)
    return {"loss": loss.detach(), "its gradient": gradient}


def layers(random: Random) -> Iterator[Case]:
    for wide, high, rank, alpha, bias in ((5, 4, 2, 6.0, True), (3, 6, 1, 8.0, False), (8, 8, 4, 3.0, True)):
        yield {
            "weight": random.normal(high, wide),
            "bias": random.normal(high) if bias else None,
            "rank": rank,
            "alpha": alpha,
            "lora_A": random.normal(rank, wide),
            "lora_B": random.normal(high, rank),
            "states": random.normal(2, 3, wide),
        }


def call_lora(submission, case: Case) -> dict:
    weight, states = case["weight"], case["states"]
    base = nn.Linear(weight.shape[1], weight.shape[0], bias=case["bias"] is not None)
    with torch.no_grad():
        base.weight.copy_(weight)
        if case["bias"] is not None:
            base.bias.copy_(case["bias"])
    torch.manual_seed(0)
    layer = submission.LoraLinear(base, case["rank"], case["alpha"])
    for name, shape in (("lora_A", case["lora_A"].shape), ("lora_B", case["lora_B"].shape)):
        parameter = getattr(layer, name, None)
        if not isinstance(parameter, nn.Parameter) or parameter.shape != shape:
            found = f"of shape {list(parameter.shape)}" if isinstance(parameter, Tensor) else type(parameter).__name__
            raise TypeError(f"{name} should be an nn.Parameter of shape {list(shape)}, and is {found}")
    with_base = nn.functional.linear(states, weight, case["bias"])
    answer = {"a new layer gives what its base gives": torch.allclose(layer(states), with_base, atol=1e-6)}
    learned = [torch.linalg.matrix_rank(getattr(layer, name).detach()) for name in ("lora_A", "lora_B")]
    answer["A (or B) has the full rank from the start"] = int(max(learned)) == case["rank"]
    answer["names of what is trained"] = sorted(n for n, p in layer.named_parameters() if p.requires_grad)
    layer(states).square().sum().backward()
    gradients = [getattr(layer, name).grad for name in ("lora_A", "lora_B")]
    answer["a first step changes it"] = any(g is not None and bool(g.any()) for g in gradients)
    with torch.no_grad():
        layer.lora_A.copy_(case["lora_A"])
        layer.lora_B.copy_(case["lora_B"])
    seen = states.clone().requires_grad_()
    answer["what it gives with A and B"] = layer(seen).detach()
    [answer["the gradient that goes on to what is below"]] = torch.autograd.grad(layer(seen).square().sum(), seen)
    layer.merge()
    answer["base.weight after merging"] = layer.base.weight.detach().clone()
    answer["what it gives after merging"] = layer(states).detach()
    answer["the base is frozen after merging"] = not any(p.requires_grad for p in layer.base.parameters())
    layer.merge()
    answer["base.weight after merging again"] = layer.base.weight.detach().clone()
    answer["what it gives after merging again"] = layer(states).detach()
    return answer


EXERCISES = [
    Exercise("make_labels", "What is learned", batches, section="What an example teaches"),
    Exercise(
        "suffix_loss",
        "The loss",
        scored_batches,
        points=2,
        call=call_suffix_loss,
        forbidden=(
            "torch.nn.functional.cross_entropy",
            "torch.nn.functional.nll_loss",
            "vlm.paligemma.next_token_loss",
        ),
        section="What an example teaches",
    ),
    Exercise(
        "LoraLinear",
        "A change of low rank",
        layers,
        points=4,
        call=call_lora,
        forbidden=("vlm.training.lora.LoraLinear",),
        tolerance=1e-4,
        show=lambda case: {"rank": case["rank"], "alpha": case["alpha"]},
        section="A change of low rank",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
