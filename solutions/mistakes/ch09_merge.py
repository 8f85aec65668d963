"""Mistakes people make in chapter 9, and other right answers."""

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch09_merge as solution
from vlm.attention_mask import make_prefix_lm_mask
from vlm.config import PaliGemmaConfig
from vlm.paligemma import PaliGemmaForConditionalGeneration


@mistake("embed_tokens", "The vectors are not scaled.")
def not_scaled(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    return weight[input_ids]


@mistake("embed_tokens", "You scaled by the vision tower's hidden size; it is the language model's.")
def scaled_by_the_tower(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    return weight[input_ids] * torch.tensor(config.vision_config.hidden_size**0.5, dtype=weight.dtype)


@mistake("embed_tokens", "The root is missing: you scaled by D itself.")
def scaled_without_root(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    return weight[input_ids] * config.text_config.hidden_size


@mistake("embed_tokens", "You divided by the root; embeddings are small, and become larger here.")
def scaled_down(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    return weight[input_ids] / torch.tensor(config.text_config.hidden_size**0.5, dtype=weight.dtype)


@mistake("embed_tokens", "The root is not rounded to the dtype of the weights before you multiply.")
def scale_not_rounded(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    return (weight[input_ids].float() * config.text_config.hidden_size**0.5).to(weight.dtype)


@variant("embed_tokens")
def embedded_by_torch(input_ids: Tensor, weight: Tensor, config: PaliGemmaConfig) -> Tensor:
    scale = torch.full((1,), config.text_config.hidden_size).sqrt().to(weight.dtype)
    return torch.nn.functional.embedding(input_ids, weight).mul(scale)


@mistake("merge_image_features", "Surplus features are dropped without a word: count them, and raise a ValueError.")
def surplus_dropped(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    features = image_features.flatten(0, 1).to(inputs_embeds.dtype)
    if len(features) < int(image_mask.sum()):
        raise ValueError("too few image features")
    return inputs_embeds.masked_scatter(image_mask[..., None], features)


@mistake("merge_image_features", "Missing features are made up: raise a ValueError where there are too few.")
def missing_made_up(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    features = image_features.flatten(0, 1).to(inputs_embeds.dtype)
    places = int(image_mask.sum())
    if len(features) > places:
        raise ValueError("too many image features")
    features = torch.cat([features, torch.zeros(places - len(features), features.shape[1], dtype=features.dtype)])
    return inputs_embeds.masked_scatter(image_mask[..., None], features)


def checked(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> tuple[Tensor, Tensor]:
    """What is merged rightly, and the features in a row."""
    merged = solution.merge_image_features(inputs_embeds, image_features, image_mask)
    return merged, image_features.flatten(0, 1).to(merged.dtype)


@mistake("merge_image_features", "The picture stands at the first places of each row; put it where the mask is True.")
def always_in_front(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    merged, features = checked(inputs_embeds, image_features, image_mask)
    per_row = len(features) // len(merged)
    merged = inputs_embeds.clone()
    merged[:, :per_row] = features.unflatten(0, (-1, per_row))
    return merged


@mistake("merge_image_features", "Every row got the first picture.")
def first_picture_for_all(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    merged, _ = checked(inputs_embeds, image_features, image_mask)
    merged[image_mask] = image_features[:1].expand_as(image_features).flatten(0, 1).to(merged.dtype)
    return merged


@mistake("merge_image_features", "You scaled the picture's vectors; only words are scaled by the root of D.")
def features_scaled(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    return solution.merge_image_features(inputs_embeds, image_features * inputs_embeds.shape[-1] ** 0.5, image_mask)


@mistake("merge_image_features", "You added the picture to what stood there; it takes the place of it.")
def features_added(inputs_embeds: Tensor, image_features: Tensor, image_mask: Tensor) -> Tensor:
    merged, features = checked(inputs_embeds, image_features, image_mask)
    merged[image_mask] = inputs_embeds[image_mask] + features
    return merged


@mistake("merge_image_features", "The result has the dtype of the features; it should have that of inputs_embeds.")
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


@mistake("may_look", "This is a plain causal mask: picture and prompt should see each other in full.")
def causal(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    new, total = token_type_ids.shape[1], attention_mask.shape[1]
    return torch.ones(new, total).tril(total - new).bool() & real_keys(attention_mask)


@mistake("may_look", "With a cache the new tokens are the last S of T: your staircase begins at the first column.")
def staircase_without_offset(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    new, total = token_type_ids.shape[1], attention_mask.shape[1]
    is_prefix = torch.nn.functional.pad(token_type_ids == 0, (total - new, 0), value=False)  # [B, T]
    return (torch.ones(new, total).tril().bool() | is_prefix[:, None, :]) & real_keys(attention_mask)


@mistake("may_look", "The suffix sees itself in full: the model could copy the next token instead of predicting it.")
def labels_leak(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    cached = attention_mask.shape[1] - token_type_ids.shape[1]
    types = torch.nn.functional.pad(token_type_ids, (cached, 0))
    return (types[:, None, :] <= token_type_ids[:, :, None]) & real_keys(attention_mask)


@mistake("may_look", "Everyone sees everything that is real: nobody may see what comes later in the suffix.")
def everything(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    return real_keys(attention_mask).expand(-1, token_type_ids.shape[1], -1)


@mistake("may_look", "Padding is visible: a 0 in attention_mask means that nobody looks there.")
def padding_visible(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    return solution.may_look(torch.ones_like(attention_mask), token_type_ids)


@mistake("may_look", "A token of the suffix does not see itself.")
def suffix_blind_to_itself(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    visible = solution.may_look(attention_mask, token_type_ids)
    new, total = visible.shape[1:]
    itself = torch.eye(new, dtype=torch.bool)
    itself = torch.nn.functional.pad(itself, (total - new, 0))
    return visible & ~(itself & token_type_ids[:, :, None].bool())


@mistake("may_look", "Rows and columns are exchanged: a row is who looks, a column who is looked at.")
def transposed(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    visible = solution.may_look(attention_mask, token_type_ids)
    new = visible.shape[1]
    return torch.cat([visible[..., :-new], visible[..., -new:].transpose(1, 2)], dim=-1)


@mistake("may_look", "What is cached is not visible; new tokens see all of it but its padding.")
def cache_invisible(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    visible = solution.may_look(attention_mask, token_type_ids).clone()
    visible[..., : visible.shape[2] - visible.shape[1]] = False
    return visible


@mistake("may_look", "The prefix sees the suffix; it may not, or its vectors would know the answer.")
def prefix_sees_suffix(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    visible = solution.may_look(attention_mask, token_type_ids)
    return visible | ((token_type_ids == 0)[:, :, None] & real_keys(attention_mask))


@variant("may_look")
def looked_at_one_by_one(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    batch, new = token_type_ids.shape
    total = attention_mask.shape[1]
    visible = torch.zeros(batch, new, total, dtype=torch.bool)
    for b in range(batch):
        for query in range(new):
            for key in range(total):
                place = key - (total - new)
                earlier = place <= query and (place < 0 or token_type_ids[b, query] == 1)
                both_prefix = place >= 0 and token_type_ids[b, place] == 0 and token_type_ids[b, query] == 0
                visible[b, query, key] = bool(attention_mask[b, key]) and (earlier or both_prefix)
    return visible


@variant("may_look")
def causal_or_prefix(attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    new, total = token_type_ids.shape[1], attention_mask.shape[1]
    is_prefix = torch.nn.functional.pad(token_type_ids == 0, (total - new, 0), value=True)  # [B, T]
    earlier = torch.ones(new, total).tril(total - new).bool()
    return (earlier | is_prefix[:, None, :]) & real_keys(attention_mask)


def parts(
    model: PaliGemmaForConditionalGeneration, input_ids: Tensor, pixel_values: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The words, the picture's vectors, and where they belong."""
    words = model.language_model.model.embed(input_ids)
    features = model.multi_modal_projector(model.vision_tower(pixel_values))
    return words, features, input_ids == model.config.image_token_index


def finish(
    model: PaliGemmaForConditionalGeneration,
    inputs_embeds: Tensor,
    attention_mask: Tensor,
    token_type_ids: Tensor,
    position_ids: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The language model, with what is given and the right rest."""
    if position_ids is None:
        position_ids = attention_mask.cumsum(-1).clamp(min=1)
    if mask is None:
        mask = make_prefix_lm_mask(attention_mask, token_type_ids, inputs_embeds.dtype)
    return model.language_model(inputs_embeds, position_ids, mask)


@mistake("run_paligemma", "The picture is not merged: the model reads the embedding of the image token.")
def without_picture(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    return finish(model, parts(model, input_ids, pixel_values)[0], attention_mask, token_type_ids)


@mistake("run_paligemma", "You scaled the picture's vectors too; only words are scaled.", "Words at the right size")
def with_scaled_picture(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    words, features, places = parts(model, input_ids, pixel_values)
    merged = solution.merge_image_features(words, features * words.shape[-1] ** 0.5, places)
    return finish(model, merged, attention_mask, token_type_ids)


@mistake(
    "run_paligemma",
    "The words are not scaled: `embed` does that, `embed_tokens` alone does not.",
    "Words at the right size",
)
def with_unscaled_words(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    _, features, places = parts(model, input_ids, pixel_values)
    words = model.language_model.model.embed_tokens(input_ids)
    merged = solution.merge_image_features(words, features, places)
    return finish(model, merged, attention_mask, token_type_ids)


@mistake(
    "run_paligemma", "Your mask is plain causal: picture and prompt should see each other.", "Two rules in one mask"
)
def with_causal_mask(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    merged = solution.merge_image_features(*parts(model, input_ids, pixel_values))
    mask = make_prefix_lm_mask(attention_mask, torch.ones_like(token_type_ids), merged.dtype)
    return finish(model, merged, attention_mask, token_type_ids, mask=mask)


@mistake(
    "run_paligemma", "Your mask forbids nothing: it leaks the suffix, and shows the padding.", "Two rules in one mask"
)
def with_empty_mask(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    merged = solution.merge_image_features(*parts(model, input_ids, pixel_values))
    batch, length = input_ids.shape
    return finish(model, merged, attention_mask, token_type_ids, mask=torch.zeros(batch, 1, length, length))


@mistake("run_paligemma", "Your mask shows the padding of short rows.", "Two rules in one mask")
def with_visible_padding(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    merged = solution.merge_image_features(*parts(model, input_ids, pixel_values))
    mask = make_prefix_lm_mask(torch.ones_like(attention_mask), token_type_ids, merged.dtype)
    return finish(model, merged, attention_mask, token_type_ids, mask=mask)


@mistake("run_paligemma", "The words are scaled twice: `embed` has done it already.", "Words at the right size")
def with_words_scaled_twice(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    words, features, places = parts(model, input_ids, pixel_values)
    merged = solution.merge_image_features(words * words.shape[-1] ** 0.5, features, places)
    return finish(model, merged, attention_mask, token_type_ids)


@mistake("run_paligemma", "Your mask says True and False; added to scores, that is 1 and 0.", "Two rules in one mask")
def with_true_and_false(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    merged = solution.merge_image_features(*parts(model, input_ids, pixel_values))
    mask = solution.may_look(attention_mask, token_type_ids)[:, None]
    return finish(model, merged, attention_mask, token_type_ids, mask=mask)


@mistake("run_paligemma", "Every place has the position 1: the model knows no order.")
def without_order(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    merged = solution.merge_image_features(*parts(model, input_ids, pixel_values))
    return finish(model, merged, attention_mask, token_type_ids, torch.ones_like(input_ids))


@mistake(
    "run_paligemma", "You return the last vectors; the head, which makes scores of them, is part of language_model."
)
def without_head(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    merged = solution.merge_image_features(*parts(model, input_ids, pixel_values))
    mask = make_prefix_lm_mask(attention_mask, token_type_ids, merged.dtype)
    return model.language_model.model(merged, attention_mask.cumsum(-1).clamp(min=1), mask)


@variant("run_paligemma")
def with_places_counted_from_the_left(model, input_ids, pixel_values, attention_mask, token_type_ids) -> Tensor:
    # Padding counts too. Every distance between real tokens is the same.
    merged = solution.merge_image_features(*parts(model, input_ids, pixel_values))
    positions = torch.arange(input_ids.shape[1]).expand_as(input_ids)
    mask = solution.may_look(attention_mask, token_type_ids)[:, None]
    mask = torch.zeros(mask.shape).masked_fill(~mask, -1e9)
    return finish(model, merged, attention_mask, token_type_ids, positions, mask)
