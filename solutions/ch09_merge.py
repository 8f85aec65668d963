"""Solutions of chapter 9, "Image tokens and the prefix-LM mask".

Shapes: B batch, I images, N image tokens per image, S new tokens, T all tokens (cached and
new), D hidden size of the language model, V vocabulary size.
"""

import torch
from torch import Tensor

from vlm.attention_mask import make_prefix_lm_mask
from vlm.config import PaliGemmaConfig
from vlm.paligemma import PaliGemmaForConditionalGeneration


def embed_tokens(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    """Look up the embedding of each token, and scale it by sqrt(D), D the text hidden size."""
    scale = torch.tensor(config.text_config.hidden_size**0.5, dtype=weight.dtype)
    return weight[input_ids] * scale  # [B, S, D]


def merge_image_features(
    inputs_embeds: Tensor,
    image_features: Tensor,
    image_mask: Tensor,
) -> Tensor:
    """Replace the embeddings of the image tokens by the image features, in order."""
    features = image_features.flatten(0, 1)  # [I * N, D]
    num_image_tokens = int(image_mask.sum())
    if num_image_tokens != len(features):
        raise ValueError(f"{num_image_tokens} image tokens, but {len(features)} image features")
    merged = inputs_embeds.clone()
    merged[image_mask] = features.to(merged.dtype)
    return merged  # [B, S, D]


def may_attend(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    """Build the prefix-LM mask: which of the new tokens may attend to which of all tokens."""
    num_cached = attention_mask.shape[1] - token_type_ids.shape[1]
    # The prefix is block 0, and each token of the suffix is its own block: 1, 2, ...
    blocks = token_type_ids.cumsum(-1)  # [B, S]
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
    """Run the whole forward pass from pixels and token ids to logits, part by part."""
    image_features = model.multi_modal_projector(model.vision_tower(pixel_values))  # [B, N, D]
    text_embeds = model.language_model.model.embed(input_ids)  # [B, S, D]
    image_mask = input_ids == model.config.image_token_index  # [B, S]
    inputs_embeds = merge_image_features(text_embeds, image_features, image_mask)  # [B, S, D]
    position_ids = attention_mask.cumsum(-1).clamp(min=1)  # [B, S]
    # [B, 1, S, S]
    mask = make_prefix_lm_mask(attention_mask, token_type_ids, inputs_embeds.dtype)
    return model.language_model(inputs_embeds, position_ids, mask)  # [B, S, V]
