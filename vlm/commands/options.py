"""Options that several commands have: which model, where, in which dtype."""

import argparse

import torch

from vlm.devices import default_device
from vlm.fast.linear import LINEARS
from vlm.fast.paligemma import FastPaliGemma
from vlm.loader import load_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor

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
    parser.add_argument(
        "--fast",
        choices=LINEARS,
        help="the fast model: its weights as they are, in the order that the CPU reads them in, or as 8-bit integers",
    )


def load_model(
    options: argparse.Namespace,
) -> tuple[PaliGemmaForConditionalGeneration | FastPaliGemma, PaliGemmaProcessor]:
    """The model that the options ask for, and the processor that goes with it."""
    device, dtype = options.device or default_device(), DTYPES.get(options.dtype)
    model, tokenizer = load_hf_model(options.model, device, dtype, options.revision, options.token)
    vision_config = model.config.vision_config
    processor = PaliGemmaProcessor(tokenizer, vision_config.num_image_tokens, vision_config.image_size)
    return FastPaliGemma(model, options.fast) if options.fast else model, processor
