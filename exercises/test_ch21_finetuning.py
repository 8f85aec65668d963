"""Checks of exercises/ch21_finetuning.py: test cases for each exercise. The solutions define what is right."""

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
            ids[prefix] = ids[prefix] if suffix == 1 else PAD  # a real token may have the id of the pad token
            types = torch.cat([torch.zeros(prefix), torch.ones(suffix)]).long()
            fill = [torch.full((pads,), value) for value in (PAD, pad_type, 0)]
            row = [ids, types, torch.ones_like(ids)]
            order = (lambda a, b: [a, b]) if padding == "left" else (lambda a, b: [b, a])
            rows.append([torch.cat(order(pad, real)) for pad, real in zip(fill, row)])
        names = ("input_ids", "token_type_ids", "attention_mask")
        yield dict(zip(names, (torch.stack(column) for column in zip(*rows))))


def scored_batches(random: Random) -> Iterator[Case]:
    for rows, positions, size, scale in ((1, 5, 7, 1.0), (3, 6, 11, 3.0), (2, 8, 5, 300.0)):
        labels = random.integers(0, size, rows, positions)
        for row in range(rows):  # rows differ in how many labels count, so that different means differ
            labels[row, : random.integer(1, positions - 2) if row else 1] = -100
        if rows > 1:
            labels[0, 2:] = -100
            labels[1, -1] = -100
        yield {"logits": random.normal(rows, positions, size, scale=scale), "labels": labels}
    first = random.integers(0, 6, 2, 4)  # the first position has a label too, which no logits predict
    first[1, 2:] = -100
    yield {"logits": random.normal(2, 4, 6), "labels": first}
    zeros = torch.zeros(2, 5, dtype=torch.long)  # token 0 is an ordinary token
    zeros[:, :2] = -100
    yield {"logits": random.normal(2, 5, 6), "labels": zeros}


def call_suffix_loss(submission, case: Case) -> dict:
    logits = case["logits"].clone().requires_grad_()
    loss = submission.suffix_loss(logits, case["labels"].clone())
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        return {"loss": loss, "gradient in the logits": torch.zeros_like(logits)}
    gradient = torch.autograd.grad(loss, logits)[0] if loss.requires_grad else torch.zeros_like(logits)
    return {"loss": loss.detach(), "gradient in the logits": gradient}


def layers(random: Random) -> Iterator[Case]:
    for size_in, size_out, rank, alpha, bias in ((5, 4, 2, 6.0, True), (3, 6, 1, 8.0, False), (8, 8, 4, 3.0, True)):
        yield {
            "weight": random.normal(size_out, size_in),
            "bias": random.normal(size_out) if bias else None,
            "rank": rank,
            "alpha": alpha,
            "lora_A": random.normal(rank, size_in),
            "lora_B": random.normal(size_out, rank),
            "states": random.normal(2, 3, size_in),
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
            raise TypeError(f"{name} should be an nn.Parameter of shape {list(shape)}, but is {found}")
    with_base = nn.functional.linear(states, weight, case["bias"])
    answer = {"a new layer has the same output as its base": torch.allclose(layer(states), with_base, atol=1e-6)}
    learned = [torch.linalg.matrix_rank(getattr(layer, name).detach()) for name in ("lora_A", "lora_B")]
    answer["A (or B) has full rank at the start"] = int(max(learned)) == case["rank"]
    answer["names of the trainable parameters"] = sorted(n for n, p in layer.named_parameters() if p.requires_grad)
    layer(states).square().sum().backward()
    gradients = [getattr(layer, name).grad for name in ("lora_A", "lora_B")]
    answer["the first training step changes the output"] = any(g is not None and bool(g.any()) for g in gradients)
    with torch.no_grad():
        layer.lora_A.copy_(case["lora_A"])
        layer.lora_B.copy_(case["lora_B"])
    seen = states.clone().requires_grad_()
    answer["output with given A and B"] = layer(seen).detach()
    [answer["gradient in the layer's input"]] = torch.autograd.grad(layer(seen).square().sum(), seen)
    layer.merge()
    answer["base.weight after merging"] = layer.base.weight.detach().clone()
    answer["output after merging"] = layer(states).detach()
    answer["the base is still frozen after merging"] = not any(p.requires_grad for p in layer.base.parameters())
    layer.merge()
    answer["base.weight after merging again"] = layer.base.weight.detach().clone()
    answer["output after merging again"] = layer(states).detach()
    return answer


EXERCISES = [
    Exercise("make_labels", "Labels of a batch", batches, section="The fine-tuning loss: what an example teaches"),
    Exercise(
        "suffix_loss",
        "The fine-tuning loss",
        scored_batches,
        points=2,
        call=call_suffix_loss,
        forbidden=(
            "torch.nn.functional.cross_entropy",
            "torch.nn.functional.nll_loss",
            "vlm.paligemma.next_token_loss",
        ),
        section="The fine-tuning loss: what an example teaches",
    ),
    Exercise(
        "LoraLinear",
        "A LoRA layer",
        layers,
        points=4,
        call=call_lora,
        forbidden=("vlm.training.lora.LoraLinear",),
        tolerance=1e-4,
        show=lambda case: {"rank": case["rank"], "alpha": case["alpha"]},
        section="LoRA: an update of low rank",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
