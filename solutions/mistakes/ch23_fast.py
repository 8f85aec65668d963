"""Mistakes people make in chapter 23, and other right answers."""

import dataclasses

import numpy as np
import torch

import vlm.attention
from grader import mistake, variant
from solutions import ch23_fast as solution
from vlm.gemma import repeat_kv


def limit(config, bytes_per_weight, gigabytes_per_second, own=None, shared=None, mlp=3, heads=1, giga=1e9):
    """Like the solution, with parts that a mistake replaces: numbers of vectors, matrices and copies of the head."""
    own = 2 * config.num_attention_heads * config.head_dim if own is None else own
    shared = 2 * config.num_key_value_heads * config.head_dim if shared is None else shared
    layer = config.hidden_size * (own + shared + mlp * config.intermediate_size)
    weights = config.num_hidden_layers * layer + heads * config.vocab_size * config.hidden_size
    return gigabytes_per_second * giga / (weights * bytes_per_weight)


@mistake("tokens_per_second_limit", "The head is missing: the scores of all words are a product with a large matrix.")
def head_forgotten(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, heads=0)


@mistake(
    "tokens_per_second_limit",
    "[vocab_size, hidden_size] is counted twice: as the head it is read whole, as the embedding only one row of it is.",
)
def embedding_counted_too(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, heads=2)


@mistake(
    "tokens_per_second_limit",
    "Your key and value projections are as wide as the query's: they have num_key_value_heads * head_dim rows.",
)
def keys_as_wide_as_queries(config, bytes_per_weight, gigabytes_per_second):
    shared = 2 * config.num_attention_heads * config.head_dim
    return limit(config, bytes_per_weight, gigabytes_per_second, shared=shared)


@mistake("tokens_per_second_limit", "Keys and values have a projection each; you count one for both.")
def one_projection_for_keys_and_values(config, bytes_per_weight, gigabytes_per_second):
    shared = config.num_key_value_heads * config.head_dim
    return limit(config, bytes_per_weight, gigabytes_per_second, shared=shared)


@mistake("tokens_per_second_limit", "The output projection is missing: the attention has four matrices.")
def output_projection_forgotten(config, bytes_per_weight, gigabytes_per_second):
    own = config.num_attention_heads * config.head_dim
    return limit(config, bytes_per_weight, gigabytes_per_second, own=own)


@mistake(
    "tokens_per_second_limit",
    "Your query and output projections are squares; one side is num_attention_heads * head_dim.",
)
def square_projections(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, own=2 * config.hidden_size)


@mistake("tokens_per_second_limit", "The attention is missing.")
def attention_forgotten(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, own=0, shared=0)


@mistake("tokens_per_second_limit", "Gemma's MLP has three matrices: gate, up and down.")
def two_matrices_in_the_mlp(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, mlp=2)


@mistake("tokens_per_second_limit", "You count one layer; all num_hidden_layers are read.")
def one_layer(config, bytes_per_weight, gigabytes_per_second):
    return limit(dataclasses.replace(config, num_hidden_layers=1), bytes_per_weight, gigabytes_per_second)


@mistake("tokens_per_second_limit", "The head is counted in each layer; there is one.")
def head_in_each_layer(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, heads=config.num_hidden_layers)


@mistake("tokens_per_second_limit", "You count bits: bytes_per_weight is in bytes already, so there is no 8.")
def bits(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, 8 * bytes_per_weight, gigabytes_per_second)


@mistake("tokens_per_second_limit", "A gigabyte is 10**9 bytes here; 2**30 bytes are a gibibyte.")
def gibibytes(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, giga=2**30)


@mistake("tokens_per_second_limit", "The bandwidth is in gigabytes: times 10**9.")
def giga_forgotten(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, giga=1)


@mistake("tokens_per_second_limit", "These are seconds for a token; turn it over: bandwidth divided by bytes.")
def seconds_per_token(config, bytes_per_weight, gigabytes_per_second):
    return 1 / limit(config, bytes_per_weight, gigabytes_per_second)


@mistake("tokens_per_second_limit", "You count weights, not bytes: bytes_per_weight is missing.")
def bytes_forgotten(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, 1, gigabytes_per_second)


@mistake("tokens_per_second_limit", "More bytes per weight make it slower: divide by them.")
def bytes_on_the_wrong_side(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, 1 / bytes_per_weight, gigabytes_per_second)


@mistake("tokens_per_second_limit", "The result is rounded down; leave it as it is.")
def rounded_down(config, bytes_per_weight, gigabytes_per_second):
    return float(int(limit(config, bytes_per_weight, gigabytes_per_second)))


@variant("tokens_per_second_limit")
def matrix_by_matrix(config, bytes_per_weight, gigabytes_per_second):
    wide, narrow = (n * config.head_dim for n in (config.num_attention_heads, config.num_key_value_heads))
    width, mlp = config.hidden_size, config.intermediate_size
    layer = [(wide, width), (narrow, width), (narrow, width), (width, wide), (mlp, width), (mlp, width), (width, mlp)]
    shapes = layer * config.num_hidden_layers + [(config.vocab_size, width)]
    seconds = sum(high * low for high, low in shapes) * bytes_per_weight / (gigabytes_per_second * 10**9)
    return 1 / seconds


@variant("tokens_per_second_limit")
def from_a_model_without_numbers(config, bytes_per_weight, gigabytes_per_second):
    from vlm.gemma import GemmaForCausalLM

    with torch.device("meta"):
        model = GemmaForCausalLM(config)
    matrices = {id(p): p for p in model.parameters() if p.dim() == 2}  # the tied head once
    size = sum(p.numel() for p in matrices.values()) * bytes_per_weight
    return gigabytes_per_second / (size / 1e9)


def groups(query, key):
    """G."""
    return query.shape[1] // key.shape[1]


def mix(rows, key, value, scaling, mask):
    return vlm.attention.attention(rows, key, value, scaling, mask)[0]


def repeat_mask(mask, num_groups):
    return None if mask is None else mask.repeat(1, 1, num_groups, 1)


@mistake("attend_grouped", "Heads h, h + K, h + 2 K share a key with you: neighbours share, 0 to G - 1 use key head 0.")
def far_heads_share(query, key, value, scaling, mask):
    batch, _, new, size = query.shape
    rows = query.unflatten(1, (-1, key.shape[1])).transpose(1, 2).reshape(batch, key.shape[1], -1, size)
    mixed = mix(rows, key, value, scaling, repeat_mask(mask, groups(query, key)))
    return mixed.unflatten(2, (-1, new)).transpose(1, 2).reshape(query.shape)


@mistake(
    "attend_grouped",
    "Each row of the mask is repeated at its place; the rows are all tokens of one head, then of the next: tile it.",
)
def mask_row_by_row(query, key, value, scaling, mask):
    if mask is not None:
        mask = mask.repeat_interleave(groups(query, key), dim=2)
    rows = query.reshape(len(query), key.shape[1], -1, query.shape[-1])
    return mix(rows, key, value, scaling, mask).reshape(query.shape)


@mistake(
    "attend_grouped",
    "Keys are copied for each head that shares them, by `repeat_kv` or by a product that stretches an axis of size 1. "
    "Make the queries rows of one matrix.",
)
def keys_repeated(query, key, value, scaling, mask):
    key, value = (repeat_kv(states, groups(query, key)) for states in (key, value))
    return mix(query, key, value, scaling, mask)


@mistake("attend_grouped", "The scores are not scaled.")
def not_scaled(query, key, value, scaling, mask):
    return solution.attend_grouped(query, key, value, 1.0, mask)


@mistake("attend_grouped", "The scores are scaled twice: `attention` scales them already.")
def scaled_twice(query, key, value, scaling, mask):
    return solution.attend_grouped(query, key, value, scaling * scaling, mask)


@mistake("attend_grouped", "You scale by 1 / sqrt(E); `scaling` is given, and need not be that.")
def scaled_by_head_dim(query, key, value, scaling, mask):
    return solution.attend_grouped(query, key, value, query.shape[-1] ** -0.5, mask)


@mistake("attend_grouped", "The mask is ignored.")
def mask_ignored(query, key, value, scaling, mask):
    return solution.attend_grouped(query, key, value, scaling, None)


@mistake("attend_grouped", "Every new token gets the mask of the last one; each row of the mask is for its own token.")
def mask_of_the_last_token(query, key, value, scaling, mask):
    return solution.attend_grouped(
        query, key, value, scaling, None if mask is None else mask[:, :, -1:].expand_as(mask)
    )


@mistake("attend_grouped", "Only the first of the heads that share a key is masked; repeat the mask for each.")
def first_head_masked(query, key, value, scaling, mask):
    rows = query.reshape(len(query), key.shape[1], -1, query.shape[-1])
    if mask is not None:
        rest = torch.zeros_like(mask).repeat(1, 1, groups(query, key) - 1, 1)
        mask = torch.cat([mask, rest], dim=2)
    return mix(rows, key, value, scaling, mask).reshape(query.shape)


@mistake(
    "attend_grouped",
    "The result is not put back in the order of the heads: a row of [B, K, G * S, E] is head first, then token.",
)
def put_back_in_another_order(query, key, value, scaling, mask):
    rows = query.reshape(len(query), key.shape[1], -1, query.shape[-1])
    mixed = mix(rows, key, value, scaling, repeat_mask(mask, groups(query, key)))  # [B, K, G S, E]
    return mixed.unflatten(2, (query.shape[2], -1)).transpose(2, 3).reshape(query.shape)


@mistake(
    "attend_grouped",
    "Key heads and their groups have changed places in the result: it is [B, K, G, S, E], then [B, A, S, E].",
)
def groups_before_keys(query, key, value, scaling, mask):
    mixed = solution.attend_grouped(query, key, value, scaling, mask).unflatten(1, (key.shape[1], -1))
    return mixed.transpose(1, 2).reshape(query.shape)


@mistake(
    "attend_grouped", "Tokens and heads are mixed up: the axes of the query are heads, then tokens. Do not swap them."
)
def axes_swapped_first(query, key, value, scaling, mask):
    rows = query.transpose(1, 2).reshape(len(query), key.shape[1], -1, query.shape[-1])
    return mix(rows, key, value, scaling, repeat_mask(mask, groups(query, key))).reshape(query.shape)


@mistake("attend_grouped", "The rows are still together, [B, K, G * S, E]: make heads of them again, [B, A, S, E].")
def not_put_back(query, key, value, scaling, mask):
    return solution.attend_grouped(query, key, value, scaling, mask).reshape(
        len(query), key.shape[1], -1, query.shape[-1]
    )


@mistake("attend_grouped", "All heads use the first key head.")
def first_key_for_all(query, key, value, scaling, mask):
    return solution.attend_grouped(query, key[:, :1], value[:, :1], scaling, mask)


@mistake("attend_grouped", "The keys are mixed; weights mix the values.")
def keys_mixed(query, key, value, scaling, mask):
    return solution.attend_grouped(query, key, key, scaling, mask)


@variant("attend_grouped")
def with_einsum(query, key, value, scaling, mask):
    grouped = query.unflatten(1, (key.shape[1], -1))  # [B, K, G, S, E]
    scores = torch.einsum("bkgse,bkte->bkgst", grouped, key) * scaling
    if mask is not None:
        scores = scores + mask[:, :, None]
    return torch.einsum("bkgst,bkte->bkgse", scores.softmax(-1), value).flatten(1, 2)


@variant("attend_grouped")
def mask_on_an_axis_of_its_own(query, key, value, scaling, mask):
    batch, heads, new, size = query.shape
    shared = key.shape[1]
    scores = (query * scaling).reshape(batch, shared, heads // shared * new, size) @ key.mT
    scores = scores.view(batch, shared, heads // shared, new, -1)
    weights = torch.softmax(scores if mask is None else scores + mask.unsqueeze(2), dim=-1)
    return (weights.view(batch, shared, heads // shared * new, -1) @ value).view(batch, heads, new, size)


@variant("attend_grouped")
def key_head_by_key_head(query, key, value, scaling, mask):
    mixed = []
    for head, rows in enumerate(query.chunk(key.shape[1], dim=1)):
        joined = rows.flatten(1, 2)[:, None]  # [B, 1, G S, E]
        known = key[:, head : head + 1], value[:, head : head + 1]
        mixed.append(mix(joined, *known, scaling, repeat_mask(mask, rows.shape[1])).view(rows.shape))
    return torch.cat(mixed, dim=1)


@mistake(
    "StaticCache",
    "All layers write into the same memory: `[torch.zeros(...)] * n` is n names for one tensor. Make one for each, and "
    "choose it by layer_idx.",
)
class OneTensorForAllLayers(solution.StaticCache):
    def __init__(self, num_layers, batch_size, num_key_value_heads, max_length, head_dim):
        shape = (batch_size, num_key_value_heads, max_length, head_dim)
        self.keys, self.values = [torch.zeros(shape)] * num_layers, [torch.zeros(shape)] * num_layers


@mistake("StaticCache", "Keys and values lie in the same tensor, and the values are written last: make two.")
class ValuesOverKeys(solution.StaticCache):
    def __init__(self, num_layers, batch_size, num_key_value_heads, max_length, head_dim):
        super().__init__(num_layers, batch_size, num_key_value_heads, max_length, head_dim)
        self.values = self.keys


@mistake("StaticCache", "Values are returned first: keys, then values.")
class ValuesFirst(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        return super().write(layer_idx, places, key, value, length)[::-1]


@mistake("StaticCache", "The whole room is returned; return the first `length` places.")
class WholeRoom(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        super().write(layer_idx, places, key, value, length)
        return self.keys[layer_idx], self.values[layer_idx]


@mistake("StaticCache", "Only the new keys and values are returned; return all of the first `length` places.")
class OnlyTheNew(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        super().write(layer_idx, places, key, value, length)
        return key, value


@mistake(
    "StaticCache",
    "`write` asks for memory for everything each time, as `torch.cat`, `clone` and `index_copy` without a `_` do: "
    "change the tensors in place, and return slices of them.",
)
class Copied(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        keys, values = super().write(layer_idx, places, key, value, length)
        return keys.clone(), values.clone()


@mistake(
    "StaticCache",
    "`__init__` does not ask for all the memory. What is made at the first write is not there yet when the step is "
    "compiled: make all layers in `__init__`.",
)
class LayersMadeLater(solution.StaticCache):
    def __init__(self, num_layers, batch_size, num_key_value_heads, max_length, head_dim):
        self.shape = (batch_size, num_key_value_heads, max_length, head_dim)
        self.keys, self.values = {}, {}

    def write(self, layer_idx, places, key, value, length):
        for kept in (self.keys, self.values):
            if layer_idx not in kept:
                kept[layer_idx] = torch.zeros(self.shape)
        return super().write(layer_idx, places, key, value, length)


@mistake(
    "StaticCache", "What lies behind `length` is wiped. It is only not read this time: a later call may read further."
)
class WipedBehind(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        keys, values = super().write(layer_idx, places, key, value, length)
        self.keys[layer_idx][:, :, length:] = 0
        self.values[layer_idx][:, :, length:] = 0
        return keys, values


@mistake("StaticCache", "Only the last token is written, at length - 1; there is a place for each.")
class OnlyTheLast(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        self.keys[layer_idx][:, :, length - 1] = key[:, :, -1]
        self.values[layer_idx][:, :, length - 1] = value[:, :, -1]
        return self.keys[layer_idx][:, :, :length], self.values[layer_idx][:, :, :length]


@mistake("StaticCache", "The tokens are written at the end of the `length` places; `places` says where they go.")
class AlwaysAtTheEnd(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        return super().write(layer_idx, torch.arange(length - len(places), length), key, value, length)


@mistake("StaticCache", "All are written behind the first of the places; they may be in any order.")
class BehindTheFirstPlace(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        return super().write(layer_idx, places[0] + torch.arange(len(places)), key, value, length)


@mistake("StaticCache", "The places are put in order, and the tokens are not: token s goes to places[s].")
class PlacesSorted(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        return super().write(layer_idx, places.sort().values, key, value, length)


@mistake("StaticCache", "Up to the newest place is returned; `length` says how far to read.")
class ReadToTheNewest(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        return super().write(layer_idx, places, key, value, int(places.max()) + 1)


@mistake("StaticCache", "New numbers are added to what was there; they replace it.")
class Added(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        self.keys[layer_idx].index_add_(2, places, key)
        self.values[layer_idx].index_add_(2, places, value)
        return self.keys[layer_idx][:, :, :length], self.values[layer_idx][:, :, :length]


@mistake("StaticCache", "Nothing is written: an index with a tensor makes a copy, and you change the copy.")
class NothingWritten(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        self.keys[layer_idx][:, :, places].copy_(key)
        self.values[layer_idx][:, :, places].copy_(value)
        return self.keys[layer_idx][:, :, :length], self.values[layer_idx][:, :, :length]


@mistake("StaticCache", "Nothing is written: `index_copy` without a `_` gives a new tensor and leaves the old one.")
class ResultDropped(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        self.keys[layer_idx].index_copy(2, places, key)
        self.values[layer_idx].index_copy(2, places, value)
        return self.keys[layer_idx][:, :, :length], self.values[layer_idx][:, :, :length]


@mistake("StaticCache", "The last `length` places are returned; return the first.")
class TheLastPlaces(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        super().write(layer_idx, places, key, value, length)
        return self.keys[layer_idx][:, :, -length:], self.values[layer_idx][:, :, -length:]


@variant("StaticCache")
class OneLargeTensor:
    def __init__(self, num_layers, batch_size, num_key_value_heads, max_length, head_dim):
        self.states = torch.empty(2, num_layers, batch_size, num_key_value_heads, max_length, head_dim)

    def write(self, layer_idx, places, key, value, length):
        for kept, new in zip(self.states[:, layer_idx], (key, value)):
            kept[:, :, places] = new
        keys, values = self.states[:, layer_idx, :, :, :length]
        return keys, values


@variant("StaticCache")
class WithScatter(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        for kept, new in ((self.keys, key), (self.values, value)):
            kept[layer_idx].scatter_(2, places[None, None, :, None].repeat(*key.shape[:2], 1, key.shape[3]), new)
        return self.keys[layer_idx].narrow(2, 0, length), self.values[layer_idx].narrow(2, 0, length)


@variant("StaticCache")
class TokenByToken(solution.StaticCache):
    def write(self, layer_idx, places, key, value, length):
        for token, place in enumerate(places.tolist()):
            self.keys[layer_idx][:, :, place] = key[:, :, token]
            self.values[layer_idx][:, :, place] = value[:, :, token]
        return self.keys[layer_idx][..., :length, :], self.values[layer_idx][..., :length, :]


@mistake(
    "next_token",
    "It goes through the rows and asks each tensor for its numbers, as `if ended[i]` and `.item()` do: choose between "
    "whole tensors instead, with torch.where or masked_fill.",
)
def row_by_row(logits, ended, eos_token_id, pad_token_id):
    token = logits.argmax(-1)
    for row in range(len(token)):
        if ended[row]:
            token[row] = pad_token_id
    return token, ended | (token == eos_token_id)


@mistake(
    "next_token",
    "It asks a tensor for one number to decide what to do, as `if ended.all()` does: the program breaks there. Let the "
    "caller ask, outside.",
)
def returns_early(logits, ended, eos_token_id, pad_token_id):
    if ended.all():
        return torch.full_like(ended, pad_token_id, dtype=torch.int64), ended
    return solution.next_token(logits, ended, eos_token_id, pad_token_id)


@mistake(
    "next_token",
    "It takes the numbers out of a tensor, by `.tolist()` or `.numpy()`, and makes new ones of them: stay in torch.",
)
def through_a_list(logits, ended, eos_token_id, pad_token_id):
    pairs = zip(logits.argmax(-1).tolist(), ended.tolist())
    token = torch.tensor([pad_token_id if over else best for best, over in pairs])
    return token, ended | (token == eos_token_id)


@mistake("next_token", "Rows that have ended go on: they get the pad token.")
def no_padding(logits, ended, eos_token_id, pad_token_id):
    token = logits.argmax(-1)
    return token, ended | (token == eos_token_id)


@mistake("next_token", "`ended` is returned as it came: a row that says `<eos>` now has ended too.")
def ended_not_updated(logits, ended, eos_token_id, pad_token_id):
    return solution.next_token(logits, ended, eos_token_id, pad_token_id)[0], ended


@mistake("next_token", "`<eos>` is replaced by the pad token in the step that says it: fill in `ended` from before.")
def eos_replaced(logits, ended, eos_token_id, pad_token_id):
    token = logits.argmax(-1)
    ended = ended | (token == eos_token_id)
    return token.masked_fill(ended, pad_token_id), ended


@mistake("next_token", "Rows that ended earlier are forgotten: `ended` from before, or `<eos>` now.")
def earlier_ends_forgotten(logits, ended, eos_token_id, pad_token_id):
    token, _ = solution.next_token(logits, ended, eos_token_id, pad_token_id)
    return token, token == eos_token_id


@mistake("next_token", "A row that has ended and says `<eos>` again goes on: it must be `|`, not `^` or `!=`.")
def ended_twice_goes_on(logits, ended, eos_token_id, pad_token_id):
    token, _ = solution.next_token(logits, ended, eos_token_id, pad_token_id)
    return token, ended ^ (logits.argmax(-1) == eos_token_id)


@mistake("next_token", "Both are asked for: a row has ended if it ended before *or* says `<eos>` now.")
def both_needed(logits, ended, eos_token_id, pad_token_id):
    token, _ = solution.next_token(logits, ended, eos_token_id, pad_token_id)
    return token, ended & (logits.argmax(-1) == eos_token_id)


@mistake("next_token", "A row that says the pad token is taken for ended; only `<eos>` ends it.")
def pad_ends_too(logits, ended, eos_token_id, pad_token_id):
    token, ended = solution.next_token(logits, ended, eos_token_id, pad_token_id)
    return token, ended | (token == pad_token_id)


@mistake("next_token", "It is upside down: rows that go on get the pad token.")
def going_rows_padded(logits, ended, eos_token_id, pad_token_id):
    token = torch.where(ended, logits.argmax(-1), pad_token_id)
    return token, ended | (logits.argmax(-1) == eos_token_id)


@mistake("next_token", "Rows that have ended say `<eos>` again and again; they get the pad token.")
def filled_with_eos(logits, ended, eos_token_id, pad_token_id):
    return solution.next_token(logits, ended, eos_token_id, eos_token_id)


@mistake("next_token", "Rows that have ended get 0; the pad token may be another.")
def filled_with_zero(logits, ended, eos_token_id, pad_token_id):
    return solution.next_token(logits, ended, eos_token_id, 0)


@mistake("next_token", "`ended` itself is changed, as `|=` does: make a new tensor.")
def changed_in_place(logits, ended, eos_token_id, pad_token_id):
    token = logits.argmax(-1).masked_fill(ended, pad_token_id)
    ended |= token == eos_token_id
    return token, ended


@mistake("next_token", "The tokens are a column, [B, 1]: return [B].")
def column(logits, ended, eos_token_id, pad_token_id):
    token, ended = solution.next_token(logits, ended, eos_token_id, pad_token_id)
    return token[:, None], ended


@mistake("next_token", "The largest score itself is returned; return its place, the token.")
def scores_for_tokens(logits, ended, eos_token_id, pad_token_id):
    token = logits.amax(-1).masked_fill(ended, pad_token_id)
    return token, ended | (token == eos_token_id)


@variant("next_token")
def with_where(logits, ended, eos_token_id, pad_token_id):
    best = torch.max(logits.softmax(-1), dim=1).indices
    now = torch.logical_or(ended, best.eq(eos_token_id))
    return torch.where(ended, pad_token_id, best), now


@variant("next_token")
def by_multiplying(logits, ended, eos_token_id, pad_token_id):
    token = logits.topk(1).indices[:, 0] * ~ended + pad_token_id * ended
    return token, (ended.int() + (token == eos_token_id).int()) > 0


@variant("next_token")
def by_an_index_with_a_mask(logits, ended, eos_token_id, pad_token_id):
    token = logits.argmax(-1)
    token[ended] = pad_token_id
    return token, (token == eos_token_id).logical_or_(ended)


@variant("next_token")
def rows_in_a_loop_without_asking(logits, ended, eos_token_id, pad_token_id):
    pad = torch.full_like(ended, pad_token_id, dtype=torch.int64)
    rows = [torch.where(ended[row], pad[row], logits[row].argmax()) for row in range(len(logits))]
    token = torch.stack(rows)
    return token, ended | (token == eos_token_id)


def round_by(values, scale):
    """By a scale that is above 0."""
    return (values / scale).round().clamp(-128, 127).to(torch.int8), scale.float()


def largest(values, **axis):
    return values.abs().amax(**axis).clamp(min=1e-12)


@mistake("quantize_rows", "You have one scale for the whole tensor: a row of small numbers loses nearly all of them.")
def one_scale_for_all(values):
    scale = (largest(values, dim=(0, 1)) / 127).expand(len(values), 1)
    return round_by(values, scale)


@mistake("quantize_rows", "You have one scale, a single number, for the whole tensor: take one for each row, [R, 1].")
def one_number_for_all(values):
    return round_by(values, largest(values) / 127)


@mistake("quantize_rows", "The scale is the largest magnitude over 128, and 128 is too large for int8: 127.")
def one_hundred_and_twenty_eight(values):
    scale = largest(values, dim=1, keepdim=True) / 128
    return (values / scale).round().to(torch.int16).to(torch.int8), scale  # 128 becomes -128


@mistake("quantize_rows", "You divide by 128 and cut 128 off to 127; the largest magnitude over 127 needs no cut.")
def one_hundred_and_twenty_eight_cut_off(values):
    return round_by(values, largest(values, dim=1, keepdim=True) / 128)


@mistake("quantize_rows", "The largest magnitude becomes 255; int8 ends at 127.")
def two_hundred_and_fifty_five(values):
    scale = largest(values, dim=1, keepdim=True) / 255
    return (values / scale).round().to(torch.int16).to(torch.int8), scale


@mistake("quantize_rows", "Numbers are cut off, not rounded: to(torch.int8) drops what is behind the point.")
def cut_off(values):
    scale = largest(values, dim=1, keepdim=True) / 127
    return (values / scale).to(torch.int8), scale


@mistake("quantize_rows", "Numbers are rounded down; round them to the nearest.")
def rounded_towards_minus_infinity(values):
    scale = largest(values, dim=1, keepdim=True) / 127
    return (values / scale).floor().to(torch.int8), scale


@mistake(
    "quantize_rows",
    "The scale of a row of zeros is 0, and 0 / 0 is NaN, for which int8 has no number: clamp the scale.",
)
def zero_scale(values):
    scale = values.abs().amax(dim=1, keepdim=True) / 127
    return (values / scale).nan_to_num().round().to(torch.int8), scale


@mistake("quantize_rows", "The scales are those of the columns: take the largest magnitude along the last axis.")
def scales_of_columns(values):
    return round_by(values, largest(values, dim=0, keepdim=True) / 127)


@mistake("quantize_rows", "Negative numbers become 0: int8 goes down to -128.")
def negatives_cut_off(values):
    rounded, scale = solution.quantize_rows(values)
    return rounded.clamp(min=0), scale


@mistake(
    "quantize_rows", "You take the largest number, not the largest magnitude: a row may be furthest from 0 below it."
)
def largest_without_abs(values):
    return round_by(values, values.amax(dim=1, keepdim=True).clamp(min=1e-12) / 127)


@mistake(
    "quantize_rows", "You spread the row from its smallest to its largest number; 0 must stay 0, with one scale alone."
)
def with_a_zero_point(values):
    low, high = values.aminmax(dim=1, keepdim=True)
    scale = (high - low).clamp(min=1e-12) / 255
    return ((values - low) / scale - 128).round().to(torch.int8), scale


@mistake("quantize_rows", "The scale is upside down: it is what each rounded number must be multiplied by.")
def scale_upside_down(values):
    rounded, scale = solution.quantize_rows(values)
    return rounded, 1 / scale


@mistake("quantize_rows", "The scale is the largest magnitude itself; divide it by 127.")
def scale_not_divided(values):
    rounded, scale = solution.quantize_rows(values)
    return rounded, scale * 127


@mistake("quantize_rows", "The scales have lost their axis, [R]: keepdim=True makes them [R, 1].")
def scale_without_its_axis(values):
    rounded, scale = solution.quantize_rows(values)
    return rounded, scale[:, 0]


@mistake("quantize_rows", "The rounded numbers are still float32: that saves nothing. to(torch.int8).")
def still_float(values):
    rounded, scale = solution.quantize_rows(values)
    return rounded.float(), scale


@mistake("quantize_rows", "You took uint8, which has no negative numbers: int8.")
def without_sign(values):
    rounded, scale = solution.quantize_rows(values)
    return rounded.clamp(min=0).to(torch.uint8), scale


@mistake("quantize_rows", "The rounded numbers are not divided by the scale before rounding.")
def not_divided(values):
    return values.round().to(torch.int8), solution.quantize_rows(values)[1]


@variant("quantize_rows")
def ones_for_rows_of_zeros(values):
    scale = torch.linalg.vector_norm(values, ord=torch.inf, dim=1, keepdim=True) / 127
    scale = torch.where(scale == 0, 1.0, scale)
    return torch.floor(values / scale + 0.5).char(), scale  # half up: no case is so near to a half


@variant("quantize_rows")
def one_row_after_the_other(values):
    rounded, scales = torch.zeros(values.shape, dtype=torch.int8), torch.ones(len(values), 1)
    for number, row in enumerate(values.tolist()):
        top = max(abs(value) for value in row)
        if top:
            rounded[number] = torch.tensor([round(value * 127 / top) for value in row], dtype=torch.int8)
            scales[number] = top / 127
    return rounded, scales


@variant("quantize_rows")
def with_a_small_summand(values):
    low, high = values.aminmax(dim=1, keepdim=True)
    scale = torch.maximum(-low, high) / 127 + 1e-12
    return torch.clamp(torch.round(values / scale), -127, 127).to(torch.int8), scale


def rounded_products(hidden_states, weight):
    """The products of the rounded numbers, and both scales: [R, O], [R, 1], [O, 1]."""
    rounded, scale = solution.quantize_rows(hidden_states)
    rounded_weight, weight_scale = solution.quantize_rows(weight)
    return rounded.float() @ rounded_weight.float().T, scale, weight_scale


@mistake("int8_linear", "The scales of the tokens are missing.")
def token_scale_forgotten(hidden_states, weight):
    products, _, weight_scale = rounded_products(hidden_states, weight)
    return products * weight_scale.T


@mistake("int8_linear", "The scales of the matrix are missing.")
def weight_scale_forgotten(hidden_states, weight):
    products, scale, _ = rounded_products(hidden_states, weight)
    return products * scale


@mistake("int8_linear", "Both scales are missing: these are products of rounded numbers.")
def both_scales_forgotten(hidden_states, weight):
    return rounded_products(hidden_states, weight)[0]


@mistake("int8_linear", "You divide by the scales; multiply by them.")
def divided_by_scales(hidden_states, weight):
    products, scale, weight_scale = rounded_products(hidden_states, weight)
    return products / scale / weight_scale.T


@mistake("int8_linear", "The products are added up in int8, which ends at 127 and starts again at -128: take int32.")
def sums_overflow(hidden_states, weight):
    products, scale, weight_scale = rounded_products(hidden_states, weight)
    return products.int().to(torch.int8) * scale * weight_scale.T


@mistake("int8_linear", "The products are rounded to float16, which knows no number above 65504: take int32.")
def sums_in_half_precision(hidden_states, weight):
    products, scale, weight_scale = rounded_products(hidden_states, weight)
    return products.half().float() * scale * weight_scale.T


@mistake("int8_linear", "Only the matrix is rounded; round the tokens' vectors too.")
def only_the_weight_rounded(hidden_states, weight):
    rounded, scale = solution.quantize_rows(weight)
    return hidden_states @ (rounded * scale).T


@mistake("int8_linear", "Only the tokens' vectors are rounded; round the matrix too.")
def only_the_tokens_rounded(hidden_states, weight):
    rounded, scale = solution.quantize_rows(hidden_states)
    return (rounded * scale) @ weight.T


@mistake("int8_linear", "Nothing is rounded: this is the product itself.")
def nothing_rounded(hidden_states, weight):
    return hidden_states @ weight.T


@mistake("int8_linear", "The matrix has one scale for all its numbers; it has one for each row.")
def one_scale_for_the_matrix(hidden_states, weight):
    rounded, scale = solution.quantize_rows(hidden_states)
    rounded_weight, weight_scale = solution.quantize_rows(weight.reshape(1, -1))
    return rounded.float() @ rounded_weight.float().reshape(weight.shape).T * scale * weight_scale


@mistake("int8_linear", "All tokens have one scale; each has its own.")
def one_scale_for_the_tokens(hidden_states, weight):
    rounded, scale = solution.quantize_rows(hidden_states.reshape(1, -1))
    rounded_weight, weight_scale = solution.quantize_rows(weight)
    return rounded.float().reshape(hidden_states.shape) @ rounded_weight.float().T * scale * weight_scale.T


@mistake(
    "int8_linear",
    "The scales of the matrix are those of its columns: such a scale does not come out of the sum. Take those of rows.",
)
def scales_of_the_columns(hidden_states, weight):
    rounded, scale = solution.quantize_rows(hidden_states)
    rounded_weight, weight_scale = solution.quantize_rows(weight.T)
    return (rounded * scale) @ (rounded_weight * weight_scale)


@mistake("int8_linear", "A row of zeros makes NaN: 0 / 0. Clamp the scale.")
def nan_of_zeros(hidden_states, weight):
    scale, weight_scale = (values.abs().amax(1, keepdim=True) / 127 for values in (hidden_states, weight))
    return (hidden_states / scale).round() @ (weight / weight_scale).round().T * scale * weight_scale.T


@mistake("int8_linear", "Numbers are cut off, not rounded.")
def numbers_cut_off(hidden_states, weight):
    rounded, scale = cut_off_rows(hidden_states)
    rounded_weight, weight_scale = cut_off_rows(weight)
    return rounded @ rounded_weight.T * scale * weight_scale.T


def cut_off_rows(values):
    scale = largest(values, dim=1, keepdim=True) / 127
    return (values / scale).trunc(), scale


@mistake("int8_linear", "The result is rounded to whole numbers.")
def result_in_whole_numbers(hidden_states, weight):
    return solution.int8_linear(hidden_states, weight).round()


@variant("int8_linear")
def with_the_kernel(hidden_states, weight):
    (rounded, scale), (rounded_weight, weight_scale) = map(solution.quantize_rows, (hidden_states, weight))
    return torch._int_mm(rounded, rounded_weight.t()).float() * (scale * weight_scale.T)


@variant("int8_linear")
def in_float32(hidden_states, weight):
    products, scale, weight_scale = rounded_products(hidden_states, weight)
    return weight_scale.flatten() * (scale * products)


@variant("int8_linear")
def scaled_back_before(hidden_states, weight):
    (rounded, scale), (rounded_weight, weight_scale) = map(solution.quantize_rows, (hidden_states, weight))
    return torch.nn.functional.linear(rounded * scale, rounded_weight * weight_scale)


@variant("int8_linear")
def in_numpy(hidden_states, weight):
    (rounded, scale), (rounded_weight, weight_scale) = map(solution.quantize_rows, (hidden_states, weight))
    products = rounded.numpy().astype(np.int64) @ rounded_weight.numpy().T.astype(np.int64)
    return torch.from_numpy((products * scale.double().numpy() * weight_scale.double().numpy().T).astype(np.float32))
