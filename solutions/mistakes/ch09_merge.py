"""Common mistakes in chapter 9, and other correct answers."""

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch09_merge as solution
from vlm.attention_mask import make_prefix_lm_mask
from vlm.config import PaliGemmaConfig
from vlm.paligemma import PaliGemmaForConditionalGeneration


@mistake("embed_tokens", "Your embeddings are not scaled. Multiply them by sqrt(D).")
def not_scaled(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    return weight[input_ids]


@mistake("embed_tokens", "You scaled by the vision tower's hidden size. Use the language model's: config.text_config.")
def scaled_by_the_tower(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    return weight[input_ids] * torch.tensor(config.vision_config.hidden_size**0.5, dtype=weight.dtype)


@mistake("embed_tokens", "You scaled by D. Scale by its square root.")
def scaled_without_root(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    return weight[input_ids] * config.text_config.hidden_size


@mistake("embed_tokens", "You divided by sqrt(D). Multiply by it: the stored embeddings are small.")
def scaled_down(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    return weight[input_ids] / torch.tensor(config.text_config.hidden_size**0.5, dtype=weight.dtype)


@mistake(
    "embed_tokens",
    "You did not round sqrt(D) to the dtype of the weight before the multiplication. Make it a tensor of that dtype.",
)
def scale_not_rounded(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    return (weight[input_ids].float() * config.text_config.hidden_size**0.5).to(weight.dtype)


@variant("embed_tokens")
def embedded_by_torch(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    scale = torch.full((1,), config.text_config.hidden_size).sqrt().to(weight.dtype)
    return torch.nn.functional.embedding(input_ids, weight).mul(scale)


@mistake(
    "merge_image_features",
    "You silently dropped unexpected image features. Compare the two counts, and raise a ValueError if they differ.",
)
def surplus_dropped(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    features = image_features.flatten(0, 1).to(inputs_embeds.dtype)
    if len(features) < int(image_mask.sum()):
        raise ValueError("too few image features")
    return inputs_embeds.masked_scatter(image_mask[..., None], features)


@mistake(
    "merge_image_features",
    "You filled in missing image features. Compare the two counts, and raise a ValueError if they differ.",
)
def missing_made_up(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    features = image_features.flatten(0, 1).to(inputs_embeds.dtype)
    num_image_tokens = int(image_mask.sum())
    if len(features) > num_image_tokens:
        raise ValueError("too many image features")
    missing = torch.zeros(num_image_tokens - len(features), features.shape[1], dtype=features.dtype)
    features = torch.cat([features, missing])
    return inputs_embeds.masked_scatter(image_mask[..., None], features)


def checked(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> tuple[Tensor, Tensor]:
    """The correct result, and the features as one list of vectors."""
    merged = solution.merge_image_features(inputs_embeds, image_features, image_mask)
    return merged, image_features.flatten(0, 1).to(merged.dtype)


@mistake(
    "merge_image_features",
    "You always wrote the image to the first positions of each row. Write it where `image_mask` is True.",
)
def always_first(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    merged, features = checked(inputs_embeds, image_features, image_mask)
    per_row = len(features) // len(merged)
    merged = inputs_embeds.clone()
    merged[:, :per_row] = features.unflatten(0, (-1, per_row))
    return merged


@mistake("merge_image_features", "Every row got the first image. Use the images in order.")
def first_image_for_all(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    merged, _ = checked(inputs_embeds, image_features, image_mask)
    merged[image_mask] = image_features[:1].expand_as(image_features).flatten(0, 1).to(merged.dtype)
    return merged


@mistake("merge_image_features", "You scaled the image features. Only token embeddings are scaled by sqrt(D).")
def features_scaled(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    return solution.merge_image_features(inputs_embeds, image_features * inputs_embeds.shape[-1] ** 0.5, image_mask)


@mistake("merge_image_features", "You added the image features to the embeddings of the image tokens. Replace them.")
def features_added(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    merged, features = checked(inputs_embeds, image_features, image_mask)
    merged[image_mask] = inputs_embeds[image_mask] + features
    return merged


@mistake("merge_image_features", "Your result has the dtype of the features. Cast them to the dtype of inputs_embeds.")
def dtype_of_the_features(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    return solution.merge_image_features(inputs_embeds.to(image_features.dtype), image_features, image_mask)


@variant("merge_image_features")
def merged_by_scatter(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    if image_mask.sum().item() != image_features.shape[0] * image_features.shape[1]:
        raise ValueError("the numbers of image tokens and image features differ")
    return inputs_embeds.masked_scatter(image_mask.unsqueeze(-1), image_features.to(inputs_embeds.dtype))


@variant("merge_image_features")
def merged_by_index(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    features = image_features.reshape(-1, image_features.shape[-1]).to(inputs_embeds.dtype)
    if image_mask.sum() != len(features):
        raise ValueError("the numbers of image tokens and image features differ")
    if not len(features):
        return inputs_embeds.clone()
    index = (image_mask.flatten().cumsum(0) - 1).clamp(min=0).reshape(image_mask.shape)
    return torch.where(image_mask[..., None], features[index], inputs_embeds)


def real_keys(attention_mask: Tensor) -> Tensor:
    """[B, 1, T]."""
    return attention_mask[:, None, :].bool()


@mistake(
    "may_attend",
    "You built a causal mask. Within the prefix, image and prompt attend to each other in both directions.",
)
def causal(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    new, total = token_type_ids.shape[1], attention_mask.shape[1]
    return torch.ones(new, total).tril(total - new).bool() & real_keys(attention_mask)


@mistake(
    "may_attend",
    "Your causal part starts at column 0. With a cache, the new tokens are the last S of the T columns: offset it by "
    "T - S.",
)
def staircase_without_offset(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    new, total = token_type_ids.shape[1], attention_mask.shape[1]
    is_prefix = torch.nn.functional.pad(token_type_ids == 0, (total - new, 0), value=False)  # [B, T]
    return (torch.ones(new, total).tril().bool() | is_prefix[:, None, :]) & real_keys(attention_mask)


@mistake(
    "may_attend",
    "Suffix tokens attend to later suffix tokens, so the model could copy the next token. Mask what comes later.",
)
def labels_leak(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    cached = attention_mask.shape[1] - token_type_ids.shape[1]
    types = torch.nn.functional.pad(token_type_ids, (cached, 0))
    return (types[:, None, :] <= token_type_ids[:, :, None]) & real_keys(attention_mask)


@mistake("may_attend", "Every token attends to every token except padding. Mask the later tokens of the suffix.")
def everything(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    return real_keys(attention_mask).expand(-1, token_type_ids.shape[1], -1)


@mistake("may_attend", "Tokens attend to padding. Mask every column where attention_mask is 0.")
def padding_visible(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    return solution.may_attend(torch.ones_like(attention_mask), token_type_ids)


@mistake("may_attend", "A token of the suffix does not attend to itself. It should: include the diagonal.")
def suffix_without_itself(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    visible = solution.may_attend(attention_mask, token_type_ids)
    new, total = visible.shape[1:]
    itself = torch.eye(new, dtype=torch.bool)
    itself = torch.nn.functional.pad(itself, (total - new, 0))
    return visible & ~(itself & token_type_ids[:, :, None].bool())


@mistake("may_attend", "You swapped rows and columns. A row is a query (new token), a column is a key.")
def transposed(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    visible = solution.may_attend(attention_mask, token_type_ids)
    new = visible.shape[1]
    return torch.cat([visible[..., :-new], visible[..., -new:].transpose(1, 2)], dim=-1)


@mistake("may_attend", "New tokens do not attend to cached tokens. They should, except to padding.")
def cache_invisible(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    visible = solution.may_attend(attention_mask, token_type_ids).clone()
    visible[..., : visible.shape[2] - visible.shape[1]] = False
    return visible


@mistake("may_attend", "The prefix attends to the suffix. Mask that: otherwise, its hidden states contain the answer.")
def prefix_sees_suffix(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    visible = solution.may_attend(attention_mask, token_type_ids)
    return visible | ((token_type_ids == 0)[:, :, None] & real_keys(attention_mask))


@variant("may_attend")
def pair_by_pair(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    batch, new = token_type_ids.shape
    total = attention_mask.shape[1]
    visible = torch.zeros(batch, new, total, dtype=torch.bool)
    for b in range(batch):
        for query in range(new):
            for key in range(total):
                index = key - (total - new)  # among the new tokens; negative for a cached one
                earlier = index <= query and (index < 0 or token_type_ids[b, query] == 1)
                both_prefix = index >= 0 and token_type_ids[b, index] == 0 and token_type_ids[b, query] == 0
                visible[b, query, key] = bool(attention_mask[b, key]) and (earlier or both_prefix)
    return visible


@variant("may_attend")
def causal_or_prefix(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    new, total = token_type_ids.shape[1], attention_mask.shape[1]
    is_prefix = torch.nn.functional.pad(token_type_ids == 0, (total - new, 0), value=True)  # [B, T]
    earlier = torch.ones(new, total).tril(total - new).bool()
    return (earlier | is_prefix[:, None, :]) & real_keys(attention_mask)


def parts(
    model: PaliGemmaForConditionalGeneration, input_ids: Tensor, pixel_values: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The token embeddings, the image features, and the mask of the image tokens."""
    embeds = model.language_model.model.embed(input_ids)
    features = model.multi_modal_projector(model.vision_tower(pixel_values))
    return embeds, features, input_ids == model.config.image_token_index


def finish(
    model: PaliGemmaForConditionalGeneration,
    inputs_embeds: Tensor,
    attention_mask: Tensor,
    token_type_ids: Tensor,
    position_ids: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Run the language model with the given inputs; None means the correct one."""
    if position_ids is None:
        position_ids = attention_mask.cumsum(-1).clamp(min=1)
    if mask is None:
        mask = make_prefix_lm_mask(attention_mask, token_type_ids, inputs_embeds.dtype)
    return model.language_model(inputs_embeds, position_ids, mask)


@mistake("run_paligemma", "You did not merge the image features: the model gets only the embedding of the image token.")
def without_image(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    return finish(model, parts(model, input_ids, pixel_values)[0], attention_mask, token_type_ids)


@mistake(
    "run_paligemma",
    "You scaled the image features too. Only token embeddings are scaled.",
    "Embedding scale: Gemma multiplies text by √D",
)
def with_scaled_image(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    embeds, features, image_mask = parts(model, input_ids, pixel_values)
    merged = solution.merge_image_features(embeds, features * embeds.shape[-1] ** 0.5, image_mask)
    return finish(model, merged, attention_mask, token_type_ids)


@mistake(
    "run_paligemma",
    "Your token embeddings are not scaled. Call `embed`, which scales; `embed_tokens` alone does not.",
    "Embedding scale: Gemma multiplies text by √D",
)
def with_unscaled_embeddings(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    _, features, image_mask = parts(model, input_ids, pixel_values)
    embeds = model.language_model.model.embed_tokens(input_ids)
    merged = solution.merge_image_features(embeds, features, image_mask)
    return finish(model, merged, attention_mask, token_type_ids)


@mistake(
    "run_paligemma",
    "Your mask is causal. Within the prefix, image and prompt attend to each other in both directions.",
    "The prefix-LM mask: two rules in one",
)
def with_causal_mask(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    merged = solution.merge_image_features(*parts(model, input_ids, pixel_values))
    mask = make_prefix_lm_mask(attention_mask, torch.ones_like(token_type_ids), merged.dtype)
    return finish(model, merged, attention_mask, token_type_ids, mask=mask)


@mistake(
    "run_paligemma",
    "Your mask masks nothing: tokens attend to later suffix tokens and to padding.",
    "The prefix-LM mask: two rules in one",
)
def with_empty_mask(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    merged = solution.merge_image_features(*parts(model, input_ids, pixel_values))
    batch, length = input_ids.shape
    return finish(model, merged, attention_mask, token_type_ids, mask=torch.zeros(batch, 1, length, length))


@mistake(
    "run_paligemma",
    "With your mask, tokens attend to the padding of short rows. Use attention_mask.",
    "The prefix-LM mask: two rules in one",
)
def with_visible_padding(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    merged = solution.merge_image_features(*parts(model, input_ids, pixel_values))
    mask = make_prefix_lm_mask(torch.ones_like(attention_mask), token_type_ids, merged.dtype)
    return finish(model, merged, attention_mask, token_type_ids, mask=mask)


@mistake(
    "run_paligemma",
    "You scaled the token embeddings twice. `embed` scales them already.",
    "Embedding scale: Gemma multiplies text by √D",
)
def with_embeddings_scaled_twice(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    embeds, features, image_mask = parts(model, input_ids, pixel_values)
    merged = solution.merge_image_features(embeds * embeds.shape[-1] ** 0.5, features, image_mask)
    return finish(model, merged, attention_mask, token_type_ids)


@mistake(
    "run_paligemma",
    "Your mask is boolean: added to the scores, it adds 1 or 0. Convert it to an additive mask.",
    "The prefix-LM mask: two rules in one",
)
def with_true_and_false(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    merged = solution.merge_image_features(*parts(model, input_ids, pixel_values))
    mask = solution.may_attend(attention_mask, token_type_ids)[:, None]
    return finish(model, merged, attention_mask, token_type_ids, mask=mask)


@mistake("run_paligemma", "Every token has position 1, so the model ignores the order. Number the tokens of each row.")
def without_order(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    merged = solution.merge_image_features(*parts(model, input_ids, pixel_values))
    return finish(model, merged, attention_mask, token_type_ids, torch.ones_like(input_ids))


@mistake(
    "run_paligemma",
    "You returned hidden states. Call `language_model`, whose head maps them to logits, not `language_model.model`.",
)
def without_head(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    merged = solution.merge_image_features(*parts(model, input_ids, pixel_values))
    mask = make_prefix_lm_mask(attention_mask, token_type_ids, merged.dtype)
    return model.language_model.model(merged, attention_mask.cumsum(-1).clamp(min=1), mask)


@variant("run_paligemma")
def with_positions_counted_from_the_left(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    # Padding counts too; the distances between the tokens of a row do not change.
    merged = solution.merge_image_features(*parts(model, input_ids, pixel_values))
    positions = torch.arange(input_ids.shape[1]).expand_as(input_ids)
    mask = solution.may_attend(attention_mask, token_type_ids)[:, None]
    mask = torch.zeros(mask.shape).masked_fill(~mask, -1e9)
    return finish(model, merged, attention_mask, token_type_ids, positions, mask)
