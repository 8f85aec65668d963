"""Where a model runs and in which dtype: what is there, and what to do when it is not.

Rules for the dtype of a PaliGemma. bfloat16 has float32's range, and is right nearly everywhere. float16 is for devices
without bfloat16: its largest number is 65504, which the activations of the large models can pass. float32 is right for
small models, and for comparing numbers.
"""

import shutil

import torch

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}  # by their names in config.json


def dtype_name(dtype: torch.dtype) -> str:
    """torch.bfloat16 -> "bfloat16"."""
    return str(dtype).removeprefix("torch.")


def default_device() -> torch.device:
    """The best that this machine has: cuda, else mps, else cpu."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def check_device(device: torch.device | str, dtype: torch.dtype | None = None):
    """Say what is wrong with a device, or with a dtype on it, before a file is read.

    Raises:
        ValueError: this machine has no such device, or the device cannot multiply numbers of this dtype.
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
    """Whether torch.compile can work here: on a CPU it writes C++, and needs someone to translate it.

    Its commands break at a space in the path of torch itself.
    """
    if torch.device(device).type != "cpu":
        return True
    return " " not in torch.__file__ and any(shutil.which(name) for name in ("c++", "g++", "clang++"))
