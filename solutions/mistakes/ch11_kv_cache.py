"""Common mistakes in chapter 11, and other correct answers."""

import torch
from torch import Tensor

import vlm.attention
from grader import mistake, variant
from solutions import ch11_kv_cache as solution
from vlm import gemma, kv_cache
from vlm.gemma import GemmaAttention
from vlm.paligemma import PaliGemmaForConditionalGeneration


@mistake(
    "KVCache",
    "Your `update` allocates memory for all tokens at every step, as torch.cat does. Write into the preallocated "
    "memory.",
)
class GrownByConcatenation(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        old_keys = self.keys[layer_idx, :, :, : self.length]
        old_values = self.values[layer_idx, :, :, : self.length]
        super().update(layer_idx, key, value)
        return torch.cat([old_keys, key], dim=2), torch.cat([old_values, value], dim=2)


@mistake("KVCache", "You wrote the new tokens to slot 0, over those of earlier passes. Write after them.")
class AlwaysWrittenAtZero(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        length, self.length = self.length, 0
        super().update(layer_idx, key, value)
        self.length = length
        end = length + key.shape[2]
        return self.keys[layer_idx, :, :, :end], self.values[layer_idx, :, :, :end]


@mistake(
    "KVCache",
    "You advanced the length in `update`, so the second layer writes after the first. Advance it in `advance`.",
)
class AdvancedByEachLayer(solution.KVCache):
    def __init__(self, num_layers, batch_size, num_key_value_heads, max_length, head_dim, dtype):
        super().__init__(num_layers, batch_size, num_key_value_heads, num_layers * max_length, head_dim, dtype)

    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        result = super().update(layer_idx, key, value)
        self.length += key.shape[2]
        return result

    def advance(self, new: int):
        pass


@mistake(
    "KVCache",
    "You raised a ValueError although the tokens fit. Do you advance the length in `update`, once for each layer? "
    "Advance it in `advance`.",
)
class FullTooEarly(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        result = super().update(layer_idx, key, value)
        self.length += key.shape[2]
        return result

    def advance(self, new: int):
        pass


@mistake(
    "KVCache",
    "You raised a ValueError although the tokens just fit. Raise it only for more than max_length tokens: `>`.",
)
class FullOneTooEarly(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if self.length + key.shape[2] >= self.keys.shape[3]:
            raise ValueError("the cache is full")
        return super().update(layer_idx, key, value)


@mistake("KVCache", "You silently dropped a token that does not fit. Raise a ValueError.")
class DroppedInSilence(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if self.length + key.shape[2] > self.keys.shape[3]:
            return self.keys[layer_idx], self.values[layer_idx]
        return super().update(layer_idx, key, value)


@mistake("KVCache", "Your `advance` always adds 1. Add the number of new tokens.")
class AdvancedByOne(solution.KVCache):
    def advance(self, new: int):
        self.length += 1


@mistake("KVCache", "Your `advance` sets the length to the number of new tokens. Add that number to it.")
class AdvancedToNew(solution.KVCache):
    def advance(self, new: int):
        self.length = new


@mistake(
    "KVCache",
    "You returned the whole memory, including the empty slots at its end. Return only the slots written so far.",
)
class WholeMemoryReturned(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        super().update(layer_idx, key, value)
        return self.keys[layer_idx], self.values[layer_idx]


@mistake(
    "KVCache", "You returned only the cached keys and values. Include the new ones: a token attends to itself too."
)
class NewOnesNotReturned(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        super().update(layer_idx, key, value)
        return self.keys[layer_idx, :, :, : self.length], self.values[layer_idx, :, :, : self.length]


@mistake("KVCache", "You returned only the new keys and values. Return all of that layer so far, cached and new.")
class OldOnesNotReturned(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        super().update(layer_idx, key, value)
        return key, value


@mistake("KVCache", "All your layers write to the same memory. Each needs its own: use layer_idx.")
class OneLayerForAll(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        return super().update(0, key, value)


@mistake("KVCache", "You returned the keys as values too. Store and return the values.")
class KeysForValues(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        keys, _ = super().update(layer_idx, key, value)
        return keys, keys


@mistake("KVCache", "After your `reset`, the old sequence is still in the cache. Set the length to 0.")
class StaleAfterReset(solution.KVCache):
    def __init__(self, num_layers, batch_size, num_key_value_heads, max_length, head_dim, dtype):
        super().__init__(num_layers, batch_size, num_key_value_heads, 2 * max_length, head_dim, dtype)
        self.capacity = max_length

    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if self.length + key.shape[2] > self.capacity:
            raise ValueError("the cache is full")
        return super().update(layer_idx, key, value)

    def reset(self):
        self.capacity += self.length


@mistake(
    "KVCache", "Your `reset` allocates new memory. Setting the length to 0 is enough, since nothing is read beyond it."
)
class NewMemoryAtReset(solution.KVCache):
    def reset(self):
        self.length = 0
        self.keys, self.values = torch.zeros_like(self.keys), torch.zeros_like(self.values)


@mistake("KVCache", "When the cache is full, you silently overwrite a token. Raise a ValueError.")
class OldestOverwritten(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        overflow = self.length + key.shape[2] - self.keys.shape[3]
        if overflow > 0:
            self.length -= overflow
            result = super().update(layer_idx, key, value)
            self.length += overflow
            return result
        return super().update(layer_idx, key, value)


@mistake("KVCache", "Your cache is always float32. Allocate it with the argument `dtype`.")
class AlwaysFloat32(solution.KVCache):
    def __init__(self, num_layers, batch_size, num_key_value_heads, max_length, head_dim, dtype):
        super().__init__(num_layers, batch_size, num_key_value_heads, max_length, head_dim, torch.float32)


@variant("KVCache")
class ListsOfLayers:
    def __init__(self, num_layers, batch_size, num_key_value_heads, max_length, head_dim, dtype):
        shape = (batch_size, num_key_value_heads, max_length, head_dim)
        self.layers = [(torch.empty(shape, dtype=dtype), torch.empty(shape, dtype=dtype)) for _ in range(num_layers)]
        self.seen, self.capacity = 0, max_length

    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        new = key.shape[-2]
        if new > self.capacity - self.seen:
            raise ValueError("full")
        slots = torch.arange(self.seen, self.seen + new)
        for cached, states in zip(self.layers[layer_idx], (key, value), strict=True):
            cached.index_copy_(2, slots, states)
        keys, values = self.layers[layer_idx]
        return keys.narrow(2, 0, self.seen + new), values.narrow(2, 0, self.seen + new)

    def advance(self, new: int):
        self.seen = self.seen + new

    def reset(self):
        self.seen = 0
        for layer in self.layers:
            for states in layer:
                states.zero_()


def project(attention: GemmaAttention, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of the new tokens, not rotated."""
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    query, key, value = (attention.split_heads(projection(hidden_states)) for projection in projections)
    return query, key, value


def rotate(states: Tensor, position_ids: Tensor) -> Tensor:
    cos, sin = gemma.rotary_cos_sin(position_ids, states.shape[-1], 10000, states.dtype)
    return gemma.apply_rotary_pos_emb(states, cos, sin)


def mix(attention: GemmaAttention, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    key, value = (gemma.repeat_kv(states, attention.num_groups) for states in (key, value))
    mixed, _ = vlm.attention.attention(query, key, value, attention.scaling, mask)
    return attention.o_proj(mixed.transpose(1, 2).flatten(2))


@mistake(
    "attend",
    "You did not rotate the keys. Rotate queries and keys by their positions, then write the keys to the cache.",
)
def keys_not_rotated(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    key, value = cache.update(attention.layer_idx, key, value)
    return mix(attention, rotate(query, position_ids), key, value, mask)


@mistake("attend", "You cached the keys unrotated and rotated only the new ones. Rotate keys before you write them.")
def cached_keys_not_rotated(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    new = key.shape[2]
    key, value = cache.update(attention.layer_idx, key, value)
    key = torch.cat([key[:, :, :-new], rotate(key[:, :, -new:], position_ids)], dim=2)
    return mix(attention, rotate(query, position_ids), key, value, mask)


@mistake(
    "attend",
    "You rotated all keys by the position of the newest token. Each has its own: rotate keys before you write them.",
)
def all_keys_rotated_alike(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    new = key.shape[2]
    key, value = cache.update(attention.layer_idx, key, value)
    key = rotate(key, position_ids if key.shape[2] == new else position_ids[:, -1:])
    return mix(attention, rotate(query, position_ids), key, value, mask)


@mistake("attend", "You rotated the keys twice, before writing and after reading. Rotate them once, before writing.")
def keys_rotated_twice(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    key, value = cache.update(attention.layer_idx, rotate(key, position_ids), value)
    positions = torch.arange(key.shape[2]).expand(len(key), -1)
    return mix(attention, rotate(query, position_ids), rotate(key, positions), value, mask)


@mistake("attend", "You restarted the positions at 1 in each pass. Use position_ids.")
def positions_start_again(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    positions = torch.arange(1, hidden_states.shape[1] + 1).expand_as(position_ids)
    return solution.attend(attention, hidden_states, positions, mask, cache)


@mistake("attend", "You used the positions of row 0 for every row. Rows with padding have different ones.")
def positions_of_the_first_row(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    return solution.attend(attention, hidden_states, position_ids[:1], mask, cache)


@mistake("attend", "You rotated the values too. Rotate only queries and keys.")
def values_rotated(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    rotated = (rotate(states, position_ids) for states in (key, value))
    key, value = cache.update(attention.layer_idx, *rotated)
    return mix(attention, rotate(query, position_ids), key, value, mask)


@mistake("attend", "The new tokens attend only to each other. Use the keys and values that `cache.update` returns.")
def cache_not_read(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    key = rotate(key, position_ids)
    cache.update(attention.layer_idx, key, value)
    return mix(attention, rotate(query, position_ids), key, value, mask[..., -key.shape[2] :])


@mistake("attend", "Every layer writes to layer 0 of the cache. Use `attention.layer_idx`.")
def always_layer_zero(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    key, value = cache.update(0, rotate(key, position_ids), value)
    return mix(attention, rotate(query, position_ids), key, value, mask)


@mistake("attend", "You did not use the mask. Pass it to the attention function.")
def mask_not_used(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    return solution.attend(attention, hidden_states, position_ids, torch.zeros_like(mask), cache)


@mistake("attend", "You rotated nothing. Rotate queries and keys.")
def nothing_rotated(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    key, value = cache.update(attention.layer_idx, key, value)
    return mix(attention, query, key, value, mask)


@mistake("attend", "Your scores are not scaled (chapter 3). Pass `attention.scaling` to the attention function.")
def not_scaled(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    key, value = cache.update(attention.layer_idx, rotate(key, position_ids), value)
    return mix(attention, rotate(query, position_ids) / attention.scaling, key, value, mask)


@variant("attend")
def attended_by_torch(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    shifted = position_ids + 7  # only distances matter
    key, value = cache.update(attention.layer_idx, rotate(key, shifted), value)
    mixed = torch.nn.functional.scaled_dot_product_attention(
        rotate(query, shifted), key, value, attn_mask=mask, scale=attention.scaling, enable_gqa=True
    )
    return attention.o_proj(mixed.transpose(1, 2).reshape(*hidden_states.shape[:2], -1))


def make_cache(model: PaliGemmaForConditionalGeneration, input_ids: Tensor, more: int) -> kv_cache.KVCache:
    return kv_cache.KVCache(model.config.text_config, input_ids.shape[0], input_ids.shape[1] + more)


@mistake(
    "generate_cached",
    "You process the whole sequence again for each token. Use a cache, and process only the new token.",
)
def everything_processed_again(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    ids, length = input_ids, input_ids.shape[1]
    for _ in range(max_new_tokens):
        types = (torch.arange(ids.shape[1]) >= length).long().expand_as(ids)
        logits = model(ids, pixel_values, token_type_ids=types).logits
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
    return ids[:, length:]


@mistake(
    "generate_cached",
    "You run the vision tower again for each token. Run it once: after the first pass, the image is in the cache.",
)
def tower_run_again(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    cache, new_tokens = make_cache(model, input_ids, max_new_tokens), []
    for step in range(max_new_tokens):
        features = model.get_image_features(pixel_values)
        logits = model(input_ids, kv_cache=cache, image_features=None if step else features).logits
        input_ids = logits[:, -1:].argmax(-1)
        new_tokens.append(input_ids)
    return torch.cat(new_tokens, dim=1)


def with_positions(model, input_ids, pixel_values, max_new_tokens, position_of, cache=None) -> Tensor:
    """Like the solution, but `position_of(length of the prompt, step)` gives the position of a new token."""
    batch_size, length = input_ids.shape
    cache = cache or make_cache(model, input_ids, max_new_tokens)
    new_tokens = []
    for step in range(max_new_tokens):
        positions = torch.full((batch_size, 1), position_of(length, step)) if step else None
        logits = model(input_ids, pixel_values, position_ids=positions, kv_cache=cache).logits
        input_ids, pixel_values = logits[:, -1:].argmax(-1), None
        new_tokens.append(input_ids)
    return torch.cat(new_tokens, dim=1)


@mistake("generate_cached", "You stopped at `<eos>`. Generate exactly max_new_tokens tokens.")
def stops_at_eos(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    cache, new_tokens = make_cache(model, input_ids, max_new_tokens), []
    for _ in range(max_new_tokens):
        new_tokens.append(model(input_ids, pixel_values, kv_cache=cache).logits[:, -1].argmax(-1))
        input_ids, pixel_values = new_tokens[-1][:, None], None
        if (new_tokens[-1] == model.config.eos_token_id).all():
            break
    return torch.stack(new_tokens, dim=1)


@mistake("generate_cached", "Every new token has position 1. Continue the positions of the prompt.")
def position_reset(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    return with_positions(model, input_ids, pixel_values, max_new_tokens, lambda _length, _step: 1)


@mistake("generate_cached", "The positions of your answer start again at 1. Continue the positions of the prompt.")
def positions_of_the_answer_alone(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    return with_positions(model, input_ids, pixel_values, max_new_tokens, lambda _length, step: step)


@mistake(
    "generate_cached",
    "The positions of your new tokens are one too low: the first has the position of the prompt's last token.",
)
def one_position_early(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    return with_positions(model, input_ids, pixel_values, max_new_tokens, lambda length, step: length + step - 1)


@mistake("generate_cached", "You reused the cache of an earlier prompt. Create a new one for each call, or reset it.")
def stale_cache(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    if not hasattr(model, "old_cache"):
        model.old_cache = make_cache(model, input_ids, 100)
    new_tokens = []
    for _ in range(max_new_tokens):
        logits = model(input_ids, pixel_values, kv_cache=model.old_cache).logits
        input_ids, pixel_values = logits[:, -1:].argmax(-1), None
        new_tokens.append(input_ids)
    return torch.cat(new_tokens, dim=1)


@mistake(
    "generate_cached", "You took the next token from the logits at the first position. Use those at the last position."
)
def logits_of_the_first_position(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    cache, new_tokens = make_cache(model, input_ids, max_new_tokens), []
    for _ in range(max_new_tokens):
        logits = model(input_ids, pixel_values, kv_cache=cache).logits
        input_ids, pixel_values = logits[:, :1].argmax(-1), None
        new_tokens.append(input_ids)
    return torch.cat(new_tokens, dim=1)


@mistake("generate_cached", "You made one pass too many: the last generated token need not be processed.")
def last_token_processed_too(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    return solution.generate_cached(model, input_ids, pixel_values, max_new_tokens + 1)[:, :-1]


@mistake("generate_cached", "You returned the prompt too. Return only the new tokens.")
def prompt_returned_too(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    return torch.cat([input_ids, solution.generate_cached(model, input_ids, pixel_values, max_new_tokens)], dim=1)


@mistake(
    "generate_cached",
    "You processed the last token of the prompt twice. Take the first new token from the logits of the first pass.",
)
def last_of_the_prompt_processed_twice(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    cache, new_tokens = make_cache(model, input_ids, max_new_tokens + 1), []
    model(input_ids, pixel_values, kv_cache=cache)
    token = input_ids[:, -1:]
    for _ in range(max_new_tokens):
        token = model(token, kv_cache=cache).logits[:, -1:].argmax(-1)
        new_tokens.append(token)
    return torch.cat(new_tokens, dim=1)


@variant("generate_cached")
def prefilled_before_the_loop(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    length = input_ids.shape[1]
    cache = make_cache(model, input_ids, max_new_tokens - 1)
    features = model.get_image_features(pixel_values)
    positions = torch.arange(length).expand_as(input_ids)  # from 0: only distances matter
    logits = model(input_ids, position_ids=positions, kv_cache=cache, image_features=features, logits_to_keep=1).logits
    tokens = [logits[:, -1].topk(1).indices]
    while len(tokens) < max_new_tokens:
        position = torch.full_like(tokens[-1], length + len(tokens) - 1)
        logits = model(tokens[-1], position_ids=position, kv_cache=cache).logits
        tokens.append(logits[:, -1].topk(1).indices)
    return torch.cat(tokens, dim=-1)
