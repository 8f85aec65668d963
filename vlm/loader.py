"""Reads and writes checkpoints in the published format: config.json, *.safetensors, tokenizer files.

Strict: an error lists all missing keys, unexpected keys and wrong shapes. Only safetensors are read, so no code in a
checkpoint runs.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from vlm.checkpoints.atomic_write import write_text
from vlm.checkpoints.devices import check_device
from vlm.checkpoints.headers import TensorHeader, describe, find_weight_files, open_weights, read_headers
from vlm.checkpoints.hub import find_checkpoint
from vlm.checkpoints.layouts import EMBEDDING, HEAD
from vlm.checkpoints.shards import write_shards
from vlm.checkpoints.skeleton import check_tensors, empty_model
from vlm.config import PaliGemmaConfig
from vlm.paligemma import PaliGemmaForConditionalGeneration

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model")
SPECIAL_TOKENS = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
logger = logging.getLogger(__name__)


def load_hf_model(
    model_path: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> tuple[PaliGemmaForConditionalGeneration, object]:
    """Load a checkpoint from a directory, or from the Hugging Face Hub.

    The logger "vlm.loader" logs a table of what was loaded, at level INFO.

    Args:
        model_path: directory with config.json, one or more *.safetensors, and a tokenizer; or a name on the hub,
            such as "google/paligemma-3b-mix-224".
        device: where the weights go, tensor by tensor. No weight is in memory twice, except a head that the file has
            in addition to the embedding, until the two are compared.
        dtype: of the weights in memory; None keeps the file's (the embedding's, if they differ). What config.json
            says about the dtype is ignored.
        revision: branch, tag or commit, on the hub.
        token: for the hub; None uses the one you logged in with.

    Returns:
        The model, in eval mode, and a tokenizer of transformers.

    Raises:
        FileNotFoundError: the directory or a file in it does not exist, here or on the hub.
        PermissionError: the hub requires you to accept a license, or to log in.
        ValueError: a device that is not available, a file that cannot be read, or tensors that do not fit the config.
    """
    check_device(device, dtype)
    directory = find_checkpoint(model_path, revision, token)
    model = load_model(directory, device, dtype)
    tokenizer = load_tokenizer(directory)
    check_tokenizer(tokenizer, model.config, directory)
    return model, tokenizer


def load_tokenizer(directory: Path):
    """The tokenizer that transformers builds from the directory's files. Code in the directory is not run."""
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        raise FileNotFoundError(f"{directory} has no tokenizer: expected {' or '.join(TOKENIZER_FILES)}")

    from transformers import AutoTokenizer  # slow to import, and used only here
    from transformers import PaliGemmaConfig as ReferenceConfig

    try:
        # Given a config, transformers does not read config.json, where it would reject a dtype such as "auto".
        tokenizer = AutoTokenizer.from_pretrained(directory, config=ReferenceConfig(), trust_remote_code=False)
    except Exception as error:  # a damaged file can raise anything here, even a bare Exception
        raise ValueError(
            f"{directory} has a tokenizer that cannot be read ({type(error).__name__}: {error}): copy or download "
            "its tokenizer files again"
        ) from None
    for name, token in SPECIAL_TOKENS.items():
        if getattr(tokenizer, name) is None:  # if tokenizer_config.json is missing
            setattr(tokenizer, name, token)
    return tokenizer


def check_tokenizer(tokenizer, config: PaliGemmaConfig, directory: Path):
    """Raise a ValueError if the tokenizer's ids are not those of the config, as with another model's tokenizer."""
    eos = config.eos_token_id
    expected = {
        "<image>": [config.image_token_index],
        tokenizer.pad_token: [config.pad_token_id],
        tokenizer.eos_token: eos if isinstance(eos, tuple) else [eos],
        tokenizer.bos_token: [config.bos_token_id],
    }
    found = {token: tokenizer.convert_tokens_to_ids(token) for token in expected}
    problems = [
        f"{token} is {found[token]}, expected {' or '.join(map(str, ids))}"
        for token, ids in expected.items()
        if found[token] not in ids
    ]
    if len(tokenizer) > config.text_config.vocab_size:
        problems.append(f"it has {len(tokenizer)} tokens, but the embedding has {config.text_config.vocab_size} rows")
    if problems:
        raise ValueError(
            f"{directory}: the tokenizer does not match config.json: {'; '.join(problems)}. Use the tokenizer files "
            "that came with the weights"
        )


def load_model(
    directory: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> PaliGemmaForConditionalGeneration:
    """The model only: built on the meta device, then filled tensor by tensor."""
    check_device(device, dtype)
    return fill_model(empty_model(directory), directory, device, dtype, lambda file, name, new: file.get_tensor(name))


def fill_model(
    model: PaliGemmaForConditionalGeneration,
    directory: Path,
    device: torch.device | str,
    dtype: torch.dtype | None,
    read: Callable[[object, str, str], Tensor],
) -> PaliGemmaForConditionalGeneration:
    """Fill an empty model with a checkpoint's weights, and tie its head to the embedding unless the file has another.

    Args:
        device: the device on which the files are opened.
        dtype: of the weights in memory; None keeps the embedding's.
        read: returns a tensor of an open file, given the tensor's name in the file and its name in this package.
    """
    paths = find_weight_files(directory)
    headers = read_headers(paths)
    check_tensors(model, headers)  # before a single weight is read
    tensors = read_tensors(paths, headers, device, dtype or headers[EMBEDDING].dtype, read)
    head = tensors.pop(HEAD, None)
    model.load_state_dict(tensors, strict=False, assign=True)  # checked above; only the head is missing
    model.tie_weights()
    if head is not None and not torch.equal(head, tensors[EMBEDDING]):  # some fine-tunes have a head of their own
        model.language_model.lm_head.weight = torch.nn.Parameter(head)
    logger.info("%s: %s", directory, describe(headers, paths))
    return model.eval()


def read_tensors(
    paths: list[Path],
    headers: dict[str, TensorHeader],
    device: torch.device | str,
    dtype: torch.dtype,
    read: Callable[[object, str, str], Tensor],
) -> dict[str, Tensor]:
    """The tensors of these headers, each cast as it is read."""
    canonical = {header.name: new for new, header in headers.items()}
    tensors = {}
    for path in paths:
        with open_weights(path, device) as file:
            names = file.keys()
            tensors |= {
                canonical[name]: read(file, name, canonical[name]).to(dtype) for name in names if name in canonical
            }
    return tensors


def save_hf_model(model: PaliGemmaForConditionalGeneration, directory: str | Path):
    """Write config.json and the weights in the published layout, which transformers reads too.

    A tied head is not written, as in the published files. Writes are atomic: an interrupted save leaves the old files.

    Raises:
        ValueError: the model has adapters, for which the layout has no names.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    tensors = model.state_dict()
    if adapter := next((name for name in tensors if ".lora_" in name), None):
        raise ValueError(f"the model has adapters ({adapter}): call merge_lora first, or save only them with save_lora")
    if model.language_model.lm_head.weight is model.language_model.model.embed_tokens.weight:
        del tensors[HEAD]
    headers = {name: TensorHeader(name, tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    write_shards(directory, headers, tensors.__getitem__)
    write_text(directory / "config.json", json.dumps(model.config.to_dict(), indent=2) + "\n")
