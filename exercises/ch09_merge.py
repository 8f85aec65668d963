"""Exercises of chapter 9, "Image tokens and the prefix-LM mask".

Grade: pytest exercises/test_ch09_merge.py

Shapes: B batch, I images, N image tokens per image, S new tokens, T all tokens (cached and
new), D hidden size of the language model, V vocabulary size.
"""

from torch import Tensor

from vlm.config import PaliGemmaConfig
from vlm.paligemma import PaliGemmaForConditionalGeneration


def embed_tokens(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    """Look up the embedding of each token, and scale it by sqrt(D), D the text hidden size.

    Round the factor to the dtype of the weight before you multiply: in bfloat16, sqrt(2048) is
    45.25.

    Args:
        input_ids: [B, S], token ids below V.
        weight: [V, D], the embedding matrix.
        config: `config.text_config` is the language model's, `config.vision_config` the vision
            tower's. Both have a `hidden_size`.

    Returns:
        [B, S, D], in the dtype of the weight.

    Source: Gemma (arXiv 2403.08295); the factor is in its published code.
    """
    raise NotImplementedError


def merge_image_features(
    inputs_embeds: Tensor,
    image_features: Tensor,
    image_mask: Tensor,
) -> Tensor:
    """Replace the embeddings of the image tokens by the image features, in order.

    The first True of the first row gets the first vector of the first image, the next True the
    next vector, and so on, row by row. All other positions keep their embeddings. Do not modify
    the arguments.

    Args:
        inputs_embeds: [B, S, D].
        image_features: [I, N, D], the output of the projector. Do not scale them. Their dtype
            may differ from that of inputs_embeds.
        image_mask: bool [B, S], True at the image tokens.

    Returns:
        [B, S, D], in the dtype of inputs_embeds.

    Raises:
        ValueError: the number of image tokens is not I * N.
    """
    raise NotImplementedError


def may_attend(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    """Build the prefix-LM mask: which of the new tokens may attend to which of all tokens.

    - No token attends to padding.
    - A token of the prefix attends to the whole prefix, and to nothing in the suffix.
    - A token of the suffix attends to the whole prefix, to itself, and to the suffix before it.
    - Every new token attends to every cached token (except padding): they all came before.

    Example: attention_mask [0, 1, 1, 1, 1] and token_type_ids [0, 0, 0, 1, 1], which is one
    padding position, two tokens of the prefix, and two of the suffix:

        row of each prefix token             0 1 1 0 0
        row of the first suffix token        0 1 1 1 0
        row of the second suffix token       0 1 1 1 1

    The rows of padding positions do not matter, and are not graded.

    Args:
        attention_mask: [B, T], 1 for a token, 0 for padding. The last S positions are the new
            tokens; those before them are cached.
        token_type_ids: [B, S], 0 in the prefix and at padding, 1 in the suffix.

    Returns:
        bool [B, S, T], True where the new token (row) may attend to the token (column).

    Source: PaliGemma (arXiv 2407.07726), section 3.1 and Figure 2.
    """
    raise NotImplementedError


def run_paligemma(
    model: PaliGemmaForConditionalGeneration,
    input_ids: Tensor,
    pixel_values: Tensor,
    attention_mask: Tensor,
    token_type_ids: Tensor,
) -> Tensor:
    """Run the whole forward pass from pixels and token ids to logits, part by part.

    The parts:

    - `model.vision_tower(pixel_values)` returns the patch vectors.
    - `model.multi_modal_projector(...)` maps them to image features.
    - `model.language_model.model.embed(input_ids)` returns the scaled token embeddings.
    - `model.language_model(inputs_embeds, position_ids, mask)` returns the logits.
    - `model.config.image_token_index` is the id of the image token.

    `position_ids` [B, S] number the tokens of each row. (You may start at 0 or 1, and count
    padding or not: only distances matter.) `mask` [B, 1, S, S] is added to the attention
    scores. Build it with the package's function, `vlm.attention_mask.make_prefix_lm_mask(
    attention_mask, token_type_ids, dtype)`, or with your own.

    Args:
        model: the model, whose parts you call.
        input_ids: [B, S].
        pixel_values: [B, C, H, W], one image for each row.
        attention_mask: [B, S], 1 for a token, 0 for padding. Rows may begin with padding.
        token_type_ids: [B, S], 0 in the prefix and at padding, 1 in the suffix.

    Returns:
        Logits, [B, S, V]. Those at padding positions do not matter.
    """
    raise NotImplementedError
