"""Mistakes people make in chapter 11, and other right answers."""

import torch
from torch import Tensor

import vlm.attention
from grader import mistake, variant
from solutions import ch11_kv_cache as solution
from vlm import gemma, kv_cache
from vlm.gemma import GemmaAttention
from vlm.paligemma import PaliGemmaForConditionalGeneration


@mistake(
    "KVCache", "`update` asks for memory for everything each time, as torch.cat does: write into what you set aside."
)
class GrownByConcatenation(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        old_keys = self.keys[layer_idx, :, :, : self.length]
        old_values = self.values[layer_idx, :, :, : self.length]
        super().update(layer_idx, key, value)
        return torch.cat([old_keys, key], dim=2), torch.cat([old_values, value], dim=2)


@mistake("KVCache", "New tokens are written at place 0, over those of earlier passes: write behind them.")
class AlwaysWrittenAtZero(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        length, self.length = self.length, 0
        super().update(layer_idx, key, value)
        self.length = length
        end = length + key.shape[2]
        return self.keys[layer_idx, :, :, :end], self.values[layer_idx, :, :, :end]


@mistake(
    "KVCache", "The place moves on in `update`, so the second layer writes behind the first: move it in `advance`."
)
class MovedOnByEachLayer(solution.KVCache):
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
    "A ValueError was raised while there was still room. Does the place move on in `update`, once for each layer? Move "
    "it in `advance`.",
)
class FullTooEarly(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        result = super().update(layer_idx, key, value)
        self.length += key.shape[2]
        return result

    def advance(self, new: int):
        pass


@mistake("KVCache", "A ValueError was raised though the tokens just fit: full is more than max_length, `>`.")
class FullOneTooEarly(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if self.length + key.shape[2] >= self.keys.shape[3]:
            raise ValueError("the cache is full")
        return super().update(layer_idx, key, value)


@mistake("KVCache", "A token that does not fit is dropped without a word: raise a ValueError.")
class DroppedInSilence(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if self.length + key.shape[2] > self.keys.shape[3]:
            return self.keys[layer_idx], self.values[layer_idx]
        return super().update(layer_idx, key, value)


@mistake("KVCache", "`advance` adds 1, however many tokens the pass had.")
class AdvancedByOne(solution.KVCache):
    def advance(self, new: int):
        self.length += 1


@mistake("KVCache", "`advance` sets the count to the new tokens; it adds them.")
class AdvancedToNew(solution.KVCache):
    def advance(self, new: int):
        self.length = new


@mistake("KVCache", "The whole room is returned, with the empty places at its end: return only what has been written.")
class WholeRoomReturned(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        super().update(layer_idx, key, value)
        return self.keys[layer_idx], self.values[layer_idx]


@mistake("KVCache", "Only what was there before is returned; a new token attends to itself too.")
class NewOnesNotReturned(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        super().update(layer_idx, key, value)
        return self.keys[layer_idx, :, :, : self.length], self.values[layer_idx, :, :, : self.length]


@mistake("KVCache", "Only the new keys and values are returned; the old ones are what the cache is for.")
class OldOnesNotReturned(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        super().update(layer_idx, key, value)
        return key, value


@mistake("KVCache", "All layers write into the same memory: each needs its own.")
class OneLayerForAll(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        return super().update(0, key, value)


@mistake("KVCache", "Keys are returned as values: two tensors, two names.")
class KeysForValues(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        keys, _ = super().update(layer_idx, key, value)
        return keys, keys


@mistake("KVCache", "After `reset` the old sequence is still there: the count must go back to 0.")
class StaleAfterReset(solution.KVCache):
    def __init__(self, num_layers, batch_size, num_key_value_heads, max_length, head_dim, dtype):
        super().__init__(num_layers, batch_size, num_key_value_heads, 2 * max_length, head_dim, dtype)
        self.room = max_length

    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if self.length + key.shape[2] > self.room:
            raise ValueError("the cache is full")
        return super().update(layer_idx, key, value)

    def reset(self):
        self.room += self.length


@mistake("KVCache", "`reset` asks for new memory; setting the count to 0 is enough, since nothing reads past it.")
class NewMemoryAtReset(solution.KVCache):
    def reset(self):
        self.length = 0
        self.keys, self.values = torch.zeros_like(self.keys), torch.zeros_like(self.values)


@mistake("KVCache", "When it is full, the oldest token is overwritten without a word: raise a ValueError.")
class OldestOverwritten(solution.KVCache):
    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        overflow = self.length + key.shape[2] - self.keys.shape[3]
        if overflow > 0:
            self.length -= overflow
            result = super().update(layer_idx, key, value)
            self.length += overflow
            return result
        return super().update(layer_idx, key, value)


@mistake("KVCache", "The cache is float32 whatever dtype it was made with.")
class AlwaysFloat32(solution.KVCache):
    def __init__(self, num_layers, batch_size, num_key_value_heads, max_length, head_dim, dtype):
        super().__init__(num_layers, batch_size, num_key_value_heads, max_length, head_dim, torch.float32)


@variant("KVCache")
class ListsOfLayers:
    def __init__(self, num_layers, batch_size, num_key_value_heads, max_length, head_dim, dtype):
        shape = (batch_size, num_key_value_heads, max_length, head_dim)
        self.layers = [(torch.empty(shape, dtype=dtype), torch.empty(shape, dtype=dtype)) for _ in range(num_layers)]
        self.seen, self.room = 0, max_length

    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        new = key.shape[-2]
        if new > self.room - self.seen:
            raise ValueError("full")
        places = torch.arange(self.seen, self.seen + new)
        for kept, states in zip(self.layers[layer_idx], (key, value), strict=True):
            kept.index_copy_(2, places, states)
        keys, values = self.layers[layer_idx]
        return keys.narrow(2, 0, self.seen + new), values.narrow(2, 0, self.seen + new)

    def advance(self, new: int):
        self.seen = self.seen + new

    def reset(self):
        self.seen = 0
        for kept in self.layers:
            for states in kept:
                states.zero_()


def project(attention: GemmaAttention, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of the new tokens, not turned."""
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    query, key, value = (attention.split_heads(projection(hidden_states)) for projection in projections)
    return query, key, value


def turn(states: Tensor, position_ids: Tensor) -> Tensor:
    cos, sin = gemma.rotary_cos_sin(position_ids, states.shape[-1], 10000, states.dtype)
    return gemma.apply_rotary_pos_emb(states, cos, sin)


def mix(attention: GemmaAttention, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    key, value = (gemma.repeat_kv(states, attention.num_groups) for states in (key, value))
    mixed, _ = vlm.attention.attention(query, key, value, attention.scaling, mask)
    return attention.o_proj(mixed.transpose(1, 2).flatten(2))


@mistake("attend", "The keys are not turned: turn queries and keys by their positions, then write the keys.")
def keys_not_turned(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    key, value = cache.update(attention.layer_idx, key, value)
    return mix(attention, turn(query, position_ids), key, value, mask)


@mistake("attend", "Old keys were written without their turn, and only the new ones are turned: turn before you write.")
def old_keys_not_turned(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    new = key.shape[2]
    key, value = cache.update(attention.layer_idx, key, value)
    key = torch.cat([key[:, :, :-new], turn(key[:, :, -new:], position_ids)], dim=2)
    return mix(attention, turn(query, position_ids), key, value, mask)


@mistake("attend", "All keys are turned by the position of the newest token; each has its own: turn before you write.")
def all_keys_turned_alike(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    new = key.shape[2]
    key, value = cache.update(attention.layer_idx, key, value)
    key = turn(key, position_ids if key.shape[2] == new else position_ids[:, -1:])
    return mix(attention, turn(query, position_ids), key, value, mask)


@mistake("attend", "Keys are turned before they are written and again when they are read: once is enough.")
def keys_turned_again(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    key, value = cache.update(attention.layer_idx, turn(key, position_ids), value)
    places = torch.arange(key.shape[2]).expand(len(key), -1)
    return mix(attention, turn(query, position_ids), turn(key, places), value, mask)


@mistake("attend", "Positions start again at 1 in each pass; take the position_ids, which go on.")
def positions_start_again(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    places = torch.arange(1, hidden_states.shape[1] + 1).expand_as(position_ids)
    return solution.attend(attention, hidden_states, places, mask, cache)


@mistake("attend", "Every row got the positions of the first one; rows with padding have others.")
def positions_of_the_first_row(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    return solution.attend(attention, hidden_states, position_ids[:1], mask, cache)


@mistake("attend", "Values are turned too; only queries and keys are.")
def values_turned(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    turned = (turn(states, position_ids) for states in (key, value))
    key, value = cache.update(attention.layer_idx, *turned)
    return mix(attention, turn(query, position_ids), key, value, mask)


@mistake("attend", "The new tokens attend to each other alone: use the keys and values that `update` returns.")
def cache_not_read(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    key = turn(key, position_ids)
    cache.update(attention.layer_idx, key, value)
    return mix(attention, turn(query, position_ids), key, value, mask[..., -key.shape[2] :])


@mistake("attend", "Every layer writes into layer 0 of the cache: use the module's layer_idx.")
def always_layer_zero(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    key, value = cache.update(0, turn(key, position_ids), value)
    return mix(attention, turn(query, position_ids), key, value, mask)


@mistake("attend", "The mask is not used.")
def mask_not_used(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    return solution.attend(attention, hidden_states, position_ids, torch.zeros_like(mask), cache)


@mistake("attend", "Nothing is turned; queries and keys both are.")
def nothing_turned(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    key, value = cache.update(attention.layer_idx, key, value)
    return mix(attention, query, key, value, mask)


@mistake("attend", "The scores are not scaled (chapter 3).")
def not_scaled(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    key, value = cache.update(attention.layer_idx, turn(key, position_ids), value)
    return mix(attention, turn(query, position_ids) / attention.scaling, key, value, mask)


@variant("attend")
def attended_by_torch(attention, hidden_states, position_ids, mask, cache) -> Tensor:
    query, key, value = project(attention, hidden_states)
    shifted = position_ids + 7  # only distances count
    key, value = cache.update(attention.layer_idx, turn(key, shifted), value)
    mixed = torch.nn.functional.scaled_dot_product_attention(
        turn(query, shifted), key, value, attn_mask=mask, scale=attention.scaling, enable_gqa=True
    )
    return attention.o_proj(mixed.transpose(1, 2).reshape(*hidden_states.shape[:2], -1))


def make_cache(model: PaliGemmaForConditionalGeneration, input_ids: Tensor, more: int) -> kv_cache.KVCache:
    return kv_cache.KVCache(model.config.text_config, input_ids.shape[0], input_ids.shape[1] + more)


@mistake(
    "generate_cached", "The whole sequence is read again for each token: keep a cache, and read the new token alone."
)
def everything_read_again(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    ids, length = input_ids, input_ids.shape[1]
    for _ in range(max_new_tokens):
        types = (torch.arange(ids.shape[1]) >= length).long().expand_as(ids)
        logits = model(ids, pixel_values, token_type_ids=types).logits
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
    return ids[:, length:]


@mistake(
    "generate_cached", "The tower looks at the picture again for each token; after the first pass the cache knows it."
)
def looked_again(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    cache, written = make_cache(model, input_ids, max_new_tokens), []
    for step in range(max_new_tokens):
        features = model.get_image_features(pixel_values)
        logits = model(input_ids, kv_cache=cache, image_features=None if step else features).logits
        input_ids = logits[:, -1:].argmax(-1)
        written.append(input_ids)
    return torch.cat(written, dim=1)


def with_positions(model, input_ids, pixel_values, max_new_tokens, position_of, cache=None) -> Tensor:
    """Like the solution, but `position_of(length of the prompt, step)` says where a new token stands."""
    batch_size, length = input_ids.shape
    cache = cache or make_cache(model, input_ids, max_new_tokens)
    written = []
    for step in range(max_new_tokens):
        positions = torch.full((batch_size, 1), position_of(length, step)) if step else None
        logits = model(input_ids, pixel_values, position_ids=positions, kv_cache=cache).logits
        input_ids, pixel_values = logits[:, -1:].argmax(-1), None
        written.append(input_ids)
    return torch.cat(written, dim=1)


@mistake("generate_cached", "It stops at `<eos>`; here exactly max_new_tokens are asked for, whatever they are.")
def stops_at_eos(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    cache, written = make_cache(model, input_ids, max_new_tokens), []
    for _ in range(max_new_tokens):
        written.append(model(input_ids, pixel_values, kv_cache=cache).logits[:, -1].argmax(-1))
        input_ids, pixel_values = written[-1][:, None], None
        if (written[-1] == model.config.eos_token_id).all():
            break
    return torch.stack(written, dim=1)


@mistake("generate_cached", "Each new token gets the position 1: positions go on where the prompt ended.")
def position_reset(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    return with_positions(model, input_ids, pixel_values, max_new_tokens, lambda _length, _step: 1)


@mistake("generate_cached", "The answer's positions start again at 1: they go on where the prompt ended.")
def positions_of_the_answer_alone(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    return with_positions(model, input_ids, pixel_values, max_new_tokens, lambda _length, step: step)


@mistake(
    "generate_cached",
    "New tokens stand one place too early: the first one has the position of the prompt's last token.",
)
def one_place_early(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    return with_positions(model, input_ids, pixel_values, max_new_tokens, lambda length, step: length + step - 1)


@mistake("generate_cached", "The cache of an earlier prompt was used again: make one for each call, or reset it.")
def stale_cache(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    if not hasattr(model, "kept"):
        model.kept = make_cache(model, input_ids, 100)
    written = []
    for _ in range(max_new_tokens):
        logits = model(input_ids, pixel_values, kv_cache=model.kept).logits
        input_ids, pixel_values = logits[:, -1:].argmax(-1), None
        written.append(input_ids)
    return torch.cat(written, dim=1)


@mistake("generate_cached", "The first token is taken from the scores of the first place; take those of the last one.")
def scores_of_the_first_place(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    cache, written = make_cache(model, input_ids, max_new_tokens), []
    for _ in range(max_new_tokens):
        logits = model(input_ids, pixel_values, kv_cache=cache).logits
        input_ids, pixel_values = logits[:, :1].argmax(-1), None
        written.append(input_ids)
    return torch.cat(written, dim=1)


@mistake("generate_cached", "The last token is read too, though nobody asks what comes after it: one pass too many.")
def last_token_read_too(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    return solution.generate_cached(model, input_ids, pixel_values, max_new_tokens + 1)[:, :-1]


@mistake("generate_cached", "The prompt is part of what you return; return the new tokens alone.")
def prompt_returned_too(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    return torch.cat([input_ids, solution.generate_cached(model, input_ids, pixel_values, max_new_tokens)], dim=1)


@mistake("generate_cached", "The last prompt token is read a second time, as if it were the first new one.")
def last_of_the_prompt_read_twice(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    cache, written = make_cache(model, input_ids, max_new_tokens + 1), []
    model(input_ids, pixel_values, kv_cache=cache)
    token = input_ids[:, -1:]
    for _ in range(max_new_tokens):
        token = model(token, kv_cache=cache).logits[:, -1:].argmax(-1)
        written.append(token)
    return torch.cat(written, dim=1)


@variant("generate_cached")
def prefilled_before_the_loop(model, input_ids, pixel_values, max_new_tokens) -> Tensor:
    length = input_ids.shape[1]
    cache = make_cache(model, input_ids, max_new_tokens - 1)
    features = model.get_image_features(pixel_values)
    places = torch.arange(length).expand_as(input_ids)  # from 0: only distances count
    logits = model(input_ids, position_ids=places, kv_cache=cache, image_features=features, logits_to_keep=1).logits
    tokens = [logits[:, -1].topk(1).indices]
    while len(tokens) < max_new_tokens:
        place = torch.full_like(tokens[-1], length + len(tokens) - 1)
        logits = model(tokens[-1], position_ids=place, kv_cache=cache).logits
        tokens.append(logits[:, -1].topk(1).indices)
    return torch.cat(tokens, dim=-1)
