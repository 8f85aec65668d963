"""Options that several commands have."""

import argparse

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def add_model_options(parser: argparse.ArgumentParser, default: str):
    """Which model, where it runs, and in which dtype."""
    parser.add_argument(
        "--model", default=default, help="checkpoint directory, or a name on the hub (default: the Toybox)"
    )
    parser.add_argument("--revision", help="branch, tag or commit, on the hub")
    parser.add_argument("--token", help="for the hub (default: the one that you logged in with)")
    parser.add_argument("--device", help="such as cpu, cuda, mps (default: the best that this machine has)")
    parser.add_argument("--dtype", choices=DTYPES, help="of the weights in memory (default: as in the file)")
