"""Solutions of chapter 13, "Loading a checkpoint"."""

import json

import torch
from torch import Tensor

from vlm.gemma import GemmaForCausalLM

DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
}
HEAD = "lm_head.weight"
EMBEDDING = "model.embed_tokens.weight"


def read_safetensors(data: bytes) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file, given as bytes."""
    start = 8 + int.from_bytes(data[:8], "little")
    header, numbers = json.loads(data[8:start]), data[start:]
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        if end > len(numbers):
            raise ValueError(f"{name} ends at byte {end} of {len(numbers)}")
        flat = torch.frombuffer(bytearray(numbers[begin:end]), dtype=DTYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def canonical_name(name: str) -> str | None:
    """Translate a tensor's name from any of the five layouts into this package's name."""
    name = name.removeprefix("model.")
    in_tower = name.startswith("vision_tower.")
    if name.endswith(".position_ids") or (in_tower and ".head." in name):
        return None
    if name in ("lm_head.weight", "language_model.lm_head.weight"):
        return "language_model.lm_head.weight"
    for part, inner in (("language_model.", "model."), ("vision_tower.", "vision_model.")):
        if name.startswith(part):
            return part + inner + name.removeprefix(part).removeprefix(inner)
    return name


def list_problems(
    expected: dict[str, list[int]],
    found: dict[str, list[int]],
) -> dict[str, list[str]]:
    """Compare the tensors that a model needs with those in a file."""
    return {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(found.keys() - expected.keys()),
        "wrong shape": sorted(k for k in expected if k in found and expected[k] != found[k]),
    }


def load_weights(
    model: GemmaForCausalLM,
    tensors: dict[str, Tensor],
    dtype: torch.dtype | None = None,
):
    """Load the tensors of a file into a model that was built on the meta device."""
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: list(tensor.shape) for name, tensor in tensors.items()}
    problems = list_problems(expected, found)
    problems["missing"] = [name for name in problems["missing"] if name != HEAD]
    if any(problems.values()):
        raise ValueError(f"the weights do not match the model: {problems}")
    is_tied = HEAD not in tensors or torch.equal(tensors[HEAD], tensors[EMBEDDING])
    kept = {name: tensor for name, tensor in tensors.items() if not (is_tied and name == HEAD)}
    cast = {name: tensor.to(dtype) for name, tensor in kept.items()}
    model.load_state_dict(cast, strict=False, assign=True)  # checked above
    if is_tied:
        model.tie_weights()
