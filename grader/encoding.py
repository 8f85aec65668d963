"""Encodes values as bytes and decodes them, without pickle: the process that reads answers must not trust them."""

import contextlib
import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

MAX_BYTES = 256 * 1024 * 1024
_MAX_TEXT_BYTES = 16 * 1024 * 1024  # parsed JSON can be a hundred times as large as its text
MAX_MESSAGE_BYTES = MAX_BYTES + 2 * _MAX_TEXT_BYTES
_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Meta:
    """Represents a tensor on the meta device: it has a shape and a dtype, but no data."""

    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Raised:
    """Represents an exception, for exercises where raising one may be the right answer."""

    error: str
    says: str


def encode(value: Any) -> bytes:
    """Encode numbers, strings, None, tensors, and lists, tuples and dicts of these.

    Raises:
        TypeError: the value contains something else.
        ValueError: the value is larger than 256 MB, or than 16 MB without its tensors.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_to_json(value, tensors)).encode()
    if len(text) > _MAX_TEXT_BYTES:
        raise ValueError("the returned value is larger than 16 MB, without its tensors")
    if sum(tensor.nbytes for tensor in tensors.values()) > MAX_BYTES:
        raise ValueError("the returned value is larger than 256 MB")
    return struct.pack("<Q", len(text)) + text + save(tensors)


def encodable_part(case: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a case that can be encoded. A config cannot, but it is never modified."""
    part = {}
    for name, value in case.items():
        with contextlib.suppress(TypeError):
            encode(value)
            part[name] = value
    return part


def decode(data: bytes) -> Any:
    """The inverse of `encode`.

    Raises:
        ValueError: the bytes were not made by `encode`.
    """
    try:
        (length,) = struct.unpack("<Q", data[:8])
        (header,) = struct.unpack("<Q", data[8 + length : 16 + length])  # the first field of safetensors
        if max(length, header) > _MAX_TEXT_BYTES:
            raise ValueError("too much text")
        return _from_json(json.loads(data[8 : 8 + length]), load(data[8 + length :]))
    except Exception as error:  # it does not matter what is wrong
        raise ValueError(f"these are not encoded values: {error}") from None


def _to_json(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Meta) or (isinstance(value, Tensor) and value.is_meta):
        return {"meta": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, Raised):
        return {"raised": value.error, "says": value.says}
    if isinstance(value, Tensor):
        tensors[str(len(tensors))] = value.detach().cpu().clone().contiguous()
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(value, np.generic):  # a NumPy scalar is a number
        return _to_json(value.item(), tensors)
    if isinstance(value, float) and not isinstance(value, bool):
        return {"float": repr(float(value))}  # JSON has no nan
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, tuple):
        return {"tuple": [_to_json(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_to_json(item, tensors) for item in value]
    if isinstance(value, dict):
        return {"dict": [[_to_json(key, tensors), _to_json(item, tensors)] for key, item in value.items()]}
    kind = type(value).__name__
    raise TypeError(f"a {kind} was returned: expected tensors, numbers, strings, or lists, tuples and dicts of these")


def _from_json(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_from_json(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "meta" in value:
        dtype = getattr(torch, value["dtype"])
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"{value['dtype']} is not a dtype")
        return Meta(tuple(value["meta"]), dtype)
    if "raised" in value:
        return Raised(value["raised"], value["says"])
    [(kind, content)] = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "float":
        return float(content)
    if kind == "tuple":
        return tuple(_from_json(item, tensors) for item in content)
    return {_from_json(key, tensors): _from_json(item, tensors) for key, item in content}
