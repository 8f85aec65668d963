"""Checks of exercises/ch13_loading.py: test cases for each exercise. The solutions define what is right."""

import json
import struct
from collections.abc import Iterator

import pytest
import torch

from grader import Case, Exercise, Random
from grader.allocations import AllocationCounter
from grader.modules import random_weights
from vlm.config import GemmaConfig
from vlm.gemma import GemmaForCausalLM

NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def write_safetensors(tensors: dict, metadata: bool) -> bytes:
    header, numbers = {"__metadata__": {"format": "pt"}} if metadata else {}, b""
    for name, tensor in tensors.items():
        raw = bytes(tensor.reshape(-1).view(torch.uint8).tolist())
        offsets = [len(numbers), len(numbers) + len(raw)]
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        numbers += raw
    # A header's order need not be that of the numbers.
    text = json.dumps(dict(sorted(header.items(), reverse=True))).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def files(random: Random) -> Iterator[Case]:
    for rows, metadata in [(2, False), (3, True), (5, True)]:
        tensors = {
            "embed.weight": random.normal(rows, 4),
            "norm.weight": random.normal(6, dtype=torch.bfloat16),
            "proj.bias": random.normal(3, rows, dtype=torch.float16),
            "step": random.integers(0, 1000, 1)[0],
        }
        yield {"data": write_safetensors(tensors, metadata)}
    whole = write_safetensors({"first": random.normal(4), "last": random.normal(8)}, metadata=True)
    # Only a few bytes are cut: a reader that starts 8 bytes too early then gets wrong numbers, but no error.
    yield {"data": whole[: -4 * random.integer(1, 3)]}


def names(random: Random) -> Iterator[Case]:
    """One tensor of each kind in each layout, from a random layer."""
    layer = random.integer(0, 27)
    text = ["embed_tokens.weight", f"layers.{layer}.self_attn.q_proj.weight", "norm.weight"]
    vision = ["embeddings.patch_embedding.bias", f"encoder.layers.{layer}.mlp.fc1.weight", "post_layernorm.weight"]
    projector = ["multi_modal_projector.linear.bias"]
    unused = ["embeddings.position_ids", "head.probe", "head.attention.in_proj_weight"]
    for first in ("", "model."):
        for inner in ("", "vision_model."):
            middle = "" if first else "model."
            yield {
                "names": [f"{first}language_model.{middle}{name}" for name in text]
                + [f"{first}vision_tower.{inner}{name}" for name in vision + unused]
                + [f"{first}{name}" for name in projector]
                + ["lm_head.weight", "language_model.lm_head.weight"]
            }


def call_canonical_name(submission, case: Case) -> dict[str, str | None]:
    return {name: submission.canonical_name(name) for name in case["names"]}


def tables(random: Random) -> Iterator[Case]:
    def table(*names: str) -> dict[str, list[int]]:
        return {name: [random.integer(2, 9), random.integer(10, 20)] for name in names}

    layers = [f"layers.{i}.mlp.weight" for i in range(12)]
    expected = table("embed.weight", "norm.weight", *layers)
    yield {"expected": expected, "found": dict(expected)}
    found = {f"model.{name}": shape for name, shape in expected.items()}  # no name matches
    yield {"expected": expected, "found": found}
    lost = random.integer(0, 11)
    found = expected | {"head.weight": [3, 3], "bias": [1]}
    found = {name: shape for name, shape in found.items() if name not in layers[lost : lost + 2]}
    found["norm.weight"] = expected["norm.weight"][::-1]  # the same number of values
    found["embed.weight"] = [size + 1 for size in expected["embed.weight"]]
    yield {"expected": expected, "found": found}


def checkpoints(random: Random) -> Iterator[Case]:
    config = GemmaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=64,
        head_dim=16,
    )

    def tensors(dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
        weights = random_weights(GemmaForCausalLM(config), random, scale=0.2)
        del weights[HEAD]
        return {name: tensor.to(dtype) for name, tensor in weights.items()}

    def case(weights: dict[str, torch.Tensor], dtype: torch.dtype | None = None) -> Case:
        return {"config": config, "tensors": weights, "dtype": dtype, "hidden_states": random.normal(1, 5, 32)}

    yield case(tensors())
    yield case(tensors(torch.bfloat16))
    yield case(tensors(), torch.bfloat16)
    yield case(tensors(torch.float16), torch.bfloat16)
    weights = tensors()
    yield case(weights | {HEAD: weights[EMBEDDING].clone()})
    yield case(weights | {HEAD: random.normal(64, 32)})
    yield case(weights | {HEAD: random.normal(64, 32)}, torch.bfloat16)
    layer = f"model.layers.{random.integer(0, 2)}"
    weights = tensors()
    yield case({name: tensor for name, tensor in weights.items() if name != f"{layer}.mlp.up_proj.weight"})
    yield case(weights | {f"{layer}.self_attn.q_norm.weight": random.normal(16)})
    yield case(weights | {f"{layer}.input_layernorm.weight": random.normal(1)})
    yield case(weights | {HEAD: random.normal(65, 32)})


def call_load_weights(submission, case: Case) -> dict:
    with torch.device("meta"):
        model = GemmaForCausalLM(case["config"])
    kept = {name: tensor.clone() for name, tensor in case["tensors"].items()}
    with AllocationCounter() as counter:
        submission.load_weights(model, case["tensors"], case["dtype"])
    kept_bytes = sum(tensor.numel() for name, tensor in kept.items() if name != HEAD) * 2
    needed = kept_bytes if any(tensor.dtype != (case["dtype"] or tensor.dtype) for tensor in kept.values()) else 0
    head, embedding = model.lm_head.weight, model.model.embed_tokens.weight
    without_values = sorted(name for name, parameter in model.named_parameters() if parameter.is_meta)
    # Checked before the model is cast to float32, which would hide both.
    is_one = head is embedding or (not head.is_meta and head.data_ptr() == embedding.data_ptr())
    dtypes = sorted({str(parameter.dtype).removeprefix("torch.") for parameter in model.parameters()})
    logits = torch.zeros(1, 5, 64)
    if not without_values:
        position_ids, mask = torch.arange(1, 6)[None], torch.zeros(1, 1, 5, 5)
        with torch.no_grad():
            logits = model.float()(case["hidden_states"], position_ids, mask)
    return {
        "parameters still on the meta device": without_values,
        "head and embedding are the same parameter": is_one,
        "dtypes": dtypes,
        # Less than a copy of all weights (35,136 bytes at 16 bits), more than a comparison of two matrices needs.
        "allocates more memory than necessary": counter.bytes > 1.5 * needed + 20_000,
        "logits": logits,
    }


EXERCISES = [
    Exercise(
        "read_safetensors",
        "The safetensors format, byte by byte",
        files,
        points=2,
        forbidden=("safetensors.torch.load", "safetensors.torch.load_file", "safetensors.safe_open"),
        raises=(ValueError,),
        show=lambda case: {"data": f"of {len(case['data'])} bytes"},
        section="The safetensors format, and why not pickle",
    ),
    Exercise(
        "canonical_name",
        "One name for five layouts",
        names,
        points=2,
        call=call_canonical_name,
        forbidden=(
            "vlm.checkpoints.layouts.canonical_name",
            "vlm.checkpoints.headers.canonical_name",
            "vlm.loader.canonical_name",
        ),
        section="Five checkpoint layouts",
    ),
    Exercise(
        "list_problems",
        "Missing keys, unexpected keys, wrong shapes",
        tables,
        section="A strict loader: missing keys, unexpected keys, wrong shapes",
    ),
    Exercise(
        "load_weights",
        "Strict loading without copies",
        checkpoints,
        points=3,
        call=call_load_weights,
        raises=(ValueError,),
        tolerance=1e-4,
        section="Peak memory: every weight once",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
