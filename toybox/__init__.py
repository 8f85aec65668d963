"""The Toybox: a small synthetic world, on which a PaliGemma with 2.5 million parameters is trained on a CPU."""

from pathlib import Path

import vlm.commands.ctrl_c  # noqa: F401 (before torch, so that Ctrl-C ends a program that is still importing it)

CHECKPOINT_DIRECTORY = Path(__file__).parent / "checkpoint"  # the shipped weights and tokenizer
MASK_VQVAE_FILE = Path(__file__).parent / "mask_vqvae" / "mask_vqvae.safetensors"  # between masks and mask codes
