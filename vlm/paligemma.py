"""PaliGemma: a SigLIP vision tower, a linear projector, and Gemma as the language model.

Shapes: B batch, I images, N image tokens for each, S new tokens, T all tokens so far, D hidden size, V vocabulary.

Sources: "PaliGemma: A versatile 3B VLM for transfer" (arXiv 2407.07726), section 3; "PaliGemma 2: A Family of Versatile
VLMs for Transfer" (arXiv 2412.03555), section 3, which replaces Gemma with Gemma 2.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vlm.attention_mask import make_position_ids, make_prefix_lm_mask
from vlm.config import Gemma2Config, PaliGemmaConfig
from vlm.gemma import GemmaForCausalLM
from vlm.gemma2 import Gemma2ForCausalLM
from vlm.kv_cache import KVCache
from vlm.siglip import SiglipVisionModel

IGNORE_INDEX = -100  # labels with this value do not count in the loss


@dataclass
class PaliGemmaOutput:
    """Logits [B, S, V] (or of the last positions only, if requested) and, if labels were given, the loss."""

    logits: Tensor
    loss: Tensor | None = None


class PaliGemmaMultiModalProjector(nn.Module):
    """One linear layer that maps image features from the tower's width to Gemma's."""

    def __init__(self, config: PaliGemmaConfig):
        super().__init__()
        self.linear = nn.Linear(config.vision_config.hidden_size, config.text_config.hidden_size)

    def forward(self, image_features: Tensor) -> Tensor:
        return self.linear(image_features)  # [I, N, D]


class PaliGemmaForConditionalGeneration(nn.Module):
    """The whole model. Its submodules are named as in the published checkpoints."""

    def __init__(self, config: PaliGemmaConfig):
        super().__init__()
        self.config = config
        self.vision_tower = SiglipVisionModel(config.vision_config)
        self.multi_modal_projector = PaliGemmaMultiModalProjector(config)
        language_model_class = Gemma2ForCausalLM if isinstance(config.text_config, Gemma2Config) else GemmaForCausalLM
        self.language_model = language_model_class(config.text_config)

    @property
    def device(self) -> torch.device:
        return self.language_model.lm_head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.language_model.lm_head.weight.dtype

    def tie_weights(self):
        """Tie the head to the embedding matrix, as in every published PaliGemma."""
        self.language_model.tie_weights()

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Images [I, C, H, W] -> features [I, N, D], not scaled by sqrt(D)."""
        return self.multi_modal_projector(self.vision_tower(pixel_values))

    def embed_inputs(self, input_ids: Tensor, image_features: Tensor | None) -> Tensor:
        """Token embeddings [B, S, D], with the image features at the image tokens."""
        inputs_embeds = self.language_model.model.embed(input_ids)
        if image_features is None:
            return inputs_embeds
        image_mask = input_ids == self.config.image_token_index
        if not image_mask.any():
            raise ValueError(
                f"images were given, but no image token is among the {input_ids.shape[1]} input_ids of each row: "
                "pixel_values belong to the first pass, which processes the prompt; pass None in later passes"
            )
        return merge_image_features(inputs_embeds, image_features, image_mask)

    def forward(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        kv_cache: KVCache | None = None,
        logits_to_keep: int = 0,
        image_features: Tensor | None = None,
    ) -> PaliGemmaOutput:
        """Predict the token after each position.

        Args:
            input_ids: [B, S], the tokens that are not cached yet; each image is a run
                of image tokens.
            pixel_values: [I, C, H, W], in the order of their image tokens; None once
                the images are cached.
            attention_mask: [B, T], 1 for real tokens, 0 for padding; it covers cached
                and new tokens. None: no padding.
            token_type_ids: [B, S], 0 for prefix, 1 for suffix. None: all prefix if
                nothing is cached, else all suffix.
            position_ids: [B, S]. None: real tokens are counted from 1.
            labels: [B, S], the input ids, with -100 where no loss is wanted. Don't
                shift them: the loss does.
            kv_cache: read, and extended by the new tokens.
            logits_to_keep: compute logits for this many last positions only; 0 for all.
            image_features: [I, N, D] from `get_image_features`, instead of
                pixel_values, so that several prompts about one image share one pass of
                the tower.

        Raises:
            ValueError: the numbers of image tokens and image features differ, or the
                mask has the wrong shape.
        """
        num_cached = kv_cache.length if kv_cache is not None else 0
        batch_size, num_new = input_ids.shape
        if attention_mask is None:
            attention_mask = torch.ones(batch_size, num_cached + num_new, dtype=torch.long, device=input_ids.device)
        if attention_mask.shape != (batch_size, num_cached + num_new):
            raise ValueError(
                f"attention_mask has shape {list(attention_mask.shape)}: expected "
                f"[{batch_size}, {num_cached + num_new}], for {num_cached} cached and {num_new} new tokens"
            )
        if token_type_ids is None:
            token_type_ids = torch.full_like(input_ids, 1 if num_cached else 0)
        if position_ids is None:
            position_ids = make_position_ids(attention_mask, num_new)

        if pixel_values is not None:
            image_features = self.get_image_features(pixel_values)
        elif image_features is None and not num_cached and (input_ids == self.config.image_token_index).any():
            raise ValueError("the text has image tokens, but there is no image: pass pixel_values or image_features")
        inputs_embeds = self.embed_inputs(input_ids, image_features)  # [B, S, D]
        mask = make_prefix_lm_mask(attention_mask, token_type_ids, inputs_embeds.dtype)  # [B, 1, S, T]
        mask = self.language_model.make_layer_masks(mask, token_type_ids)
        logits = self.language_model(inputs_embeds, position_ids, mask, kv_cache, logits_to_keep)  # [B, S, V]
        return PaliGemmaOutput(logits, None if labels is None else next_token_loss(logits, labels))


def merge_image_features(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    """Write the image features, in order, to the positions of the image tokens.

    Args:
        inputs_embeds: [B, S, D].
        image_features: [I, N, D].
        image_mask: [B, S], True at the image tokens.

    Raises:
        ValueError: more or fewer image tokens than image features.
    """
    num_tokens, num_features = int(image_mask.sum()), image_features.shape[:2].numel()
    if num_tokens != num_features:
        raise ValueError(
            f"the text has {num_tokens} image tokens and the images give {num_features} features: "
            "each image needs exactly its own run of image tokens, as PaliGemmaProcessor writes it"
        )
    return inputs_embeds.masked_scatter(image_mask[..., None], image_features.to(inputs_embeds.dtype))


def next_token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of each label under the logits one position earlier; -100 does not count.

    Args:
        logits: [B, S, V].
        labels: [B, S].
    """
    predictions = logits[:, :-1].flatten(0, 1).float()  # [B * (S-1), V]
    return nn.functional.cross_entropy(predictions, labels[:, 1:].flatten(), ignore_index=IGNORE_INDEX)
