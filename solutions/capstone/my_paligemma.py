"""Solution of the capstone of Part II.

Shapes: B rows, C channels, H W height and width, N image tokens, S tokens, D hidden size, V vocabulary.
"""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from PIL import Image
from torch import Tensor, nn

from vlm.config import PaliGemmaConfig

Weights = dict[str, Tensor]
MAX_TEXT_TOKENS = 128
TOWER, LANGUAGE = "vision_tower.vision_model.", "language_model.model."


def below(weights: Weights, prefix: str) -> Weights:
    """The weights whose names start with `prefix`, under their names without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def filled(module: nn.Module, weights: Weights, prefix: str) -> nn.Module:
    """The module, with its weights loaded."""
    module.load_state_dict(below(weights, prefix))
    return module


def read_weights(parts: SimpleNamespace, data: bytes) -> Weights:
    """Stage 1, loading: turn the bytes of a safetensors file, in any of the five layouts, into named tensors."""
    tensors = parts.ch13_loading.read_safetensors(data)
    named = {parts.ch13_loading.canonical_name(name): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in named.items() if name is not None}


def prepare(
    parts: SimpleNamespace,
    encode: Callable[[str], list[int]],
    special: dict[str, int],
    config: PaliGemmaConfig,
    prompts: list[str],
    images: list[Image.Image],
) -> dict[str, Tensor]:
    """Stage 2, the processor: turn prompts and images into tensors."""
    vision = config.vision_config
    rows = [
        parts.ch05_processor.encode_prefix(prompt, encode, special, vision.num_image_tokens, MAX_TEXT_TOKENS)
        for prompt in prompts
    ]
    input_ids, attention_mask = parts.ch12_batches.pad_left(rows, special["pad"])  # [B, S]
    pixel_values = [parts.ch05_processor.to_pixel_values(image, vision.image_size) for image in images]
    return {"input_ids": input_ids, "attention_mask": attention_mask, "pixel_values": torch.stack(pixel_values)}


def look(parts: SimpleNamespace, config: PaliGemmaConfig, weights: Weights, pixel_values: Tensor) -> list[Tensor]:
    """Stage 3, the vision tower and the projector: turn pixels into image features, and keep every step."""
    vision, embeddings = config.vision_config, below(weights, TOWER + "embeddings.")
    patches = parts.ch02_patches.embed_patches(
        pixel_values, embeddings["patch_embedding.weight"], embeddings["patch_embedding.bias"]
    )  # [B, N, D]
    states = [patches + embeddings["position_embedding.weight"]]
    for index in range(vision.num_hidden_layers):
        block = filled(parts.ch03_attention.SiglipEncoderLayer(vision), weights, f"{TOWER}encoder.layers.{index}.")
        states.append(block(states[-1]))
    norm = filled(nn.LayerNorm(vision.hidden_size, eps=vision.layer_norm_eps), weights, TOWER + "post_layernorm.")
    states.append(norm(states[-1]))
    linear = nn.Linear(vision.hidden_size, config.text_config.hidden_size)
    return [*states, filled(linear, weights, "multi_modal_projector.linear.")(states[-1])]


def enter(
    parts: SimpleNamespace, config: PaliGemmaConfig, weights: Weights, input_ids: Tensor, image_features: Tensor
) -> Tensor:
    """Stage 4, the merge: look up the token embeddings, and put the image features at the image tokens."""
    words = parts.ch09_merge.embed_tokens(input_ids, weights[LANGUAGE + "embed_tokens.weight"], config)  # [B, S, D]
    return parts.ch09_merge.merge_image_features(words, image_features, input_ids == config.image_token_index)


def think(
    parts: SimpleNamespace,
    config: PaliGemmaConfig,
    weights: Weights,
    inputs_embeds: Tensor,
    attention_mask: Tensor,
    token_type_ids: Tensor,
) -> list[Tensor]:
    """Stage 5, the language model: run all layers up to the logits, and keep every step."""
    text = config.text_config
    positions = parts.ch12_batches.count_positions(attention_mask, attention_mask.shape[1])  # [B, S]
    cos, sin = parts.ch07_rope.rotary_cos_sin(positions, text.head_dim, text.rope_theta, inputs_embeds.dtype)
    visible = parts.ch09_merge.may_attend(attention_mask, token_type_ids)[:, None]  # [B, 1, S, S]
    mask = parts.ch08_gqa.additive_mask(visible, inputs_embeds.dtype)

    def norm(name: str) -> nn.Module:
        return filled(parts.ch06_norms_mlp.GemmaRMSNorm(text.hidden_size, text.rms_norm_eps), weights, name)

    hidden_states, kept = inputs_embeds, []
    for index in range(text.num_hidden_layers):
        layer = f"{LANGUAGE}layers.{index}."
        self_attn = filled(parts.ch08_gqa.GemmaAttention(text), weights, layer + "self_attn.")
        mlp = filled(parts.ch06_norms_mlp.GemmaMLP(text), weights, layer + "mlp.")
        normed = norm(layer + "input_layernorm.")(hidden_states)  # [B, S, D]
        hidden_states = hidden_states + self_attn(normed, cos, sin, mask)[0]
        hidden_states = hidden_states + mlp(norm(layer + "post_attention_layernorm.")(hidden_states))
        kept.append(hidden_states)
    last = norm(LANGUAGE + "norm.")(hidden_states)  # [B, S, D]
    return [*kept, last, last @ weights[LANGUAGE + "embed_tokens.weight"].T]  # logits: [B, S, V]


def answer(
    parts: SimpleNamespace,
    encode: Callable[[str], list[int]],
    special: dict[str, int],
    config: PaliGemmaConfig,
    weights: Weights,
    prompt: str,
    image: Image.Image,
    max_new_tokens: int,
) -> list[int]:
    """Stage 6, everything together: turn a prompt and an image into an answer."""
    batch = prepare(parts, encode, special, config, [prompt], [image])
    image_features = look(parts, config, weights, batch["pixel_values"])[-1]  # [1, N, D]
    prompt_ids = batch["input_ids"][0].tolist()

    def next_logits(ids: list[int]) -> Tensor:
        input_ids = torch.tensor([ids])  # [1, S]
        token_type_ids = (torch.arange(len(ids)) >= len(prompt_ids)).long()[None]
        inputs_embeds = enter(parts, config, weights, input_ids, image_features)
        return think(parts, config, weights, inputs_embeds, torch.ones_like(input_ids), token_type_ids)[-1][0, -1]

    return parts.ch10_sampling.generate_greedy(next_logits, prompt_ids, max_new_tokens, special["eos"])
