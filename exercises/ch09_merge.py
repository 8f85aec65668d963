"""Exercises of chapter 9, "How does a picture get into a sentence?".

Grade them with: pytest exercises/test_ch09_merge.py

Shapes: B batch, I pictures, N image tokens for each, S tokens, T all tokens, the cached ones included, D hidden size
of the language model, V vocabulary.
"""

from torch import Tensor

from vlm.config import PaliGemmaConfig
from vlm.paligemma import PaliGemmaForConditionalGeneration


def embed_tokens(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    """Look up the vector of each token, and scale it by the root of the language model's hidden size.

    The root is rounded to the dtype of the weights before it is multiplied: in bfloat16 the root of 2048 is 45.25.

    Args:
        input_ids: [B, S], whole numbers below V.
        weight: the embedding, [V, D].
        config: both parts have a `hidden_size`: `config.vision_config` and `config.text_config`.

    Returns:
        [B, S, D] in the dtype of the weight.

    Source: Gemma (arXiv 2403.08295), and its published code, for the factor.
    """
    raise NotImplementedError


def merge_image_features(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    """Put the pictures' vectors, in order, where the image tokens stand.

    The first True of the first row gets the first vector of the first picture, the next True the next vector, and
    so on. All other places keep what they have. The arguments stay as they are.

    Args:
        inputs_embeds: [B, S, D].
        image_features: [I, N, D], as they come from the projector. They are not scaled.
        image_mask: bool [B, S], True at the image tokens.

    Returns:
        [B, S, D] in the dtype of inputs_embeds.

    Raises:
        ValueError: there are more or fewer image tokens than image features.
    """
    raise NotImplementedError


def may_look(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    """Say which of the new tokens may look at which of all tokens.

    - Nobody looks at padding.
    - A token of the prefix sees the whole prefix, and nothing of the suffix.
    - A token of the suffix sees the whole prefix, itself, and the suffix before it.
    - Everyone sees what is cached (but its padding): it was read before.

    Example: attention_mask [0, 1, 1, 1, 1], token_type_ids [0, 0, 0, 1, 1] (a place of padding, two tokens of
    prefix, two of suffix):

        row of each prefix token        0 1 1 0 0
        row of the first suffix token   0 1 1 1 0
        row of the second               0 1 1 1 1

    What a place of padding sees does not matter, and is not checked.

    Args:
        attention_mask: [B, T], 1 for a real token, 0 for padding. The last S places are the new tokens, those before
            them are cached.
        token_type_ids: [B, S], 0 for the prefix and padding, 1 for the suffix.

    Returns:
        bool [B, S, T], True where the token of the row may look at the token of the column.

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
    """The whole forward pass, from pixels and tokens to scores, out of the model's parts.

    The parts: `model.vision_tower(pixel_values)`; `model.multi_modal_projector(...)`;
    `model.language_model.model.embed(input_ids)`, which scales; and, at the end,
    `model.language_model(inputs_embeds, position_ids, mask)`, which gives the scores. `position_ids` [B, S] count the
    tokens of each row (from 0 or from 1, padding included or not: only distances matter). `mask` [B, 1, S, S] is added
    to the scores of attention; you may use the package's
    `vlm.attention_mask.make_prefix_lm_mask(attention_mask, token_type_ids, dtype)`, or your own. The image token is
    `model.config.image_token_index`.

    Args:
        input_ids: [B, S].
        pixel_values: [B, C, H, W], one picture for each row.
        attention_mask, token_type_ids: [B, S]. Rows may begin with padding.

    Returns:
        Logits, [B, S, V]. Those at places of padding do not matter.
    """
    raise NotImplementedError
