"""Measures the machine's memory-bandwidth limit: to generate one token, every weight must be read from memory once."""

import time
from pathlib import Path
from statistics import median

import torch
from torch import nn

from vlm.checkpoints.skeleton import empty_model
from vlm.fast.linear import PackedLinear, PlainLinear

SHAPE = (8192, 1024)  # the shape of the matrices that are timed
SECONDS = 1.5  # the time spent on each kind of layer


def bytes_per_token(directory: Path, bytes_per_weight: int) -> int:
    """The bytes of the language model's matrices, head included. Only one row of the embedding is read."""
    linears = [part for part in empty_model(directory).language_model.modules() if isinstance(part, nn.Linear)]
    return bytes_per_weight * sum(part.weight.numel() for part in linears)


@torch.inference_mode()
def measure_bandwidth(num_bytes: int, dtype: torch.dtype) -> float:
    """The bandwidth, in GB/s, of multiplying `num_bytes` of matrices by a vector, with the fastest of our layers.

    Together the matrices are as large as the model's, because data in the CPU's cache is read faster; a gigabyte is
    enough, because it fits in no cache.
    """
    num_bytes = min(num_bytes, 1_000_000_000)
    num_matrices = max(1, round(num_bytes / (SHAPE[0] * SHAPE[1] * dtype.itemsize)))
    vector, best = torch.randn(1, SHAPE[1]).to(dtype), 0.0
    for kind in (PlainLinear, PackedLinear):
        layers = [kind(torch.randn(SHAPE).to(dtype), num_rows=1) for _ in range(num_matrices)]
        times, stop = [], time.perf_counter() + SECONDS
        while time.perf_counter() < stop or len(times) < 4:
            start = time.perf_counter()
            for layer in layers:
                layer(vector)
            times.append(time.perf_counter() - start)
        size = num_matrices * SHAPE[0] * SHAPE[1] * dtype.itemsize
        best = max(best, size / median(times[1:]) / 1e9)
    return best
