"""Devices and dtypes: which are available, and clear errors for those that are not.

Which dtype to use for a PaliGemma: bfloat16 has the range of float32 and is nearly always the right choice. float16 is
for devices without bfloat16; its largest number is 65504, which activations of the large models can exceed. float32 is
for small models, and for comparing numbers.
"""

import shutil

import torch

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}  # the names in config.json


def dtype_name(dtype: torch.dtype) -> str:
    """torch.bfloat16 -> "bfloat16"."""
    return str(dtype).removeprefix("torch.")


def default_device() -> torch.device:
    """The fastest device on this machine: cuda, else mps, else cpu."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def check_device(device: torch.device | str, dtype: torch.dtype | None = None):
    """Check that a device and a dtype can be used, before any file is read.

    Raises:
        ValueError: the device is not available, or cannot multiply in this dtype.
    """
    try:
        one = torch.ones(1, 1, device=device)
        if one.is_meta:
            raise RuntimeError("it stores no data")
        if str(device).startswith("cpu:"):
            raise RuntimeError("CPUs are not numbered")
    except (RuntimeError, AssertionError, ImportError) as error:  # each backend of torch raises its own
        reason = str(error).splitlines()[0].partition(". ")[0]  # the first sentence of torch's paragraph
        raise ValueError(
            f"device {str(device)!r} cannot be used here, try {str(default_device())!r}: {reason}"
        ) from None
    try:
        one.to(dtype) @ one.to(dtype)
    except (RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {str(device)!r} cannot compute in {dtype}, try float32: {reason}") from None


def has_compiler(device: torch.device | str) -> bool:
    """Whether torch.compile can work on this device: for a CPU it generates C++ and needs a C++ compiler.

    The compiler commands fail if the path of torch contains a space.
    """
    if torch.device(device).type != "cpu":
        return True
    return " " not in torch.__file__ and any(shutil.which(name) for name in ("c++", "g++", "clang++"))
