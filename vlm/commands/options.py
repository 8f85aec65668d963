"""Options that several commands have: which model, where, in which dtype."""

import argparse
from pathlib import Path

from vlm.checkpoints.devices import DTYPES, default_device
from vlm.fast.linear import LINEARS
from vlm.fast.paligemma import FastPaliGemma
from vlm.loader import load_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor

# The model that ships with the course lies beside this package, with the data set that it was trained on.
SHIPPED = Path(__file__).resolve().parents[2] / "toybox"
SHIPPED_MODEL, SHIPPED_MASK_DECODER = SHIPPED / "checkpoint", SHIPPED / "mask_vqvae" / "mask_vqvae.safetensors"


def add_model_options(parser: argparse.ArgumentParser):
    """Which model, where it runs, and in which dtype."""
    parser.add_argument(
        "--model",
        default=str(SHIPPED_MODEL),
        help="checkpoint directory, or a name on the hub (default: the Toybox model)",
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
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    return FastPaliGemma(model, options.fast) if options.fast else model, processor
