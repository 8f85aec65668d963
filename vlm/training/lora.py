"""LoRA: teach a model something with a few new numbers beside each frozen matrix.

Shapes: I numbers in, O numbers out, G rank.

Source: "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685), section 4.1.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vlm.checkpoints.atomic_write import save_tensors, write_aside, write_text
from vlm.checkpoints.layouts import canonical_name, name_in_layout

LANGUAGE_MODEL_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
WEIGHTS_FILE, CONFIG_FILE = "adapter_model.safetensors", "adapter_config.json"
_PEFT_PREFIX = "base_model.model."
_OTHER_KINDS = ("use_rslora", "use_dora", "rank_pattern", "alpha_pattern")  # of peft: another formula, or other sizes
_TRANSFORMERS_LAYOUT = "C"  # peft names tensors as they are called in memory


@dataclass(frozen=True)
class LoraConfig:
    """How large an adapter is.

    Attributes:
        rank: G, of the change that a matrix can learn.
        alpha: the change is multiplied by alpha / rank, so that another rank needs no other learning rate.
    """

    rank: int = 8
    alpha: float = 16.0

    @property
    def scaling(self) -> float:
        return self.alpha / self.rank


class LoraLinear(nn.Module):
    """A frozen linear layer, and a change of low rank beside it: x W^T + scaling * x A^T B^T.

    B starts at 0, so at first nothing changes. A must not: with both at 0 neither would ever get a gradient.
    """

    def __init__(self, base: nn.Linear, config: LoraConfig):
        super().__init__()
        self.base = base
        self.scaling = config.scaling
        device = base.weight.device  # not its dtype: in float32 small steps are not lost
        self.lora_A = nn.Parameter(torch.empty(config.rank, base.in_features, device=device))  # [G, I]
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, config.rank, device=device))  # [O, G]
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))  # as torch fills a linear layer

    def forward(self, states: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        change = states.float() @ self.lora_A.T @ self.lora_B.T  # [..., O], and the G numbers between are all it has
        return self.base(states) + (self.scaling * change).to(states.dtype)

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """The frozen layer with the change added to its weights: the same function, at no further cost."""
        self.base.weight += self.scaling * self.lora_B @ self.lora_A  # [O, I]
        return self.base


def add_lora(
    model: nn.Module, config: LoraConfig, part: str = "language_model", layers: tuple[str, ...] = LANGUAGE_MODEL_LAYERS
):
    """Freeze the whole model, and put an adapter beside each linear layer of a part that has one of the names.

    Args:
        part: where to look, by the beginning of the layers' names.
        layers: the last part of their names.

    Raises:
        ValueError: there is no such layer, or the model has adapters already.
    """
    if any(isinstance(module, LoraLinear) for module in model.modules()):
        raise ValueError("the model has adapters already: merge them first")
    model.requires_grad_(False)
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(part) and name.rpartition(".")[2] in layers
    ]
    if not names:
        raise ValueError(f"no linear layer in {part!r} is called {' or '.join(layers)}")
    for name in names:
        _replace(model, name, LoraLinear(model.get_submodule(name), config))


def merge_lora(model: nn.Module):
    """Add every adapter to its layer and take it out: the model is an ordinary one again, no larger than before."""
    for name, layer in find_lora(model).items():
        _replace(model, name, layer.merge())


def find_lora(model: nn.Module) -> dict[str, LoraLinear]:
    """The adapters of a model, by the names of their layers."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}


def save_lora(model: nn.Module, directory: str | Path):
    """Write the adapters alone, in the form and under the names of peft: it loads them beside transformers' model.

    Raises:
        ValueError: the model has none.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    adapters = find_lora(model)
    if not adapters:
        raise ValueError("the model has no adapters to save: add_lora puts them in")
    first = next(iter(adapters.values()))
    theirs = {name: name_in_layout(name, _TRANSFORMERS_LAYOUT) for name in adapters}
    tensors = {
        f"{_PEFT_PREFIX}{theirs[name]}.lora_{letter}.weight": getattr(layer, f"lora_{letter}").detach().contiguous()
        for name, layer in adapters.items()
        for letter in "AB"
    }
    rank = first.lora_A.shape[0]
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": first.scaling * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(theirs.values()),
        "task_type": None,
        "base_model_name_or_path": None,
    }
    with write_aside(directory / WEIGHTS_FILE) as partial:
        save_tensors(tensors, partial, {"format": "pt"})
    write_text(directory / CONFIG_FILE, json.dumps(config, indent=2) + "\n")


def load_lora(model: nn.Module, directory: str | Path):
    """Freeze the model and put saved adapters into it.

    Raises:
        FileNotFoundError: the directory lacks one of the two files.
        ValueError: it is no plain LoRA, cannot be read, or its tensors do not fit the model, each of which is named; or
            the model has adapters already.
    """
    directory = Path(directory)
    if find_lora(model):
        raise ValueError("the model has adapters already: merge them first")
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        if not (directory / name).is_file():
            raise FileNotFoundError(f"{directory} has no {name}")
    config = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA":
        raise ValueError(f"{directory} is of the type {config.get('peft_type')!r}: expected 'LORA'")
    for name in _OTHER_KINDS:
        if config.get(name):
            raise ValueError(f"{directory} has {name} = {config[name]!r}: only plain LoRA is read")
    try:
        saved = load_file(directory / WEIGHTS_FILE)
    except SafetensorError as error:
        raise ValueError(f"{directory / WEIGHTS_FILE} is not whole, or no safetensors file: {error}") from None
    tensors = {}
    for name, tensor in saved.items():
        layer, _, letter = name.removeprefix(_PEFT_PREFIX).removesuffix(".weight").rpartition(".")
        tensors[canonical_name(f"{layer}.weight").removesuffix(".weight"), letter] = tensor
    if others := sorted({letter for _, letter in tensors} - {"lora_A", "lora_B"}):
        raise ValueError(f"{directory} has {', '.join(others)} too: only lora_A and lora_B are read")
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    if problems := sorted({layer for layer, _ in tensors} - linear):
        raise ValueError(f"{directory} has adapters for layers that the model lacks: {', '.join(problems)}")
    lora, adapters = LoraConfig(config["r"], config["lora_alpha"]), {}
    for layer in sorted({layer for layer, _ in tensors}):
        adapter = LoraLinear(model.get_submodule(layer), lora)
        for letter in ("lora_A", "lora_B"):
            tensor, expected = tensors.get((layer, letter)), getattr(adapter, letter).shape
            if tensor is None or tensor.shape != expected:
                found = "missing" if tensor is None else list(tensor.shape)
                raise ValueError(f"{letter} of {layer} is {found}: expected {list(expected)}")
        adapter.load_state_dict({letter: tensors[layer, letter] for letter in ("lora_A", "lora_B")}, strict=False)
        adapters[layer] = adapter
    model.requires_grad_(False)  # only now: what does not fit leaves the model as it was
    for layer, adapter in adapters.items():
        _replace(model, layer, adapter)


def _replace(model: nn.Module, name: str, module: nn.Module):
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
