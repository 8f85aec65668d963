"""Checkpoints for tests that need a complete model but no training."""

import dataclasses
import shutil
from pathlib import Path

import torch
from transformers import AutoTokenizer

from toybox import CHECKPOINT_DIRECTORY
from toybox.recipe import toybox_config
from toybox.train import TOKENIZER_FILES, initialize
from vlm.config import Gemma2Config
from vlm.loader import save_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration


def save_random_checkpoint(directory: Path, generation: int = 1) -> Path:
    """A checkpoint like the Toybox's (or a PaliGemma 2 of that size), with one layer in each tower, untrained."""
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT_DIRECTORY)
    config = toybox_config(len(tokenizer), tokenizer.convert_tokens_to_ids("<image>"))
    vision_config = dataclasses.replace(config.vision_config, num_hidden_layers=1)
    text_config = dataclasses.replace(config.text_config, num_hidden_layers=1)
    if generation == 2:
        text_config = Gemma2Config(**vars(text_config), query_pre_attn_scalar=20, sliding_window=30)
    torch.manual_seed(0)
    config = dataclasses.replace(config, vision_config=vision_config, text_config=text_config)
    model = PaliGemmaForConditionalGeneration(config)
    initialize(model)
    with torch.no_grad():  # else the last token's embedding dominates, and it is repeated
        model.language_model.model.layers[0].mlp.down_proj.weight.mul_(30)
    save_hf_model(model, directory)
    for name in TOKENIZER_FILES:
        shutil.copyfile(CHECKPOINT_DIRECTORY / name, directory / name)
    return directory
