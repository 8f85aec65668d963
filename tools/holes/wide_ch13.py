"""Wide cases for chapter 13, loading a checkpoint."""

import json
import struct
from collections.abc import Iterator

import torch

from grader.exercise import Case, Random
from tools.holes.wide import Wide, checks_of
from vlm.gemma import GemmaForCausalLM

CHECKS = checks_of("ch13_loading")


def files(random: Random) -> Iterator[Case]:
    shapes = [(), (1,), (1, 1, 1, 5), (3, 4), (2, 3, 2), (7,)]
    for dtype in CHECKS.NAMES:
        for metadata in (False, True):
            tensors = {f"{index}.weight": (100 * random.normal(*shape)).to(dtype) for index, shape in enumerate(shapes)}
            yield {"data": CHECKS.write_safetensors(tensors, metadata)}
            yield {"data": CHECKS.write_safetensors({}, metadata)}
    for count, dtype in [(1, torch.float16), (9, torch.float32), (5, torch.int64)]:
        whole = CHECKS.write_safetensors({"a": torch.ones(3), "b": random.normal(count).to(dtype)}, metadata=False)
        for cut in (1, 2, 4, 8):
            yield {"data": whole[:-cut]}
    # The numbers of a tensor that comes first may be behind those of another, and the header may end in spaces.
    numbers = torch.arange(4, dtype=torch.float32)
    raw = bytes(numbers.view(torch.uint8).tolist())
    header = {
        "second": {"dtype": "F32", "shape": [3], "data_offsets": [4, 16]},
        "first": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    }
    for spaces in (0, 1, 7):
        text = json.dumps(header).encode() + b" " * spaces
        yield {"data": struct.pack("<Q", len(text)) + text + raw}
        yield {"data": struct.pack("<Q", len(text)) + text + raw[:-1]}


def names(random: Random) -> Iterator[Case]:
    inner = [
        "embed_tokens.weight",
        "layers.0.mlp.up_proj.weight",
        "norm.weight",
        "model.norm.weight",
        "x.lm_head.weight",
    ]
    vision = [
        "encoder.layers.3.mlp.fc1.weight",
        "head.probe",
        "x.head.y",
        "header.x",
        "headless",
        "embeddings.position_ids",
    ]
    yield {
        "names": [
            *(f"{first}language_model.{name}" for first in ("", "model.", "model.model.") for name in inner),
            *(f"{first}language_model.model.{name}" for first in ("", "model.") for name in inner),
            *(f"{first}vision_tower.{name}" for first in ("", "model.") for name in vision),
            *(f"{first}vision_tower.vision_model.{name}" for first in ("", "model.") for name in vision),
            *("lm_head.weight", "model.lm_head.weight", "language_model.lm_head.weight", "lm_head.bias"),
            *("model.language_model.lm_head.weight", "multi_modal_projector.linear.weight", "a.head.b", "head.b"),
            *("x.position_ids", "language_model.position_ids", "position_ids", "my_position_ids", "x.position_ids.y"),
            *("submodel.norm.weight", "x.model.norm.weight", "language_modelling.x", "vision_tower_2.x", "", "model."),
            *("language_model.vision_tower.head.x", "multi_modal_projector.head.x", "x.vision_model.y"),
        ]
    }


def tables(random: Random) -> Iterator[Case]:
    shapes = [[], [1], [2, 3], [3, 2], [6], [1, 6], [2, 3, 1]]
    yield {"expected": {}, "found": {}}
    yield {"expected": {"a": [1]}, "found": {}}
    yield {"expected": {}, "found": {"b": [1], "a": [1], "c": []}}
    for _ in range(12):
        letters = list("zyxwabcdA1")
        expected, found = ({name: random.choice(shapes) for name in letters if random.integer(0, 3)} for _ in range(2))
        yield {"expected": expected, "found": found}


def checkpoints(random: Random) -> Iterator[Case]:
    for case in CHECKS.checkpoints(random):
        yield case | {"dtype": random.choice([None, torch.float32, torch.float16, torch.bfloat16])}
        mixed = dict(case["tensors"])
        for name in list(mixed)[::2]:
            mixed[name] = mixed[name].to(torch.bfloat16)
        for dtype in (None, torch.bfloat16):
            yield case | {"tensors": mixed, "dtype": dtype}
    case = next(iter(CHECKS.checkpoints(random)))
    weights, embedding = case["tensors"], case["tensors"][CHECKS.EMBEDDING]
    nearly, one = embedding.clone(), embedding.clone()
    nearly *= 1 + 1e-6
    one[-1, -1] += 1
    for head in (nearly, one, embedding, embedding.to(torch.bfloat16), embedding.T.contiguous(), embedding.reshape(-1)):
        for dtype in (None, torch.bfloat16):
            yield case | {"tensors": weights | {CHECKS.HEAD: head}, "dtype": dtype}
    for name in list(weights)[::4]:
        yield case | {"tensors": {other: tensor for other, tensor in weights.items() if other != name}}
        yield case | {"tensors": weights | {name: weights[name].reshape(1, *weights[name].shape)}}
        yield case | {"tensors": weights | {name: weights[name].flatten()[1:]}}


def call_load_weights(submission, case: Case) -> dict:
    """The parameters themselves: dtype by dtype, what they share, whether they can be trained, and each number."""
    with torch.device("meta"):
        model = GemmaForCausalLM(case["config"])
    submission.load_weights(model, case["tensors"], case["dtype"])
    parameters = dict(model.named_parameters(remove_duplicate=False))
    given = {tensor.data_ptr() for tensor in case["tensors"].values()}
    head, embedding = model.lm_head.weight, model.model.embed_tokens.weight
    return {
        "numbers": {name: parameter.detach().clone() for name, parameter in parameters.items()},
        "trained": {name: parameter.requires_grad for name, parameter in parameters.items()},
        "as they were given": {name: p.data_ptr() in given for name, p in parameters.items() if name != CHECKS.HEAD},
        "one parameter": head is embedding,
    }


WIDE = [
    Wide("read_safetensors", files),
    Wide("canonical_name", names),
    Wide("list_problems", tables),
    Wide("load_weights", checkpoints, {"call": call_load_weights}),
]
WITHOUT = {"load_weights": ("on meta", "not contiguous", "bfloat16", "float64", "large", "small")}
