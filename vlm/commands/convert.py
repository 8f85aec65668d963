"""Rewrite a checkpoint in another dtype or layout."""

import argparse
from pathlib import Path

from vlm.checkpoints.convert import convert
from vlm.checkpoints.devices import DTYPES
from vlm.checkpoints.hub import find_checkpoint
from vlm.checkpoints.layouts import LAYOUTS
from vlm.checkpoints.shards import MAX_SHARD_BYTES

EXAMPLES = (
    "layouts:\n"
    + "".join(f"  {letter}  {layout.written_by}\n" for letter, layout in LAYOUTS.items())
    + """
examples:
  vlm convert paligemma-3b-float32 paligemma-3b-bfloat16 --dtype bfloat16
  vlm convert my-fine-tune published --layout A
"""
)


def add_options(parser: argparse.ArgumentParser):
    parser.add_argument("source", help="checkpoint directory, or a name on the hub")
    parser.add_argument("--revision", help="branch, tag or commit, on the hub")
    parser.add_argument("--token", help="for the hub (default: the one you logged in with)")
    parser.add_argument("target", type=Path, help="a directory that does not exist yet, or is empty")
    parser.add_argument("--dtype", choices=DTYPES, help="of the new weights (default: unchanged)")
    parser.add_argument("--layout", choices=LAYOUTS, default="A", help="naming scheme of the new tensors (default: A)")
    parser.add_argument(
        "--max-shard-gigabytes",
        type=float,
        default=MAX_SHARD_BYTES / 1e9,
        help="size limit of one file (default: %(default)g)",
    )


def run(options: argparse.Namespace) -> int:
    if not options.max_shard_gigabytes > 0:
        raise ValueError(f"--max-shard-gigabytes is {options.max_shard_gigabytes}: expected more than 0")
    max_shard_bytes = int(options.max_shard_gigabytes * 1e9)
    source = find_checkpoint(options.source, options.revision, options.token)
    convert(source, options.target, DTYPES.get(options.dtype), options.layout, max_shard_bytes)
    print(f"written to {options.target}; `vlm inspect {options.target}` shows its contents")
    return 0
