"""Small random PaliGemmas made by transformers, the reference, and the same weights in this package's model."""

import inspect

import torch

from vlm.checkpoints.layouts import canonical_name
from vlm.config import PaliGemmaConfig
from vlm.paligemma import PaliGemmaForConditionalGeneration

PAD, IMAGE_TOKEN = 0, 95
NUM_IMAGE_TOKENS = 4
VOCAB_SIZE = 128
# What PaliGemma 2 adds: a window shorter than the image, caps low enough to matter, a scale that is not head_dim's.
GEMMA2 = {
    "model_type": "gemma2",
    "query_pre_attn_scalar": 7,
    "attn_logit_softcapping": 2.0,
    "final_logit_softcapping": 3.0,
    "sliding_window": 3,
}


def tiny_config(num_key_value_heads: int = 2, generation: int = 1) -> dict:
    """The values of a config.json: widths all differ, so that a mix-up shows."""
    values = {
        "model_type": "paligemma",
        "image_token_index": IMAGE_TOKEN,
        "pad_token_id": PAD,
        "eos_token_id": 1,
        "bos_token_id": 2,
        "projection_dim": 32,
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 24,
            "intermediate_size": 40,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "image_size": 28,
            "patch_size": 14,
            "projection_dim": 32,
            "vision_use_head": False,
        },
        "text_config": {
            "model_type": "gemma",
            "hidden_size": 32,
            "intermediate_size": 56,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": num_key_value_heads,
            "head_dim": 10,
            "vocab_size": VOCAB_SIZE,
            "num_image_tokens": NUM_IMAGE_TOKENS,
        },
    }
    if generation == 2:
        values["text_config"] |= GEMMA2
    return values


def randomize(model: torch.nn.Module, seed: int = 0):
    """Make every parameter random, norm weights and biases too: ones and zeros would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
            else:
                is_layer_norm = "layer_norm" in name or "post_layernorm" in name
                parameter.copy_(0.3 * noise + (1 if is_layer_norm and name.endswith("weight") else 0))


def make_reference(num_key_value_heads: int = 2, generation: int = 1, seed: int = 0):
    """transformers' PaliGemma."""
    from transformers import PaliGemmaConfig as ReferenceConfig
    from transformers import PaliGemmaForConditionalGeneration as ReferenceModel

    model = ReferenceModel(ReferenceConfig(**tiny_config(num_key_value_heads, generation))).eval()
    randomize(model, seed)
    return model


def cache_argument(reference) -> str:
    """The name of the argument that takes a cache: transformers calls it `cache` from version 5.24 on."""
    return "cache" if "cache" in inspect.signature(reference.forward).parameters else "past_key_values"


def make_twin(reference, num_key_value_heads: int = 2, generation: int = 1) -> PaliGemmaForConditionalGeneration:
    """This package's model with the reference's weights."""
    config = PaliGemmaConfig.from_dict(tiny_config(num_key_value_heads, generation))
    model = PaliGemmaForConditionalGeneration(config).eval()
    model.load_state_dict({canonical_name(name): tensor for name, tensor in reference.state_dict().items()})
    return model


def make_inputs(lengths: list[int], num_suffix: int = 0, seed: int = 0) -> dict[str, torch.Tensor]:
    """A left-padded batch: image tokens, then `lengths[row]` random tokens, the last of which are the suffix."""
    generator = torch.Generator().manual_seed(seed)
    total = NUM_IMAGE_TOKENS + max(lengths)
    input_ids = torch.randint(3, 90, (len(lengths), total), generator=generator)
    attention_mask = torch.ones_like(input_ids)
    for row, length in enumerate(lengths):
        start = max(lengths) - length
        attention_mask[row, :start] = 0
        input_ids[row, :start] = PAD
        input_ids[row, start : start + NUM_IMAGE_TOKENS] = IMAGE_TOKEN
    token_type_ids = torch.zeros_like(input_ids)
    token_type_ids[:, total - num_suffix :] = 1
    pixel_values = torch.randn(len(lengths), 3, 28, 28, generator=generator)
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "token_type_ids": token_type_ids,
        "pixel_values": pixel_values,
    }
