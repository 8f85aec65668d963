"""The Toybox: a small made-up world on which a PaliGemma of two and a half million parameters is trained on a CPU."""

from pathlib import Path

import vlm.commands.ctrl_c  # noqa: F401 (before torch, so that Ctrl-C ends a program that is still importing it)

CHECKPOINT_DIRECTORY = Path(__file__).parent / "checkpoint"  # the weights and the tokenizer that ship
MASK_VQVAE_FILE = Path(__file__).parent / "mask_vqvae" / "mask_vqvae.safetensors"  # what turns mask codes into masks
