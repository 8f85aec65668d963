"""LoRA: fine-tune a model by training a few new parameters beside each frozen weight matrix.

Shapes: I input features, O output features, G rank.

Source: "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685), section 4.1.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shortened

import torch
from torch import Tensor, nn

from vlm.checkpoints.atomic_write import save_tensors, write_aside, write_text
from vlm.checkpoints.headers import FILE_DTYPES, open_weights
from vlm.checkpoints.layouts import canonical_name, name_in_layout

LANGUAGE_MODEL_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
WEIGHTS_FILE, CONFIG_FILE = "adapter_model.safetensors", "adapter_config.json"
MAX_CONFIG_BYTES = 1_000_000
MAX_ALPHA = 1e6
_LETTERS = ("lora_A", "lora_B")
_PEFT_PREFIX = "base_model.model."
_TRANSFORMERS_LAYOUT = "C"  # peft names tensors as they are called in memory

# The fields of peft's LoraConfig (0.21). These do not change what a trained adapter computes: they say where it
# belongs, how it was trained, or set options of a variant that has a field of its own below.
_DESCRIPTIVE = {
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",  # read
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_type",  # read
    "peft_version",
    "qalora_group_size",
    "r",  # read
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
}
_OFF = (None, False, [], {})
# These do. For each: the values for which the adapter is plain LoRA, and what any other value means.
_PLAIN_VALUES = {
    "alora_invocation_tokens": (_OFF, "activated LoRA, which starts at certain tokens"),
    "alpha_pattern": (_OFF, "a different alpha in some layers"),
    "arrow_config": (_OFF, "Arrow, which routes tokens among several adapters"),
    "bias": (("none",), "biases trained beside the adapters"),
    "ensure_weight_tying": (_OFF, "adapters shared by tied layers"),
    "fan_in_fan_out": (_OFF, "weight matrices that are stored transposed"),
    "init_lora_weights": (
        (True, False, "gaussian", "orthogonal", "eva"),
        "an initialization that changes the base model's weights too, or one that is unknown here; peft's "
        "save_pretrained converts such an adapter if you pass path_initial_model_for_weight_conversion",
    ),
    "kasa_config": (_OFF, "KaSA, which truncates the base model's weights"),
    "layer_replication": (_OFF, "layers that are repeated"),
    "lora_bias": (_OFF, "a bias inside each adapter"),
    "megatron_config": (_OFF, "Megatron's parallel layers"),
    "modules_to_save": (_OFF, "whole layers trained beside the adapters"),
    "monteclora_config": (_OFF, "MonteCLoRA, which samples its adapters"),
    "rank_pattern": (_OFF, "a different rank in some layers"),
    "target_parameters": (_OFF, "adapters of parameters outside linear layers"),
    "trainable_token_indices": (_OFF, "rows of the embedding matrix trained beside the adapters"),
    "use_bdlora": (_OFF, "BD-LoRA, whose matrices are block-diagonal"),
    "use_dora": (_OFF, "DoRA, which trains the length of each row of the weights separately"),
    "use_qalora": (_OFF, "QA-LoRA, which averages its inputs in groups"),
    "use_rslora": (_OFF, "rank-stabilized LoRA, which scales by alpha / sqrt(r)"),
    "velora_config": (_OFF, "VeLoRA, which compresses activations"),
}


@dataclass(frozen=True)
class LoraConfig:
    """The size and scale of an adapter.

    Attributes:
        rank: G, of the change that a weight matrix can learn.
        alpha: the change is multiplied by alpha / rank, so that the same learning rate serves every rank.

    Raises:
        ValueError: the rank is not an integer of at least 1, or alpha is not a number of at most MAX_ALPHA in size.
    """

    rank: int = 8
    alpha: float = 16.0

    def __post_init__(self):
        if type(self.rank) is not int or self.rank < 1:
            raise ValueError(f"the rank (r) is {shortened(self.rank)}: expected an integer, at least 1")
        if type(self.alpha) not in (int, float) or not abs(self.alpha) <= MAX_ALPHA:  # NaN is not <= anything
            raise ValueError(
                f"alpha (lora_alpha) is {shortened(self.alpha)}: expected a number from {-MAX_ALPHA:.0e} to "
                f"{MAX_ALPHA:.0e}"
            )

    @property
    def scaling(self) -> float:
        return self.alpha / self.rank


class LoraLinear(nn.Module):
    """A frozen linear layer and a low-rank change: x W^T + scaling * x A^T B^T.

    B starts at 0, so at first nothing changes. A must not: if both were 0, neither would ever get a gradient.
    """

    def __init__(self, base: nn.Linear, config: LoraConfig):
        super().__init__()
        self.base = base
        self.scaling = config.scaling
        device = base.weight.device  # not its dtype: float32 keeps small steps
        self.lora_A = nn.Parameter(
            torch.empty(config.rank, base.in_features, device=device),  # [G, I]
        )
        self.lora_B = nn.Parameter(
            torch.zeros(base.out_features, config.rank, device=device),  # [O, G]
        )
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))  # as in nn.Linear

    def forward(self, states: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        change = states.float() @ self.lora_A.T @ self.lora_B.T  # [..., O]
        return self.base(states) + (self.scaling * change).to(states.dtype)

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """Add the change to the frozen weights: the same function as before."""
        self.base.weight += self.scaling * self.lora_B @ self.lora_A  # [O, I]
        return self.base


def add_lora(
    model: nn.Module, config: LoraConfig, part: str = "language_model", layers: tuple[str, ...] = LANGUAGE_MODEL_LAYERS
):
    """Freeze the whole model, then add an adapter to each linear layer of `part` whose name is in `layers`.

    Args:
        part: the beginning of the layers' full names.
        layers: the last components of their names.

    Raises:
        ValueError: there is no such layer, one is tied to the embedding, or the model has adapters already.
    """
    _check_no_adapters(model)
    names = [name for name in _linear_layers(model) if name.startswith(part) and name.rpartition(".")[2] in layers]
    if not names:
        raise ValueError(f"no linear layer in {part!r} is called {' or '.join(layers)}")
    _check_untied(model, names)
    model.requires_grad_(False)
    for name in names:
        _replace(model, name, LoraLinear(model.get_submodule(name), config))


def merge_lora(model: nn.Module):
    """Add each adapter's change to its layer and remove the adapter: an ordinary model again, no larger than before."""
    for name, layer in find_lora(model).items():
        _replace(model, name, layer.merge())


def find_lora(model: nn.Module) -> dict[str, LoraLinear]:
    """The adapters of a model, by layer name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}


def save_lora(model: nn.Module, directory: str | Path):
    """Write the adapters only, in peft's format and under its names: peft loads them into transformers' model.

    Raises:
        ValueError: the model has no adapters.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    adapters = find_lora(model)
    if not adapters:
        raise ValueError("the model has no adapters to save: add_lora adds them")
    first = next(iter(adapters.values()))
    theirs = {name: name_in_layout(name, _TRANSFORMERS_LAYOUT) for name in adapters}
    tensors = {
        f"{_PEFT_PREFIX}{theirs[name]}.{letter}.weight": getattr(layer, letter).detach().contiguous()
        for name, layer in adapters.items()
        for letter in _LETTERS
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
    """Freeze the model and add saved adapters to it, written by `save_lora` or by peft.

    The files are not trusted: every shape is checked before memory is allocated, and names from the files are
    quoted in errors. If anything does not fit, the model stays as it was.

    Raises:
        FileNotFoundError: the directory lacks one of the two files.
        ValueError: it is not plain LoRA, a file cannot be read, its tensors do not fit the model, or the model has
            adapters already.
    """
    directory = Path(directory)
    _check_no_adapters(model)
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        if not (directory / name).is_file():
            raise FileNotFoundError(f"{directory} has no file {name}")
    config = _read_config(directory / CONFIG_FILE)
    with open_weights(directory / WEIGHTS_FILE) as file:
        names = _find_tensors(file.keys(), directory)
        if unknown := sorted(names.keys() - _linear_layers(model).keys()):
            raise ValueError(f"{directory} has adapters for layers that the model lacks: {_quoted(unknown)}")
        _check_untied(model, names)
        for layer, tensors in names.items():
            _check_shapes(file, layer, tensors, model.get_submodule(layer), config.rank)
        adapters = {layer: LoraLinear(model.get_submodule(layer), config) for layer in names}
        for layer, tensors in names.items():
            weights = {letter: file.get_tensor(tensors[letter]) for letter in _LETTERS}
            adapters[layer].load_state_dict(weights, strict=False)  # the base layer is not in the file
    model.requires_grad_(False)
    for layer, adapter in adapters.items():
        _replace(model, layer, adapter)


def _read_config(path: Path) -> LoraConfig:
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ValueError(f"{path} is {path.stat().st_size} bytes long: expected at most {MAX_CONFIG_BYTES}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(values, dict) or values.get("peft_type") != "LORA":
        found = values.get("peft_type") if isinstance(values, dict) else values
        raise ValueError(f"{path} is of type {shortened(found)}: expected an object with peft_type 'LORA'")
    for name, value in values.items():
        if name in _PLAIN_VALUES:
            plain, meaning = _PLAIN_VALUES[name]
            if value not in plain:
                raise ValueError(f"{path} has {name} = {shortened(value)} ({meaning}): only plain LoRA is supported")
        elif name not in _DESCRIPTIVE and value is not None:
            raise ValueError(
                f"{path} has the field {shortened(name)}, which is unknown here and may change what the adapter "
                "computes: only plain LoRA is supported"
            )
    try:
        return LoraConfig(values.get("r"), values.get("lora_alpha"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _find_tensors(names: Iterable[str], directory: Path) -> dict[str, dict[str, str]]:
    """The names in the file, by layer (under its name in this package) and by lora_A or lora_B."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        theirs, _, letter = name.removeprefix(_PEFT_PREFIX).removesuffix(".weight").rpartition(".")
        if letter not in _LETTERS:
            raise ValueError(f"{directory} has {_quoted([name])} too: only lora_A and lora_B are supported")
        layer = (canonical_name(f"{theirs}.weight") or theirs).removesuffix(".weight")
        tensors = found.setdefault(layer, {})
        if letter in tensors:
            raise ValueError(f"{directory} has two tensors for {letter} of {_quoted([layer])}: remove one of them")
        tensors[letter] = name
    if not found:
        raise ValueError(f"{directory} has no adapters in {WEIGHTS_FILE}")
    return found


def _check_shapes(file, layer: str, tensors: dict[str, str], base: nn.Linear, rank: int):
    if rank > max(base.in_features, base.out_features):
        raise ValueError(
            f"the rank (r) is {shortened(rank)}: {layer} is {base.in_features} x {base.out_features}, and an adapter "
            "should be smaller than its layer"
        )
    for letter, expected in (("lora_A", [rank, base.in_features]), ("lora_B", [base.out_features, rank])):
        if letter not in tensors:
            raise ValueError(f"{letter} of {layer} is missing: expected {expected}")
        tensor = file.get_slice(tensors[letter])
        if tensor.get_shape() != expected:
            raise ValueError(f"{letter} of {layer} is {tensor.get_shape()}: expected {expected}")
        if tensor.get_dtype() not in FILE_DTYPES:
            raise ValueError(f"{letter} of {layer} is {tensor.get_dtype()}: expected {', '.join(FILE_DTYPES)}")


def _check_no_adapters(model: nn.Module):
    if find_lora(model):
        raise ValueError("the model has adapters already: merge them first (merge_lora)")


def _check_untied(model: nn.Module, layers: Iterable[str]):
    """Merging an adapter into a tied head would change the embedding as well."""
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    for layer in layers:
        if id(model.get_submodule(layer).weight) in embeddings:
            raise ValueError(f"{layer} shares its weights with the embedding (tied): it cannot have an adapter")


def _linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}


def _quoted(names: list[str]) -> str:
    """Names from a file, with control characters escaped: at most five, each shortened."""
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(repr(name[:150]) for name in names[:5]) + rest


def _replace(model: nn.Module, name: str, module: nn.Module):
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
