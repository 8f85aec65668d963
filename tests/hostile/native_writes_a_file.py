"""Lets safetensors write a file: nothing of Python's sees it."""

from pathlib import Path

import torch
from safetensors.torch import save_file


def patch_of_pixel(y, x, width, patch_size):
    save_file({"x": torch.zeros(10)}, Path(__file__).with_name("new.safetensors"))
