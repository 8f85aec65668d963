"""The three models that are timed, and their inputs. Shapes: B batch, N image tokens."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from toybox import CHECKPOINT_DIRECTORY
from vlm.checkpoints.random_checkpoint import write_random_checkpoint
from vlm.config import GemmaConfig, PaliGemmaConfig, SiglipVisionConfig
from vlm.loader import save_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration

NUM_PROMPT_TOKENS = 12
RUNS = Path("runs")


@dataclass(frozen=True)
class Subject:
    """A model to time, its dtype, and the number of tokens to generate."""

    name: str
    dtype: torch.dtype
    new_tokens: int
    directory: Path


SUBJECTS = {
    "toybox": Subject("toybox", torch.float32, 64, CHECKPOINT_DIRECTORY),
    "middle": Subject("middle", torch.float32, 64, RUNS / "bench_middle"),
    "3b": Subject("3b", torch.bfloat16, 16, RUNS / "bench_3b"),
}


def middle_config() -> PaliGemmaConfig:
    """A model of medium size: large enough to be memory-bound, small enough to wait for."""
    vision_config = SiglipVisionConfig(
        hidden_size=384, intermediate_size=1536, num_hidden_layers=6, num_attention_heads=6, image_size=224
    )
    text_config = GemmaConfig(
        hidden_size=512,
        intermediate_size=2048,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=1,
        head_dim=64,
        vocab_size=32000,
    )
    return PaliGemmaConfig(vision_config, text_config, image_token_index=31999)


def prepare(subject: Subject):
    """Write the checkpoint if it does not exist. Its weights are random, which does not affect the times."""
    if (subject.directory / "config.json").is_file():
        return
    if subject.name == "3b":
        write_random_checkpoint("paligemma-3b-224", subject.directory, subject.dtype)
    else:
        torch.manual_seed(0)
        save_hf_model(PaliGemmaForConditionalGeneration(middle_config()), subject.directory)


def make_inputs(directory: Path, batch_size: int) -> dict[str, Tensor]:
    """A random image and a random prompt for each row; all prompts have the same length."""
    config, generator = PaliGemmaConfig.from_json(directory / "config.json"), torch.Generator().manual_seed(0)
    vision = config.vision_config
    image_tokens = torch.full((batch_size, vision.num_image_tokens), config.image_token_index)  # [B, N]
    prompt = torch.randint(5, 300, (batch_size, NUM_PROMPT_TOKENS), generator=generator)
    pixel_values = torch.randn(batch_size, 3, vision.image_size, vision.image_size, generator=generator)
    inputs = {"input_ids": torch.cat([image_tokens, prompt], dim=1), "pixel_values": pixel_values}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    # Everything is prefix. Without token types, transformers would use a causal mask.
    return inputs | {"token_type_ids": torch.zeros_like(inputs["input_ids"])}
