"""Capstone of Part II: put your own PaliGemma together.

Grade it with: pytest exercises/capstone

Six stages. Stages 1 to 5 are graded by themselves, on the right input, so each earns its points whatever the others do.
Stage 6 calls your stages 2 to 5, and needs them. In each you put together what you wrote in the chapters. Your files
come as `parts`, by their names: `parts.ch06_norms_mlp.GemmaRMSNorm` is your norm. Nothing of the package's model is
called; `vlm.config` says how large everything is.

Shapes: B rows, C channels, H W height and width, N image tokens, S tokens, D hidden size, V vocabulary.
"""

from collections.abc import Callable
from types import SimpleNamespace

from PIL import Image
from torch import Tensor

from vlm.config import PaliGemmaConfig

Weights = dict[str, Tensor]  # by the names that `canonical_name` of chapter 13 gives


def read_weights(parts: SimpleNamespace, data: bytes) -> Weights:
    """Stage 1, loading: the bytes of a safetensors file, in any of the five layouts, become named tensors.

    What PaliGemma does not use is left out. From chapter 13: `read_safetensors`, `canonical_name`.
    """
    raise NotImplementedError


def prepare(
    parts: SimpleNamespace,
    encode: Callable[[str], list[int]],
    special: dict[str, int],
    config: PaliGemmaConfig,
    prompts: list[str],
    images: list[Image.Image],
) -> dict[str, Tensor]:
    """Stage 2, the processor: prompts and pictures become tensors.

    From chapter 5: `to_pixel_values`, `encode_prefix` (at most 128 tokens of text); from chapter 12: `pad_left`.

    Args:
        encode: text -> token ids, without special tokens.
        special: ids of "image", "bos", "newline", "pad" and "eos".

    Returns:
        input_ids and attention_mask [B, S], padded on the left; pixel_values [B, C, H, W].
    """
    raise NotImplementedError


def look(parts: SimpleNamespace, config: PaliGemmaConfig, weights: Weights, pixel_values: Tensor) -> list[Tensor]:
    """Stage 3, the tower and the projector.

    Weights: `vision_tower.vision_model.embeddings.patch_embedding` (weight and bias) and `.position_embedding.weight`;
    the blocks `vision_tower.vision_model.encoder.layers.0` and so on; `vision_tower.vision_model.post_layernorm`, a
    LayerNorm; `multi_modal_projector.linear`. From chapter 2: `embed_patches`; from chapter 3: `SiglipEncoderLayer`,
    whose weights are those of a block without the beginning of their names.

    Returns:
        What there is after the embeddings (positions added), after each block, after the last norm, [B, N, D of the
        tower], and after the projector, [B, N, D of the language model], in this order.
    """
    raise NotImplementedError


def enter(
    parts: SimpleNamespace, config: PaliGemmaConfig, weights: Weights, input_ids: Tensor, image_features: Tensor
) -> Tensor:
    """Stage 4, one sequence from two worlds: words are looked up, and pictures take the places of image tokens.

    The embedding is `language_model.model.embed_tokens.weight`, the image token `config.image_token_index`. From
    chapter 9: `embed_tokens`, `merge_image_features`.

    Args:
        image_features: [B, N, D], as they come from the projector.

    Returns:
        [B, S, D].
    """
    raise NotImplementedError


def think(
    parts: SimpleNamespace,
    config: PaliGemmaConfig,
    weights: Weights,
    inputs_embeds: Tensor,
    attention_mask: Tensor,
    token_type_ids: Tensor,
) -> list[Tensor]:
    """Stage 5, the language model.

    A layer is x = x + self_attn(input_layernorm(x)), then x = x + mlp(post_attention_layernorm(x)). Weights:
    `language_model.model.layers.0` and so on, `language_model.model.norm`, and the head, which is the embedding. From
    chapter 6: `GemmaRMSNorm`, `GemmaMLP`; from chapter 7: `rotary_cos_sin`; from chapter 8: `additive_mask`,
    `GemmaAttention`; from chapter 9: `may_look`; from chapter 12: `count_positions`.

    Returns:
        What there is after each layer and after the last norm, [B, S, D], and the scores, [B, S, V], in this order.
    """
    raise NotImplementedError


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
    """Stage 6, all together: a prompt and a picture become an answer.

    Uses stages 2 to 5, and `generate_greedy` of chapter 10. The prompt has token type 0, what is written has 1. You may
    read everything again for each token. The tower looks once.

    Returns:
        The ids of the answer, greedy, without the prompt and without `<eos>`.
    """
    raise NotImplementedError
