"""Atomic writes: a file appears under its name only when it is complete, even if the program is stopped."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path; rename it to `path` on success, delete it on error."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str):
    """Write a text file atomically, in UTF-8."""
    with write_aside(path) as partial:
        partial.write_text(text, encoding="utf-8")


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]):
    """Write a safetensors file with the usual permissions of a new file.

    Raises:
        OSError: it cannot be written, as on a full disk.
    """
    path.touch()
    permissions = path.stat().st_mode
    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as error:  # for every error of the system
        raise OSError(f"{path} cannot be written ({error}): is the disk full?") from None
    path.chmod(permissions)  # safetensors creates a file that only its owner can read
