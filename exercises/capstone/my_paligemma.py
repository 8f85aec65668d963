"""Capstone of Part II: put your own PaliGemma together.

Grade it with: pytest exercises/capstone

There are six stages. Stages 1 to 5 are graded separately, each on correct input, so a mistake in one does not cost the
points of another. Stage 6 calls your stages 2 to 5. In each stage you combine what you wrote in the chapters. Your
files are attributes of `parts`: `parts.ch06_norms_mlp.GemmaRMSNorm` is your norm. Do not call the package's model; the
sizes are in `config`, from `vlm.config`.

Shapes: B rows, C channels, H W height and width, N image tokens, S tokens, D hidden size, V vocabulary.
"""

from collections.abc import Callable
from types import SimpleNamespace

from PIL import Image
from torch import Tensor

from vlm.config import PaliGemmaConfig

Weights = dict[str, Tensor]  # keys: the names that `canonical_name` of chapter 13 returns


def read_weights(parts: SimpleNamespace, data: bytes) -> Weights:
    """Stage 1, loading: turn the bytes of a safetensors file, in any of the five layouts, into named tensors.

    Leave out tensors that PaliGemma does not use. From chapter 13: `read_safetensors`, `canonical_name`.
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
    """Stage 2, the processor: turn prompts and images into tensors.

    From chapter 5: `to_pixel_values`, `encode_prefix` (at most 128 tokens of text); from chapter 12: `pad_left`.

    Args:
        encode: turns a text into token ids, without special tokens.
        special: the ids of "image", "bos", "newline", "pad" and "eos".

    Returns:
        input_ids and attention_mask [B, S], padded on the left; pixel_values [B, C, H, W].
    """
    raise NotImplementedError


def look(parts: SimpleNamespace, config: PaliGemmaConfig, weights: Weights, pixel_values: Tensor) -> list[Tensor]:
    """Stage 3, the vision tower and the projector: turn pixels into image features, and keep every step.

    Weights: `vision_tower.vision_model.embeddings.patch_embedding` (weight and bias) and `.position_embedding.weight`;
    the blocks `vision_tower.vision_model.encoder.layers.0` and so on; `vision_tower.vision_model.post_layernorm`, a
    LayerNorm; `multi_modal_projector.linear`. From chapter 2: `embed_patches`; from chapter 3: `SiglipEncoderLayer`,
    which takes the weights of a block under their names without this prefix.

    Returns:
        The hidden states after the embeddings (positions added), after each block and after the last norm, each
        [B, N, D of the tower], and the projector's output, [B, N, D of the language model], in this order.
    """
    raise NotImplementedError


def enter(
    parts: SimpleNamespace, config: PaliGemmaConfig, weights: Weights, input_ids: Tensor, image_features: Tensor
) -> Tensor:
    """Stage 4, the merge: look up the token embeddings, and put the image features at the image tokens.

    The embedding matrix is `language_model.model.embed_tokens.weight`, the image token `config.image_token_index`. From
    chapter 9: `embed_tokens`, `merge_image_features`.

    Args:
        image_features: [B, N, D], the output of the projector.

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
    """Stage 5, the language model: run all layers up to the logits, and keep every step.

    A layer is x = x + self_attn(input_layernorm(x)), then x = x + mlp(post_attention_layernorm(x)). Weights:
    `language_model.model.layers.0` and so on, `language_model.model.norm`, and the head, tied to the embedding. From
    chapter 6: `GemmaRMSNorm`, `GemmaMLP`; from chapter 7: `rotary_cos_sin`; from chapter 8: `additive_mask`,
    `GemmaAttention`; from chapter 9: `may_attend`; from chapter 12: `count_positions`.

    Returns:
        The hidden states after each layer and after the last norm, each [B, S, D], and the logits, [B, S, V], in this
        order.
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
    """Stage 6, everything together: turn a prompt and an image into an answer.

    Use stages 2 to 5, and `generate_greedy` of chapter 10. Image and prompt have token type 0, generated tokens have 1.
    You may process the whole sequence again for each token, but run the tower only once.

    Returns:
        The token ids of the greedy answer, without the prompt and without `<eos>`.
    """
    raise NotImplementedError
