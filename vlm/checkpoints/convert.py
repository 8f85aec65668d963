"""Rewrites a checkpoint in another dtype, layout or number of shards. The values stay the same, except for rounding.

Tensors are read, cast, renamed and written one by one; only one shard is in memory at a time.
"""

import json
import os
import shutil
from pathlib import Path

import torch
from torch import Tensor

from vlm.checkpoints.atomic_write import write_text
from vlm.checkpoints.devices import dtype_name
from vlm.checkpoints.headers import TensorHeader, find_weight_files, open_weights, read_headers
from vlm.checkpoints.hub import TOKENIZER_AND_SETTINGS
from vlm.checkpoints.layouts import EMBEDDING, HEAD, LAYOUTS, name_in_layout
from vlm.checkpoints.shards import MAX_SHARD_BYTES, write_shards
from vlm.checkpoints.skeleton import check_tensors, empty_model


def convert(
    source: Path,
    target: Path,
    dtype: torch.dtype | None = None,
    layout: str = "A",
    max_shard_bytes: int = MAX_SHARD_BYTES,
):
    """Convert the checkpoint in one directory into another directory.

    Args:
        source: as for `load_model`.
        target: must not exist, be empty, or contain only what an interrupted call left there. The tokenizer's files
            are copied.
        dtype: of all weights; None keeps the dtype of each.
        layout: a letter of `vlm.checkpoints.layouts.LAYOUTS`.

    Raises:
        FileExistsError: the target is not empty.
        FileNotFoundError, ValueError: the source is incomplete or does not fit its config, or a weight is NaN or too
            large for the new dtype.
        OSError: the target cannot be written, as on a full disk.
    """
    partial = target / ".partial"
    if target.exists() and (not target.is_dir() or any(path != partial for path in target.iterdir())):
        raise FileExistsError(f"{target} already exists: choose a new or an empty directory")
    model = empty_model(source)
    paths = find_weight_files(source)
    headers = read_headers(paths)
    check_tensors(model, headers)
    file_of = find_files(paths)

    written = dict(headers)
    if LAYOUTS[layout].writes_tied_head:
        written.setdefault(HEAD, headers[EMBEDDING])
    elif HEAD in headers and is_tied(headers, file_of):
        del written[HEAD]
    canonical_of = {name_in_layout(name, layout): name for name in written}
    new_headers = {
        new: TensorHeader(new, written[name].shape, dtype or written[name].dtype) for new, name in canonical_of.items()
    }

    def read(new: str) -> Tensor:
        header = written[canonical_of[new]]
        path = file_of[header.name]
        tensor = read_tensor(path, header.name)
        tensor = tensor.to(dtype or header.dtype).clone()  # a copy, because two names may share a tensor
        check_finite(tensor, header.name, path)
        return tensor

    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        write_shards(partial, new_headers, read, max_shard_bytes)
        for pattern in TOKENIZER_AND_SETTINGS:
            for path in source.glob(pattern):
                shutil.copyfile(path, partial / path.name)
        write_text(partial / "config.json", json.dumps(new_config(source, dtype), indent=2) + "\n")
        # The config comes last: a directory without it is not a checkpoint.
        for path in sorted(partial.iterdir(), key=lambda path: path.name == "config.json"):
            os.replace(path, target / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def find_files(paths: list[Path]) -> dict[str, Path]:
    """Map each tensor's name in the files to its file."""
    file_of = {}
    for path in paths:
        with open_weights(path) as file:
            file_of |= dict.fromkeys(file.keys(), path)
    return file_of


def is_tied(headers: dict[str, TensorHeader], file_of: dict[str, Path]) -> bool:
    head, embedding = (read_tensor(file_of[headers[name].name], headers[name].name) for name in (HEAD, EMBEDDING))
    return torch.equal(head, embedding)


def read_tensor(path: Path, name: str) -> Tensor:
    with open_weights(path) as file:
        return file.get_tensor(name)


def new_config(source: Path, dtype: torch.dtype | None) -> dict:
    """The source's config.json with the new dtype in place of the old one."""
    values = json.loads((source / "config.json").read_text(encoding="utf-8"))
    if dtype is None:
        return values
    for part in (values, values["text_config"], values["vision_config"]):
        for key in ("dtype", "torch_dtype"):
            if key in part:
                part[key] = dtype_name(dtype)
    if not {"dtype", "torch_dtype"} & values.keys():
        values["dtype"] = dtype_name(dtype)
    return values


def check_finite(tensor: Tensor, name: str, path: Path):
    """Raise a ValueError for NaN or infinity: one such weight silently makes every answer nonsense."""
    if tensor.numel() and not all(bound.isfinite() for bound in tensor.aminmax()):  # both are NaN if any number is
        raise ValueError(
            f"{path}: {name} contains NaN or infinity in {tensor.dtype}: copy or download it again; if it was cast to "
            "float16, whose largest number is 65504, use bfloat16"
        )
