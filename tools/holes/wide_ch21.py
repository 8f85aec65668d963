"""Wide cases for chapter 21, fine-tuning."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from grader.exercise import Case, Random
from tools.holes.wide import Wide, checks_of

CHECKS = checks_of("ch21_finetuning")


def batches(random: Random) -> Iterator[Case]:
    """Rows of runs, each with whether its tokens are real, their type, and how many they are."""
    for rows in (
        [[(1, 0, 1)]],
        [[(1, 1, 1)]],
        [[(0, 0, 3), (1, 0, 2), (1, 1, 4)], [(1, 0, 5), (1, 1, 2), (0, 1, 2)]],
        [[(0, 1, 2), (1, 0, 1), (1, 1, 1), (0, 0, 2)], [(0, 0, 3), (1, 1, 3), (0, 1, 0)]],
        [[(1, 0, 4)], [(0, 1, 4)], [(1, 1, 4)]],
    ):
        for size in (2, 5, 300):
            parts = [torch.tensor([[real, kind] for real, kind, n in row for _ in range(n)]) for row in rows]
            length = max(map(len, parts))
            padded = torch.stack([nn.functional.pad(part, (0, 0, 0, length - len(part))) for part in parts])
            yield {
                "input_ids": random.integers(0, size, len(rows), length),
                "token_type_ids": padded[..., 1],
                "attention_mask": padded[..., 0],
            }


def scored_batches(random: Random) -> Iterator[Case]:
    for rows, places, size in [(1, 2, 1), (1, 2, 5), (4, 3, 2), (2, 12, 40)]:
        for scale, middle in ((1.0, 0.0), (0.0, 0.0), (1e3, 0.0), (1.0, 1e4), (1e-3, -1e4), (3e4, 0.0)):
            logits = middle + random.normal(rows, places, size, scale=scale)
            labels = random.integers(0, size, rows, places)
            one = torch.full_like(labels, -100)
            one[-1, -1] = 0
            sparse = labels.masked_fill(random.uniform(rows, places) < 0.5, -100)
            sparse[0, 1] = size - 1
            for some in (labels, one, sparse):
                yield {"logits": logits, "labels": some}


def layers(random: Random) -> Iterator[Case]:
    for wide, high, rank, alpha, bias in [
        (1, 1, 1, 1.0, True),
        (6, 2, 2, 2, False),
        (2, 7, 2, 16.0, True),
        (9, 9, 3, 0.5, True),
    ]:
        yield {
            "weight": random.normal(high, wide),
            "bias": random.normal(high) if bias else None,
            "rank": rank,
            "alpha": alpha,
            "lora_A": random.normal(rank, wide),
            "lora_B": random.normal(high, rank),
            "states": random.normal(4, wide),
        }


def call_lora(submission, case: Case) -> dict:
    """Inputs of one, two and four axes, gradients of A and B, merging in training, and what a state dict has."""
    weight = case["weight"]
    base = nn.Linear(weight.shape[1], weight.shape[0], bias=case["bias"] is not None)
    with torch.no_grad():
        base.weight.copy_(weight)
        if case["bias"] is not None:
            base.bias.copy_(case["bias"])
    layer = submission.LoraLinear(base, case["rank"], case["alpha"])
    answer = {
        "weights": sorted(layer.state_dict()),
        "dtypes": [str(layer.lora_A.dtype), str(layer.lora_B.dtype)],
        "the base is the one that was given": layer.base is base,
        "trained": sorted(name for name, p in layer.named_parameters() if p.requires_grad),
    }
    with torch.no_grad():
        layer.lora_A.copy_(case["lora_A"])
        layer.lora_B.copy_(case["lora_B"])
    states = case["states"].clone().requires_grad_()
    result = layer(states)
    result.square().sum().backward()
    answer["gradients"] = [zeros_if_none(t) for t in (layer.lora_A, layer.lora_B, states)]
    shapes = (case["states"][0], case["states"], case["states"][None, :, None])
    answer["before"] = [layer(some).detach() for some in shapes]
    layer.merge()
    answer["after"] = [layer(some).detach() for some in shapes]
    answer["base"] = [base.weight.detach().clone(), base.weight.requires_grad, base.weight.is_leaf]
    answer["a second layer"] = submission.LoraLinear(nn.Linear(3, 2), 1, 1.0)(torch.zeros(3)).shape[0]
    return answer


def zeros_if_none(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


WIDE = [
    Wide("make_labels", batches),
    Wide("suffix_loss", scored_batches, {"tolerance": 1e-4}),
    Wide("LoraLinear", layers, {"call": call_lora, "tolerance": 1e-3}),
]
WITHOUT = {"suffix_loss": ("bfloat16", "float64"), "LoraLinear": ("bfloat16", "float64", "on meta")}
