"""Write a checkpoint of a published size with random weights.

    python -m vlm.checkpoints.random_checkpoint paligemma-3b-224 DIR

Its answers are nonsense, but it has the size and speed of the real model, and needs no license.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from vlm.checkpoints.atomic_write import write_text
from vlm.checkpoints.headers import TensorHeader
from vlm.checkpoints.layouts import HEAD
from vlm.checkpoints.published import NAMES, published_config
from vlm.checkpoints.shards import write_shards
from vlm.paligemma import PaliGemmaForConditionalGeneration

MAX_SHARD_BYTES = 2_200_000_000  # three shards for the 3B in bfloat16


def write_random_checkpoint(name: str, directory: Path, dtype: torch.dtype = torch.bfloat16, seed: int = 0):
    """Write config.json and shards in the published layout. Matrices are scaled to preserve the size of activations."""
    config = published_config(name)
    with torch.device("meta"):
        parameters = dict(PaliGemmaForConditionalGeneration(config).state_dict())
    del parameters[HEAD]
    headers = {key: TensorHeader(key, tuple(parameter.shape), dtype) for key, parameter in parameters.items()}
    generator = torch.Generator().manual_seed(seed)

    def make(key: str) -> Tensor:
        shape = headers[key].shape
        if len(shape) == 1:
            is_layer_norm = key.startswith("vision_tower") and key.endswith("weight")  # Gemma's norms multiply by 1 + w
            return torch.full(shape, float(is_layer_norm), dtype=dtype)
        scale = parameters[key][0].numel() ** -0.5
        return torch.empty(shape, dtype=dtype).normal_(0, scale, generator=generator)

    directory.mkdir(parents=True, exist_ok=True)
    write_shards(directory, headers, make, MAX_SHARD_BYTES)
    values = config.to_dict() | {"dtype": str(dtype).removeprefix("torch.")}
    write_text(directory / "config.json", json.dumps(values, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=NAMES, metavar="name", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    write_random_checkpoint(options.name, options.directory)


if __name__ == "__main__":
    main()
