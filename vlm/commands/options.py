"""Options shared by several commands: the model, its device and its dtype."""

import argparse
import os
from pathlib import Path
from tempfile import TemporaryFile

from vlm.checkpoints.devices import DTYPES, default_device
from vlm.fast.linear import LINEARS
from vlm.fast.paligemma import FastPaliGemma
from vlm.loader import load_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.training.lora import CONFIG_FILE, load_lora, merge_lora

# The model that ships with the course is in the package `toybox`, next to this one.
SHIPPED = Path(__file__).resolve().parents[2] / "toybox"
SHIPPED_MODEL, SHIPPED_MASK_DECODER = SHIPPED / "checkpoint", SHIPPED / "mask_vqvae" / "mask_vqvae.safetensors"


def add_model_options(parser: argparse.ArgumentParser):
    """Add the options for the model, its device and its dtype."""
    parser.add_argument(
        "--model",
        default=str(SHIPPED_MODEL),
        help="checkpoint directory, or a name on the hub (default: the Toybox model)",
    )
    parser.add_argument("--revision", help="branch, tag or commit, on the hub")
    parser.add_argument("--token", help="for the hub (default: the one you logged in with)")
    parser.add_argument("--adapter", type=Path, help="directory with a LoRA adapter for this model")
    parser.add_argument("--device", help="such as cpu, cuda, mps (default: the fastest available)")
    parser.add_argument("--dtype", choices=DTYPES, help="of the weights in memory (default: as in the file)")
    parser.add_argument(
        "--fast",
        choices=LINEARS,
        help="fast model: weights as in the file (plain), reordered for the CPU (packed) or as 8-bit integers (int8)",
    )


def load_model(
    options: argparse.Namespace,
) -> tuple[PaliGemmaForConditionalGeneration | FastPaliGemma, PaliGemmaProcessor]:
    """The model that the options select, and its processor."""
    if options.adapter and not (options.adapter / CONFIG_FILE).is_file():  # before the model is loaded or downloaded
        raise FileNotFoundError(f"--adapter {options.adapter} is not an adapter directory: it has no {CONFIG_FILE}")
    device, dtype = options.device or default_device(), DTYPES.get(options.dtype)
    model, tokenizer = load_hf_model(options.model, device, dtype, options.revision, options.token)
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    if options.adapter:
        load_lora(model, options.adapter)
        if options.fast:
            merge_lora(model)
    return FastPaliGemma(model, options.fast) if options.fast else model, processor


def check_output(file: Path):
    """Raise an OSError if this file cannot be written, before the work begins."""
    if not file.parent.is_dir():
        raise FileNotFoundError(f"{file} cannot be written: {file.parent} is not a directory")
    if file.exists() and not (file.is_file() and os.access(file, os.W_OK)):
        raise OSError(f"{file} cannot be written: it is not a file, or read-only")
    try:
        with TemporaryFile(dir=file.parent) as probe:
            probe.write(b"0")
    except OSError as error:  # a read-only directory, a full disk
        raise OSError(f"{file} cannot be written: {error.strerror}") from None
