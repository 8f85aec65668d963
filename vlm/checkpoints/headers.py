"""The files of a checkpoint and their headers. No weights are read here.

A safetensors file begins with a header: the name, shape, dtype and offset of each tensor. Reading it takes
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
from vlm.checkpoints.layouts import EMBEDDING, HEAD, LAYOUTS, WRAPPERS, canonical_name, find_layout

INDEX_FILE = "model.safetensors.index.json"
FILE_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}  # the names in a header
PARTS = ("vision_tower", "multi_modal_projector", "language_model")
OTHERS = ("head", "other")


@dataclass(frozen=True)
class TensorHeader:
    """One tensor's entry in a header, under its name in the file."""

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
    """The shards that the index lists; without an index, every *.safetensors file.

    Raises:
        FileNotFoundError: there is no file, or a shard of the index is missing.
        ValueError: the index cannot be read.
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
        raise FileNotFoundError(f"{directory} has no {', '.join(missing)}, which {INDEX_FILE} lists")
    return paths


def read_index(path: Path) -> list[str]:
    """The names of the shards, without repeats. Shards are in the same folder as the index: other paths are refused."""
    try:
        names = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
        foreign = [name for name in names if Path(name).name != name]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} has no 'weight_map' from tensors to files: copy or download it again") from None
    if foreign:
        raise ValueError(f"{path} lists {foreign[0]!r}: expected files in the same folder")
    return names


def read_headers(paths: Iterable[Path]) -> dict[str, TensorHeader]:
    """The headers of all tensors that PaliGemma uses, under this package's names.

    Some libraries write a tied matrix only under the name of the head: it is then read as the embedding.

    Raises:
        ValueError: an incomplete file, names of a wrapped model, a duplicate tensor, or an unsupported dtype.
    """
    headers = {}
    for path in paths:
        with open_weights(path) as file:
            names = file.keys()
            for name in names:
                check_not_wrapped(name, path)
                new, tensor = canonical_name(name), file.get_slice(name)
                if new is None:
                    continue
                if new in headers:
                    raise ValueError(f"{path} contains {name}, a duplicate of {headers[new].name}: remove one of them")
                if tensor.get_dtype() not in FILE_DTYPES:
                    raise ValueError(
                        f"{path}: {name} is {tensor.get_dtype()}: expected {', '.join(FILE_DTYPES)}. Quantized "
                        "checkpoints are not supported: use the one it was made from"
                    )
                headers[new] = TensorHeader(name, tuple(tensor.get_shape()), FILE_DTYPES[tensor.get_dtype()])
    if EMBEDDING not in headers and HEAD in headers:
        headers[EMBEDDING] = headers.pop(HEAD)
    return headers


def check_not_wrapped(name: str, path: Path):
    """Raise a ValueError if the tensor's name has the prefix of a wrapper, such as that of a compiled model."""
    for prefix, reason in WRAPPERS.items():
        if name.startswith(prefix):
            raise ValueError(f"{path}: the names begin with {prefix!r}: {reason}")


def open_weights(path: Path, device: torch.device | str = "cpu"):
    """Open a file of weights, for a `with` block."""
    try:
        return safe_open(path, framework="pt", device=str(device))
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a complete safetensors file ({str(error)!r}): copy or download it again"
        ) from None


def describe(headers: dict[str, TensorHeader], paths: list[Path]) -> str:
    """A table of the parts of a checkpoint, with its layout and its head."""
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
    """The table row to which a tensor belongs, by its name in this package."""
    if name == HEAD:
        return "head"
    part = name.partition(".")[0]
    return part if part in PARTS else "other"
