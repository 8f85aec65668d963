"""The model that a checkpoint's config describes, without weights, and whether the checkpoint's tensors fit it."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vlm.checkpoints.headers import TensorHeader
from vlm.checkpoints.layouts import HEAD
from vlm.config import PaliGemmaConfig, read_eos, read_object
from vlm.paligemma import PaliGemmaForConditionalGeneration

MOST_LISTED = 10


def empty_model(directory: Path) -> PaliGemmaForConditionalGeneration:
    """The model that config.json describes, on torch's meta device, where tensors have a shape but no memory."""
    config = read_config(directory)
    try:
        with torch.device("meta"), WithoutNormal():
            return PaliGemmaForConditionalGeneration(config)
    except (RuntimeError, OverflowError) as error:  # a tensor with more elements than 64 bits can count
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{directory / 'config.json'} asks for tensors of impossible size: correct its numbers ({reason})"
        ) from None


def read_config(directory: Path) -> PaliGemmaConfig:
    """The config of a checkpoint. As in transformers, generation_config.json, if present, says where answers end.

    Raises:
        FileNotFoundError: there is no config.json.
        ValueError: a file that cannot be read, or an adapter without its model.
    """
    check_not_an_adapter(directory)
    config_path, generation_path = directory / "config.json", directory / "generation_config.json"
    if not config_path.is_file():
        raise FileNotFoundError(f"{directory} has no config.json")
    config = PaliGemmaConfig.from_json(config_path)
    eos_token_id = read_object(generation_path).get("eos_token_id") if generation_path.is_file() else None
    if eos_token_id is None:
        return config
    try:
        return replace(config, eos_token_id=read_eos(eos_token_id))
    except ValueError as error:
        raise ValueError(f"{generation_path}: {error}") from None


def check_not_an_adapter(directory: Path):
    """Raise a ValueError if the directory contains a LoRA adapter but no model weights."""
    weights = {path.name for path in directory.glob("*.safetensors")} - {"adapter_model.safetensors"}
    if (directory / "adapter_config.json").is_file() and not weights:
        raise ValueError(
            f"{directory} contains an adapter but no model: load the model that it was trained on, with the adapter "
            f"on top, as in `vlm run --model MODEL --adapter {directory}`"
        )


class WithoutNormal(TorchFunctionMode):
    """Skips `normal_`, which initializes embeddings. On the meta device it does nothing, but its first call imports
    torch's compiler, which takes longer than the rest of loading."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return None if function is torch.nn.init.normal_ else function(*args, **(kwargs or {}))


def check_tensors(model: PaliGemmaForConditionalGeneration, tensors: dict[str, Tensor | TensorHeader]):
    """Raise one ValueError with all missing keys, unexpected keys and wrong shapes. Only the head may be missing."""
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    missing = [f"{name} {list(expected[name])}" for name in expected if name not in found and name != HEAD]
    unexpected = [f"{name} {list(found[name])}" for name in found if name not in expected]
    misshapen = [
        f"{name} is {list(found[name])}, the config says {list(expected[name])}"
        for name in found
        if name in expected and found[name] != expected[name]
    ]
    if missing or unexpected or misshapen:
        raise ValueError(
            "the weights do not fit the config:"
            + list_first("missing keys", missing)
            + list_first("unexpected keys", unexpected)
            + list_first("wrong shapes", misshapen)
        )


def list_first(kind: str, lines: list[str]) -> str:
    """The number of lines of this kind, and the first ten."""
    if not lines:
        return ""
    more = [f"and {len(lines) - MOST_LISTED} more"] if len(lines) > MOST_LISTED else []
    return "\n    ".join([f"\n  {kind} ({len(lines)}):", *lines[:MOST_LISTED], *more])
