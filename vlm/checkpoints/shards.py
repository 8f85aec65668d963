"""Writes tensors as one safetensors file, or as several with an index if they are large."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from torch import Tensor

from vlm.checkpoints.atomic_write import save_tensors, write_aside
from vlm.checkpoints.headers import INDEX_FILE, TensorHeader

MAX_SHARD_BYTES = 5_000_000_000


def write_shards(
    directory: Path,
    headers: dict[str, TensorHeader],
    read: Callable[[str], Tensor],
    max_shard_bytes: int = MAX_SHARD_BYTES,
):
    """Write tensors shard by shard, with only one shard in memory at a time.

    All files are written under temporary names and renamed when the last one is complete, so an interrupted call leaves
    the old files. Then the old weights are removed, because the directory must not contain two sets. A single file is
    replaced by a single file atomically; otherwise weights are missing for a moment.

    Args:
        directory: must exist.
        headers: the headers of the tensors to write, by their names in the file, in this order.
        read: returns the tensor with a name.
        max_shard_bytes: a larger tensor gets a shard of its own.

    Raises:
        OSError: a file cannot be written, as on a full disk. The temporary files are removed.
    """
    shards = split_into_shards(headers, max_shard_bytes)
    names = ["model.safetensors"]
    if len(shards) > 1:
        names = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
    with ExitStack() as stack:
        for file_name, shard in zip(names, shards, strict=True):
            partial = stack.enter_context(write_aside(directory / file_name))
            # Not assigned to a variable, which would keep this shard in memory while the next one is read.
            save_tensors({name: read(name).contiguous() for name in shard}, partial, {"format": "pt"})
        if len(shards) > 1:
            total_size = sum(header.num_bytes for header in headers.values())
            weight_map = {name: file_name for file_name, shard in zip(names, shards, strict=True) for name in shard}
            index = {"metadata": {"total_size": total_size}, "weight_map": weight_map}
            partial = stack.enter_context(write_aside(directory / INDEX_FILE))
            partial.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        for old in [*directory.glob("*.safetensors"), directory / INDEX_FILE]:
            if [old.name] != names:
                old.unlink(missing_ok=True)


def split_into_shards(headers: dict[str, TensorHeader], max_shard_bytes: int) -> list[list[str]]:
    """The names in their order, split where a shard would become too large."""
    shards, filled = [[]], 0
    for name, header in headers.items():
        if shards[-1] and filled + header.num_bytes > max_shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += header.num_bytes
    return shards
