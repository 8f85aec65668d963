"""Plausible mistakes in the capstone of Part II, and other right solutions."""

import torch
from torch import Tensor, nn

from grader import mistake, variant
from solutions.capstone import my_paligemma as solution
from solutions.capstone.my_paligemma import LANGUAGE, TOWER, below, filled


@mistake("read_weights", "The names are those in the file: apply canonical_name to each.")
def names_of_the_file(parts, data: bytes) -> dict[str, Tensor]:
    return parts.ch13_loading.read_safetensors(data)


@mistake("read_weights", "You keep unused tensors: leave out names for which canonical_name returns None.")
def unused_kept(parts, data: bytes) -> dict[str, Tensor]:
    tensors = parts.ch13_loading.read_safetensors(data)
    return {parts.ch13_loading.canonical_name(name) or name: tensor for name, tensor in tensors.items()}


@variant("read_weights")
def read_in_a_loop(parts, data: bytes) -> dict[str, Tensor]:
    weights = {}
    for name, tensor in parts.ch13_loading.read_safetensors(data).items():
        if canonical := parts.ch13_loading.canonical_name(name):
            weights[canonical] = tensor
    return weights


@mistake("prepare", "Every row has the first image.")
def first_picture_for_all(parts, encode, special, config, prompts, images) -> dict[str, Tensor]:
    return solution.prepare(parts, encode, special, config, prompts, images[:1] * len(images))


@mistake("prepare", "The padding is on the right.")
def padded_on_the_right(parts, encode, special, config, prompts, images) -> dict[str, Tensor]:
    batch = solution.prepare(parts, encode, special, config, prompts, images)
    pads = (batch["attention_mask"] == 0).sum(-1)
    for name in ("input_ids", "attention_mask"):
        batch[name] = torch.stack([row.roll(-int(pad)) for row, pad in zip(batch[name], pads)])
    return batch


@mistake("prepare", "The newline at the end of the prompt is missing.")
def without_newline(parts, encode, special, config, prompts, images) -> dict[str, Tensor]:
    batch = solution.prepare(parts, encode, special, config, prompts, images)
    return batch | {name: batch[name][:, :-1] for name in ("input_ids", "attention_mask")}


@variant("prepare")
def with_pad_batch(parts, encode, special, config, prompts, images) -> dict[str, Tensor]:
    chapter, tokens = parts.ch05_processor, config.vision_config.num_image_tokens
    rows = [chapter.encode_prefix(prompt, encode, special, tokens, 128) for prompt in prompts]
    batch = chapter.pad_batch(rows, [[] for _ in rows], special["pad"])
    values = torch.stack([chapter.to_pixel_values(image, config.vision_config.image_size) for image in images])
    return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "pixel_values": values}


def run_tower(parts, config, weights, pixel_values, positions=True, order=1, norm=True) -> list[Tensor]:
    vision, embeddings = config.vision_config, below(weights, TOWER + "embeddings.")
    state = parts.ch02_patches.embed_patches(
        pixel_values, embeddings["patch_embedding.weight"], embeddings["patch_embedding.bias"]
    )
    states = [state + embeddings["position_embedding.weight"] if positions else state]
    for index in list(range(vision.num_hidden_layers))[::order]:
        block = filled(parts.ch03_attention.SiglipEncoderLayer(vision), weights, f"{TOWER}encoder.layers.{index}.")
        states.append(block(states[-1]))
    last = below(weights, TOWER + "post_layernorm.")
    normed = nn.functional.layer_norm(states[-1], (vision.hidden_size,), last["weight"], last["bias"], 1e-6)
    states.append(normed if norm else states[-1])
    linear = below(weights, "multi_modal_projector.linear.")
    return [*states, nn.functional.linear(states[-1], linear["weight"], linear["bias"])]


@mistake("look", "The position embedding is not added.")
def without_positions(parts, config, weights, pixel_values) -> list[Tensor]:
    return run_tower(parts, config, weights, pixel_values, positions=False)


@mistake("look", "The blocks run from the last to the first.")
def blocks_reversed(parts, config, weights, pixel_values) -> list[Tensor]:
    return run_tower(parts, config, weights, pixel_values, order=-1)


@mistake("look", "The norm after the last block is missing.")
def without_last_norm(parts, config, weights, pixel_values) -> list[Tensor]:
    return run_tower(parts, config, weights, pixel_values, norm=False)


@mistake("look", "All blocks have the weights of the first one.")
def first_block_for_all(parts, config, weights, pixel_values) -> list[Tensor]:
    first = below(weights, f"{TOWER}encoder.layers.0.")
    shared = {
        f"{TOWER}encoder.layers.{index}.{name}": tensor
        for index in range(config.vision_config.num_hidden_layers)
        for name, tensor in first.items()
    }
    return run_tower(parts, config, weights | shared, pixel_values)


@variant("look")
def looked_functionally(parts, config, weights, pixel_values) -> list[Tensor]:
    return run_tower(parts, config, weights, pixel_values)


@mistake("enter", "The image is not merged: the image tokens still have their own embedding.")
def without_picture(parts, config, weights, input_ids, image_features) -> Tensor:
    return parts.ch09_merge.embed_tokens(input_ids, weights[LANGUAGE + "embed_tokens.weight"], config)


@mistake("enter", "The image features are scaled too: scale only the token embeddings.")
def picture_scaled(parts, config, weights, input_ids, image_features) -> Tensor:
    return solution.enter(parts, config, weights, input_ids, image_features * config.text_config.hidden_size**0.5)


@mistake("enter", "The token embeddings are not scaled.")
def words_not_scaled(parts, config, weights, input_ids, image_features) -> Tensor:
    words = weights[LANGUAGE + "embed_tokens.weight"][input_ids]
    return parts.ch09_merge.merge_image_features(words, image_features, input_ids == config.image_token_index)


@variant("enter")
def entered_by_index(parts, config, weights, input_ids, image_features) -> Tensor:
    words = parts.ch09_merge.embed_tokens(input_ids, weights[LANGUAGE + "embed_tokens.weight"], config)
    words[input_ids == config.image_token_index] = image_features.flatten(0, 1)
    return words


@mistake("think", "The last norm is missing: the logits are computed from the output of the last layer.")
def without_the_last_norm(parts, config, weights, inputs_embeds, attention_mask, token_type_ids) -> list[Tensor]:
    *layers, _, _ = solution.think(parts, config, weights, inputs_embeds, attention_mask, token_type_ids)
    return [*layers, layers[-1], layers[-1] @ weights[LANGUAGE + "embed_tokens.weight"].T]


@mistake("think", "The mask is causal everywhere: let the whole prefix attend to itself. Use the token_type_ids.")
def causal(parts, config, weights, inputs_embeds, attention_mask, token_type_ids) -> list[Tensor]:
    return solution.think(parts, config, weights, inputs_embeds, attention_mask, torch.ones_like(token_type_ids))


@mistake("think", "The tokens of the answer attend to later ones: use the token_type_ids.")
def all_is_prefix(parts, config, weights, inputs_embeds, attention_mask, token_type_ids) -> list[Tensor]:
    return solution.think(parts, config, weights, inputs_embeds, attention_mask, torch.zeros_like(token_type_ids))


@mistake("think", "Tokens attend to padding: use the attention_mask.")
def padding_visible(parts, config, weights, inputs_embeds, attention_mask, token_type_ids) -> list[Tensor]:
    return solution.think(parts, config, weights, inputs_embeds, torch.ones_like(attention_mask), token_type_ids)


@mistake("think", "The two norms of a layer are swapped.")
def norms_exchanged(parts, config, weights, inputs_embeds, attention_mask, token_type_ids) -> list[Tensor]:
    first, second = "input_layernorm", "post_attention_layernorm"
    changed = {}
    for name, tensor in weights.items():
        other = name.replace(first, second) if first in name else name.replace(second, first)
        changed[other] = tensor
    return solution.think(parts, config, changed, inputs_embeds, attention_mask, token_type_ids)


@mistake("think", "All layers have the weights of the first one.")
def first_layer_for_all(parts, config, weights, inputs_embeds, attention_mask, token_type_ids) -> list[Tensor]:
    first = below(weights, LANGUAGE + "layers.0.")
    shared = {
        f"{LANGUAGE}layers.{index}.{name}": tensor
        for index in range(config.text_config.num_hidden_layers)
        for name, tensor in first.items()
    }
    return solution.think(parts, config, weights | shared, inputs_embeds, attention_mask, token_type_ids)


@variant("think")
def thought_with_positions_from_zero(parts, config, weights, inputs_embeds, attention_mask, token_type_ids):
    shifted = type(parts)(**vars(parts))
    shifted.ch12_batches = type(parts)(count_positions=lambda mask, new: mask.cumsum(-1)[:, -new:] + 4)
    return solution.think(shifted, config, weights, inputs_embeds, attention_mask, token_type_ids)


def loop(parts, encode, special, config, weights, prompt, image, max_new_tokens, type_of, stop=True) -> list[int]:
    batch = solution.prepare(parts, encode, special, config, [prompt], [image])
    features = solution.look(parts, config, weights, batch["pixel_values"])[-1]
    ids, length = batch["input_ids"][0].tolist(), batch["input_ids"].shape[1]
    while len(ids) < length + max_new_tokens:
        types = torch.tensor([[type_of(place, length) for place in range(len(ids))]])
        input_ids = torch.tensor([ids])
        embeds = solution.enter(parts, config, weights, input_ids, features)
        scores = solution.think(parts, config, weights, embeds, torch.ones_like(input_ids), types)[-1]
        token = int(scores[0, -1].argmax())
        if stop and token == special["eos"]:
            break
        ids.append(token)
    return ids[length:]


@mistake("answer", "The prefix has token type 1, so its mask is causal: image and prompt have type 0.")
def prompt_is_suffix(*arguments) -> list[int]:
    return loop(*arguments, lambda place, length: 1)


@mistake("answer", "`<eos>` does not end the answer.")
def never_ends(*arguments) -> list[int]:
    return loop(*arguments, lambda place, length: int(place >= length), stop=False)


@mistake("answer", "You return the prompt too: return only the answer.")
def prompt_too(parts, encode, special, config, weights, prompt, image, max_new_tokens) -> list[int]:
    ids = solution.prepare(parts, encode, special, config, [prompt], [image])["input_ids"][0].tolist()
    return ids + solution.answer(parts, encode, special, config, weights, prompt, image, max_new_tokens)


@mistake("answer", "The tower runs more than once: compute the image features once, and use them for every token.")
def looks_again(parts, encode, special, config, weights, prompt, image, max_new_tokens) -> list[int]:
    batch = solution.prepare(parts, encode, special, config, [prompt], [image])
    solution.look(parts, config, weights, batch["pixel_values"])
    return solution.answer(parts, encode, special, config, weights, prompt, image, max_new_tokens)


@variant("answer")
def written_out(*arguments) -> list[int]:
    return loop(*arguments, lambda place, length: int(place >= length))
