"""Reads and writes checkpoints in the published format: config.json, *.safetensors, tokenizer files.

Strict: every missing, surplus or mis-shaped tensor is named. Safetensors only: nothing in a checkpoint is executed.
"""

import json
import logging
from pathlib import Path

import torch
from torch import Tensor

from vlm.checkpoints.atomic_write import write_text
from vlm.checkpoints.devices import check_device
from vlm.checkpoints.headers import TensorHeader, describe, find_weight_files, open_weights, read_headers
from vlm.checkpoints.hub import find_checkpoint
from vlm.checkpoints.layouts import EMBEDDING, HEAD, canonical_name
from vlm.checkpoints.shards import write_shards
from vlm.checkpoints.skeleton import check_tensors, empty_model
from vlm.config import PaliGemmaConfig
from vlm.paligemma import PaliGemmaForConditionalGeneration

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model")
logger = logging.getLogger(__name__)


def load_hf_model(
    model_path: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> tuple[PaliGemmaForConditionalGeneration, object]:
    """Load a checkpoint from a directory, or from the Hugging Face Hub.

    What was loaded is said in one table, at the level INFO of the logger "vlm.loader".

    Args:
        model_path: directory with config.json, one or more *.safetensors, and a tokenizer; or a name on the hub,
            such as "google/paligemma-3b-mix-224".
        device: where the weights go, tensor by tensor: they are never held twice (but for a head that the file has
            beside the embedding, until the two are compared).
        dtype: of the weights in memory; None keeps the file's (the embedding's, where they differ).
        revision: branch, tag or commit, on the hub.
        token: for the hub; None takes the one that you logged in with.

    Returns:
        The model, in eval mode, and the tokenizer that transformers makes of the directory.

    Raises:
        FileNotFoundError: the directory or a file in it is not there, nor on the hub.
        PermissionError: the hub wants you to accept a licence, or to log in.
        ValueError: a device that is not there, a file that cannot be read, or tensors that do not fit the config;
            each is named.
    """
    check_device(device, dtype)
    directory = find_checkpoint(model_path, revision, token)
    model = load_model(directory, device, dtype)
    tokenizer = load_tokenizer(directory)
    check_tokenizer(tokenizer, model.config, directory)
    return model, tokenizer


def load_tokenizer(directory: Path):
    """The tokenizer that transformers makes of the directory's files. Code in the directory is not run."""
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        raise FileNotFoundError(f"{directory} has no tokenizer: expected {' or '.join(TOKENIZER_FILES)}")

    from transformers import AutoTokenizer  # slow to import, and needed nowhere else

    try:
        return AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    except Exception as error:  # a damaged file can raise anything there, even a bare Exception
        raise ValueError(
            f"{directory} has a tokenizer that cannot be read ({type(error).__name__}: {error}): copy or download "
            "its tokenizer files again"
        ) from None


def check_tokenizer(tokenizer, config: PaliGemmaConfig, directory: Path):
    """Raise a ValueError if the tokenizer's ids are not those that the config names, as with another model's."""
    expected = {
        "<image>": config.image_token_index,
        tokenizer.pad_token: config.pad_token_id,
        tokenizer.eos_token: config.eos_token_id,
        tokenizer.bos_token: config.bos_token_id,
    }
    found = {token: tokenizer.convert_tokens_to_ids(token) for token in expected}
    problems = [
        f"{token} is {found[token]} and not {index}" for token, index in expected.items() if found[token] != index
    ]
    if len(tokenizer) > config.text_config.vocab_size:
        problems.append(f"it has {len(tokenizer)} tokens, and the embedding {config.text_config.vocab_size} rows")
    if problems:
        raise ValueError(
            f"{directory} has the tokenizer of another model than its config.json: {'; '.join(problems)}. Take the "
            "tokenizer files that came with the weights"
        )


def load_model(
    directory: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> PaliGemmaForConditionalGeneration:
    """The model alone: built without memory, then each tensor put in its place as it is read."""
    check_device(device, dtype)
    model = empty_model(directory)
    paths = find_weight_files(directory)
    headers = read_headers(paths)
    check_tensors(model, headers)  # before a single weight is read
    tensors = {}
    for path in paths:
        tensors |= read_tensors(path, device, dtype or headers[EMBEDDING].dtype)
    head = tensors.pop(HEAD, None)
    model.load_state_dict(tensors, strict=False, assign=True)  # strictly checked above; the head is not in the file
    model.tie_weights()
    if head is not None and not torch.equal(head, tensors[EMBEDDING]):  # some fine-tunes have a head of their own
        model.language_model.lm_head.weight = torch.nn.Parameter(head)
    logger.info("%s: %s", directory, describe(headers, paths))
    return model.eval()


def read_tensors(path: Path, device: torch.device | str, dtype: torch.dtype) -> dict[str, Tensor]:
    """All tensors of one file under this package's names, each cast as it is read."""
    with open_weights(path, device) as file:
        names = file.keys()
        canonical = {name: canonical_name(name) for name in names}
        return {new: file.get_tensor(name).to(dtype) for name, new in canonical.items() if new is not None}


def save_hf_model(model: PaliGemmaForConditionalGeneration, directory: str | Path):
    """Write config.json and the weights in the published layout, which transformers opens too.

    A tied head is left out, as in the published files. Each file is written aside and then renamed, so an
    interrupted save never leaves half a file under the real name.

    Raises:
        ValueError: there are adapters in the model, for which the layout has no names.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    tensors = model.state_dict()
    if adapter := next((name for name in tensors if ".lora_" in name), None):
        raise ValueError(f"the model has adapters ({adapter}): merge_lora first, or write them alone with save_lora")
    if model.language_model.lm_head.weight is model.language_model.model.embed_tokens.weight:
        del tensors[HEAD]
    headers = {name: TensorHeader(name, tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    write_shards(directory, headers, tensors.__getitem__)
    write_text(directory / "config.json", json.dumps(model.config.to_dict(), indent=2) + "\n")
