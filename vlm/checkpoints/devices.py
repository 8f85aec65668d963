"""The device on which a model runs, and its dtype: which are available, and clear errors for those that are not.

Which dtype to take for a PaliGemma: bfloat16 has the range of float32 and is right nearly everywhere. float16 is for
devices without bfloat16; its largest number is 65504, which activations of the large models can exceed. float32 is for
small models, and for comparing numbers.
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
    """The fastest device of this machine: cuda, else mps, else cpu."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def check_device(device: torch.device | str, dtype: torch.dtype | None = None):
    """Check that a device can be used, and a dtype on it, before a file is read.

    Raises:
        ValueError: the device is not available, or cannot multiply numbers of this dtype.
    """
    try:
        one = torch.ones(1, 1, device=device)
        if one.is_meta:
            raise RuntimeError("it holds no numbers")
        if str(device).startswith("cpu:"):
            raise RuntimeError("a CPU has no number")
    except (RuntimeError, AssertionError, ImportError) as error:  # whatever a device's part of torch raises
        reason = str(error).splitlines()[0].partition(". ")[0]  # of torch's paragraph the first sentence
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

    Its commands fail if the path of torch contains a space.
    """
    if torch.device(device).type != "cpu":
        return True
    return " " not in torch.__file__ and any(shutil.which(name) for name in ("c++", "g++", "clang++"))
