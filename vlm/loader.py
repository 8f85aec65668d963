"""Reads and writes checkpoints in the published format: config.json, *.safetensors, tokenizer files.

Strict: every missing, surplus or mis-shaped tensor is named. Safetensors only: nothing in a checkpoint is executed.
"""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vlm.config import PaliGemmaConfig
from vlm.paligemma import PaliGemmaForConditionalGeneration

INDEX_FILE = "model.safetensors.index.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model")
HEAD = "language_model.lm_head.weight"
EMBEDDING = "language_model.model.embed_tokens.weight"


def load_hf_model(
    model_path: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> tuple[PaliGemmaForConditionalGeneration, object]:
    """Load a checkpoint directory.

    Args:
        model_path: directory with config.json, one or more *.safetensors, and a tokenizer.
        device: where the weights go, tensor by tensor: they are never held twice.
        dtype: of the weights in memory; None keeps what the file has.

    Returns:
        The model, in eval mode, and the tokenizer that transformers makes of the directory.

    Raises:
        FileNotFoundError: the directory or a file in it is not there.
        ValueError: a file that cannot be read, or tensors that do not fit the config; each is named.
    """
    directory = Path(model_path)
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory} is not a directory: expected one with config.json and *.safetensors")
    model = load_model(directory, device, dtype)
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        raise FileNotFoundError(f"{directory} has no tokenizer: expected {' or '.join(TOKENIZER_FILES)}")

    from transformers import AutoTokenizer  # slow to import, and needed nowhere else

    return model, AutoTokenizer.from_pretrained(directory)


def load_model(
    directory: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> PaliGemmaForConditionalGeneration:
    """The model alone: built without memory, then each tensor put in its place as it is read."""
    check_device(device)
    config_path = directory / "config.json"
    if not config_path.is_file():
        raise FileNotFoundError(f"{directory} has no config.json")
    with torch.device("meta"):
        model = PaliGemmaForConditionalGeneration(PaliGemmaConfig.from_json(config_path))
    tensors = {}
    for path in find_weight_files(directory):
        tensors |= read_tensors(path, device, dtype)
    check_tensors(model, tensors)
    head = tensors.pop(HEAD, tensors[EMBEDDING])
    model.load_state_dict(tensors, strict=False, assign=True)  # strictly checked above; the head is not in the file
    model.tie_weights()
    if not torch.equal(head, tensors[EMBEDDING]):  # some fine-tunes have a head of their own
        model.language_model.lm_head.weight = torch.nn.Parameter(head)
    return model.eval()


def check_device(device: torch.device | str):
    """Say which device is missing, before a file is read."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # NotImplementedError, for some, is a RuntimeError
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {str(device)!r} cannot be used here, try 'cpu': {reason}") from None


def find_weight_files(directory: Path) -> list[Path]:
    """The shards that the index names, or else every *.safetensors file."""
    index_path = directory / INDEX_FILE
    if index_path.is_file():
        names = sorted(set(json.loads(index_path.read_text(encoding="utf-8"))["weight_map"].values()))
        paths = [directory / name for name in names]
    else:
        paths = sorted(directory.glob("*.safetensors"))
    if not paths:
        raise FileNotFoundError(f"{directory} has no *.safetensors file: other weight formats are not read")
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"{directory} lacks {', '.join(missing)}, which {INDEX_FILE} names")
    return paths


def read_tensors(path: Path, device: torch.device | str, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """All tensors of one file under this package's names, each cast as it is read."""
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            names = file.keys()
            canonical = {name: canonical_name(name) for name in names}
            return {new: file.get_tensor(name).to(dtype) for name, new in canonical.items() if new}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error}): copy or download it again") from None


def canonical_name(name: str) -> str | None:
    """A tensor's name in this package, whichever release wrote the file; None for what PaliGemma does not use.

    The names here are those of the checkpoints that Google published. transformers has written four other
    layouts since: with or without a leading `model.`, `.vision_model`, and a copy of the tied head.
    """
    name = name.removeprefix("model.")
    if name.endswith(".position_ids") or (name.startswith("vision_tower.") and ".head." in name):
        return None  # a buffer that counts 0, 1, 2 …, and SigLIP's pooling head
    if name in ("lm_head.weight", HEAD):
        return HEAD
    if name.startswith("language_model."):
        return "language_model.model." + name.removeprefix("language_model.").removeprefix("model.")
    if name.startswith("vision_tower."):
        return "vision_tower.vision_model." + name.removeprefix("vision_tower.").removeprefix("vision_model.")
    return name


def check_tensors(model: PaliGemmaForConditionalGeneration, tensors: dict[str, Tensor]):
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


def save_hf_model(model: PaliGemmaForConditionalGeneration, directory: str | Path):
    """Write config.json and model.safetensors in the published layout, which transformers opens too.

    A tied head is left out, as in the published files. Each file is written aside and then renamed, so an
    interrupted save never leaves half a file under the real name.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if model.language_model.lm_head.weight is model.language_model.model.embed_tokens.weight:
        del tensors[HEAD]
    weights_path, config_path = directory / "model.safetensors", directory / "config.json"
    save_file(tensors, f"{weights_path}.partial", metadata={"format": "pt"})
    os.replace(f"{weights_path}.partial", weights_path)
    config_text = json.dumps(model.config.to_dict(), indent=2) + "\n"
    Path(f"{config_path}.partial").write_text(config_text, encoding="utf-8")
    os.replace(f"{config_path}.partial", config_path)
