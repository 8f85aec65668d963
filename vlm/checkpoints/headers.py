"""The files of a checkpoint: which there are, and what stands in their headers. No weight is read here.

A safetensors file begins with a header: for each tensor its name, shape, dtype and place. Reading it costs
milliseconds, however large the file is.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from vlm.checkpoints.devices import dtype_name
from vlm.checkpoints.layouts import HEAD, LAYOUTS, canonical_name, find_layout

INDEX_FILE = "model.safetensors.index.json"
FILE_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}  # by their names in a header
PARTS = ("vision_tower", "multi_modal_projector", "language_model")
OTHERS = ("head", "of no part")


@dataclass(frozen=True)
class TensorHeader:
    """What a file says of one tensor. `name` is the one in the file."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def num_parameters(self) -> int:
        return torch.Size(self.shape).numel()

    @property
    def num_bytes(self) -> int:
        return self.num_parameters * self.dtype.itemsize


def find_weight_files(directory: Path) -> list[Path]:
    """The shards that the index names, or else every *.safetensors file.

    Raises:
        FileNotFoundError: there is none, or the index names one that is not there.
        ValueError: the index is not one.
    """
    index_path = directory / INDEX_FILE
    if index_path.is_file():
        paths = [directory / name for name in read_index(index_path)]
    else:
        paths = sorted(directory.glob("*.safetensors"))
    if not paths:
        raise FileNotFoundError(f"{directory} has no *.safetensors file: other weight formats are not read")
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"{directory} lacks {', '.join(missing)}, which {INDEX_FILE} names")
    return paths


def read_index(path: Path) -> list[str]:
    """The names of the shards, each once. A shard lies beside its index, so a name with a folder in it is refused."""
    try:
        names = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
        foreign = [name for name in names if Path(name).name != name]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} has no 'weight_map' from tensors to files: copy or download it again") from None
    if foreign:
        raise ValueError(f"{path} names {foreign[0]!r}: expected files of its own folder")
    return names


def read_headers(paths: Iterable[Path]) -> dict[str, TensorHeader]:
    """All tensors of the files under this package's names, without what PaliGemma does not use.

    Raises:
        ValueError: a file that is not whole, a tensor that stands twice, or one of a dtype that is not read.
    """
    headers = {}
    for path in paths:
        with open_weights(path) as file:
            names = file.keys()
            for name in names:
                new, tensor = canonical_name(name), file.get_slice(name)
                if new is None:
                    continue
                if new in headers:
                    raise ValueError(f"{path} has {name}, and {headers[new].name} was there already: which is it?")
                if tensor.get_dtype() not in FILE_DTYPES:
                    raise ValueError(
                        f"{path}: {name} is {tensor.get_dtype()}: expected {', '.join(FILE_DTYPES)}. Quantized "
                        "checkpoints are not read: take the one that this was made from"
                    )
                headers[new] = TensorHeader(name, tuple(tensor.get_shape()), FILE_DTYPES[tensor.get_dtype()])
    return headers


def open_weights(path: Path, device: torch.device | str = "cpu"):
    """The open file, for a `with` block."""
    try:
        return safe_open(path, framework="pt", device=str(device))
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error}): copy or download it again") from None


def describe(headers: dict[str, TensorHeader], paths: list[Path]) -> str:
    """One table of what a checkpoint holds, part by part, and lines on its layout, dtype and head."""
    letter = find_layout(header.name for header in headers.values())
    layout = f"{letter} ({LAYOUTS[letter].written_by})" if letter else "mixed"
    lines = [f"{len(paths)} file{'s' * (len(paths) > 1)}, layout {layout}", ""]
    lines.append(f"{'part':24}{'tensors':>8}{'parameters':>16}{'MB':>10}  dtype")
    for part in (*PARTS, *OTHERS, "all"):
        rows = [header for name, header in headers.items() if part in ("all", part_of(name))]
        if part in OTHERS and not rows:
            continue
        dtypes = Counter(dtype_name(header.dtype) for header in rows)
        parameters, megabytes = sum(row.num_parameters for row in rows), sum(row.num_bytes for row in rows) / 1e6
        lines.append(f"{part:24}{len(rows):8,}{parameters:16,}{megabytes:10,.1f}  {', '.join(sorted(dtypes))}")
    lines += ["", f"head: {'in the file' if HEAD in headers else 'the embedding, tied'}"]
    return "\n".join(lines)


def part_of(name: str) -> str:
    """Which row of the table a tensor belongs to, by its name in this package."""
    if name == HEAD:
        return "head"
    part = name.partition(".")[0]
    return part if part in PARTS else "of no part"
