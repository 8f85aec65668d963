"""The model that a config describes, without weights, and whether a checkpoint's tensors fit it."""

from pathlib import Path

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vlm.checkpoints.headers import TensorHeader
from vlm.checkpoints.layouts import HEAD
from vlm.config import PaliGemmaConfig
from vlm.paligemma import PaliGemmaForConditionalGeneration


def empty_model(directory: Path) -> PaliGemmaForConditionalGeneration:
    """The model that config.json describes, on torch's meta device, where tensors have a shape and take no memory."""
    config_path = directory / "config.json"
    if not config_path.is_file():
        raise FileNotFoundError(f"{directory} has no config.json")
    config = PaliGemmaConfig.from_json(config_path)
    try:
        with torch.device("meta"), WithoutNormal():
            return PaliGemmaForConditionalGeneration(config)
    except (RuntimeError, OverflowError) as error:  # more numbers in a tensor than 64 bits can count
        reason = str(error).splitlines()[0]
        raise ValueError(f"{config_path} asks for tensors of impossible size: correct its numbers ({reason})") from None


class WithoutNormal(TorchFunctionMode):
    """Leaves out `normal_`, with which an embedding fills itself. On the meta device it fills nothing, and its first
    call imports torch's compiler, which takes longer than all the rest of loading."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return None if function is torch.nn.init.normal_ else function(*args, **(kwargs or {}))


def check_tensors(model: PaliGemmaForConditionalGeneration, tensors: dict[str, Tensor | TensorHeader]):
    """Raise one ValueError that names everything missing, surplus or mis-shaped."""
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    problems = [f"missing: {name} {list(expected[name])}" for name in expected if name not in tensors and name != HEAD]
    for name, tensor in tensors.items():
        if name not in expected:
            problems.append(f"unexpected: {name} {list(tensor.shape)}")
        elif tensor.shape != expected[name]:
            problems.append(f"wrong shape: {name} is {list(tensor.shape)}, the config says {list(expected[name])}")
    if problems:
        raise ValueError("the weights do not fit the config:\n  " + "\n  ".join(problems))
