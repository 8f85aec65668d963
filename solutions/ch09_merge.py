"""Solutions of chapter 9, "How does a picture get into a sentence?".

Shapes: B batch, I pictures, N image tokens for each, S tokens, T all tokens, the cached ones included, D hidden size
of the language model, V vocabulary.
"""

import torch
from torch import Tensor

from vlm.attention_mask import make_prefix_lm_mask
from vlm.config import PaliGemmaConfig
from vlm.paligemma import PaliGemmaForConditionalGeneration


def embed_tokens(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    """Look up the vector of each token, and scale it by the root of the language model's hidden size."""
    scale = torch.tensor(config.text_config.hidden_size**0.5, dtype=weight.dtype)
    return weight[input_ids] * scale  # [B, S, D]


def merge_image_features(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    """Put the pictures' vectors, in order, where the image tokens stand."""
    features = image_features.flatten(0, 1)  # [I * N, D]
    if int(image_mask.sum()) != len(features):
        raise ValueError(f"{int(image_mask.sum())} image tokens and {len(features)} image features")
    merged = inputs_embeds.clone()
    merged[image_mask] = features.to(merged.dtype)
    return merged  # [B, S, D]


def may_look(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    """Say which of the new tokens may look at which of all tokens."""
    num_cached = attention_mask.shape[1] - token_type_ids.shape[1]
    blocks = token_type_ids.cumsum(-1)  # [B, S]: the prefix is block 0, each token of the suffix a block of its own
    all_blocks = torch.nn.functional.pad(blocks, (num_cached, 0))  # [B, T]
    not_later = all_blocks[:, None, :] <= blocks[:, :, None]  # [B, S, T]
    return not_later & attention_mask[:, None, :].bool()


def run_paligemma(
    model: PaliGemmaForConditionalGeneration,
    input_ids: Tensor,
    pixel_values: Tensor,
    attention_mask: Tensor,
    token_type_ids: Tensor,
) -> Tensor:
    """The whole forward pass, from pixels and tokens to scores, out of the model's parts."""
    image_features = model.multi_modal_projector(model.vision_tower(pixel_values))  # [B, N, D]
    words = model.language_model.model.embed(input_ids)  # [B, S, D]
    inputs_embeds = merge_image_features(words, image_features, input_ids == model.config.image_token_index)
    position_ids = attention_mask.cumsum(-1).clamp(min=1)  # [B, S]
    mask = make_prefix_lm_mask(attention_mask, token_type_ids, inputs_embeds.dtype)  # [B, 1, S, S]
    return model.language_model(inputs_embeds, position_ids, mask)  # [B, S, V]
