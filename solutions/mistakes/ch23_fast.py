"""Common mistakes in the exercises of chapter 23, and other right answers."""

import dataclasses

import numpy as np
import torch

import vlm.attention
from grader import mistake, variant
from solutions import ch23_fast as solution
from vlm.gemma import repeat_kv


def limit(config, bytes_per_weight, gigabytes_per_second, q_heads=None, kv_heads=None, mlp=3, heads=1, giga=1e9):
    """The solution with replaceable parts: widths of the projections, matrices of the MLP, copies of the head."""
    q_heads = 2 * config.num_attention_heads * config.head_dim if q_heads is None else q_heads
    kv_heads = 2 * config.num_key_value_heads * config.head_dim if kv_heads is None else kv_heads
    layer = config.hidden_size * (q_heads + kv_heads + mlp * config.intermediate_size)
    weights = config.num_hidden_layers * layer + heads * config.vocab_size * config.hidden_size
    return gigabytes_per_second * giga / (weights * bytes_per_weight)


@mistake("tokens_per_second_limit", "You left out the head. Computing the logits reads a large matrix.")
def head_omitted(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, heads=0)


@mistake(
    "tokens_per_second_limit",
    "You counted [vocab_size, hidden_size] twice. The head reads all of it; the embedding lookup reads only one row.",
)
def embedding_counted_too(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, heads=2)


@mistake(
    "tokens_per_second_limit",
    "Your key and value projections are as wide as the query's. They have num_key_value_heads * head_dim rows.",
)
def kv_projections_as_wide_as_queries(config, bytes_per_weight, gigabytes_per_second):
    kv_heads = 2 * config.num_attention_heads * config.head_dim
    return limit(config, bytes_per_weight, gigabytes_per_second, kv_heads=kv_heads)


@mistake("tokens_per_second_limit", "You counted one projection for keys and values together. They have one each.")
def one_projection_for_keys_and_values(config, bytes_per_weight, gigabytes_per_second):
    kv_heads = config.num_key_value_heads * config.head_dim
    return limit(config, bytes_per_weight, gigabytes_per_second, kv_heads=kv_heads)


@mistake("tokens_per_second_limit", "You left out the output projection. The attention has four matrices.")
def output_projection_omitted(config, bytes_per_weight, gigabytes_per_second):
    q_heads = config.num_attention_heads * config.head_dim
    return limit(config, bytes_per_weight, gigabytes_per_second, q_heads=q_heads)


@mistake(
    "tokens_per_second_limit",
    "Your query and output projections are square. One of their sides is num_attention_heads * head_dim.",
)
def square_projections(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, q_heads=2 * config.hidden_size)


@mistake("tokens_per_second_limit", "You left out the attention.")
def attention_omitted(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, q_heads=0, kv_heads=0)


@mistake("tokens_per_second_limit", "You counted two matrices in the MLP. Gemma's has three: gate, up and down.")
def two_matrices_in_the_mlp(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, mlp=2)


@mistake("tokens_per_second_limit", "You counted one layer. All num_hidden_layers are read.")
def one_layer(config, bytes_per_weight, gigabytes_per_second):
    return limit(dataclasses.replace(config, num_hidden_layers=1), bytes_per_weight, gigabytes_per_second)


@mistake("tokens_per_second_limit", "You counted the head in each layer. There is only one.")
def head_in_each_layer(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, heads=config.num_hidden_layers)


@mistake("tokens_per_second_limit", "You multiplied by 8. bytes_per_weight is in bytes already.")
def bits(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, 8 * bytes_per_weight, gigabytes_per_second)


@mistake("tokens_per_second_limit", "You used 2**30 bytes, a gibibyte. A gigabyte is 10**9 bytes here.")
def gibibytes(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, giga=2**30)


@mistake("tokens_per_second_limit", "You used the bandwidth in gigabytes. Multiply it by 10**9.")
def giga_omitted(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, bytes_per_weight, gigabytes_per_second, giga=1)


@mistake("tokens_per_second_limit", "These are seconds per token. Return bandwidth divided by bytes.")
def seconds_per_token(config, bytes_per_weight, gigabytes_per_second):
    return 1 / limit(config, bytes_per_weight, gigabytes_per_second)


@mistake("tokens_per_second_limit", "You counted weights, not bytes. Multiply by bytes_per_weight.")
def bytes_omitted(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, 1, gigabytes_per_second)


@mistake("tokens_per_second_limit", "You multiplied by bytes_per_weight. More bytes make it slower: divide by them.")
def multiplied_by_bytes(config, bytes_per_weight, gigabytes_per_second):
    return limit(config, 1 / bytes_per_weight, gigabytes_per_second)


@mistake("tokens_per_second_limit", "You rounded the result down. Return it as it is.")
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
def from_a_meta_model(config, bytes_per_weight, gigabytes_per_second):
    from vlm.gemma import GemmaForCausalLM

    with torch.device("meta"):
        model = GemmaForCausalLM(config)
    matrices = {id(p): p for p in model.parameters() if p.dim() == 2}  # the tied head once
    size = sum(p.numel() for p in matrices.values()) * bytes_per_weight
    return gigabytes_per_second / (size / 1e9)


def groups(query, key):
    """G."""
    return query.shape[1] // key.shape[1]


def attend(rows, key, value, scaling, mask):
    return vlm.attention.attention(rows, key, value, scaling, mask)[0]


def repeat_mask(mask, num_groups):
    return None if mask is None else mask.repeat(1, 1, num_groups, 1)


@mistake(
    "attend_grouped",
    "Your heads h, h + K, h + 2K share a key/value head. Adjacent heads share: 0 to G - 1 use key/value head 0.",
)
def strided_heads_share(query, key, value, scaling, mask):
    batch, _, new, size = query.shape
    rows = query.unflatten(1, (-1, key.shape[1])).transpose(1, 2).reshape(batch, key.shape[1], -1, size)
    attended = attend(rows, key, value, scaling, repeat_mask(mask, groups(query, key)))
    return attended.unflatten(2, (-1, new)).transpose(1, 2).reshape(query.shape)


@mistake(
    "attend_grouped",
    "You repeated each row of the mask (repeat_interleave). The rows are all tokens of one head, then of the next: "
    "use `mask.repeat(1, 1, G, 1)`.",
)
def mask_row_by_row(query, key, value, scaling, mask):
    if mask is not None:
        mask = mask.repeat_interleave(groups(query, key), dim=2)
    rows = query.reshape(len(query), key.shape[1], -1, query.shape[-1])
    return attend(rows, key, value, scaling, mask).reshape(query.shape)


@mistake(
    "attend_grouped",
    "You copied the keys for each head that shares them, by `repeat_kv` or by a product that broadcasts an axis of "
    "size 1. Make the queries rows of one matrix instead.",
)
def keys_repeated(query, key, value, scaling, mask):
    key, value = (repeat_kv(states, groups(query, key)) for states in (key, value))
    return attend(query, key, value, scaling, mask)


@mistake("attend_grouped", "You did not scale the scores. Pass `scaling` on.")
def not_scaled(query, key, value, scaling, mask):
    return solution.attend_grouped(query, key, value, 1.0, mask)


@mistake("attend_grouped", "You scaled the scores twice. `attention` scales them already.")
def scaled_twice(query, key, value, scaling, mask):
    return solution.attend_grouped(query, key, value, scaling * scaling, mask)


@mistake("attend_grouped", "You scaled by 1 / sqrt(E). Use the given `scaling`.")
def scaled_by_head_dim(query, key, value, scaling, mask):
    return solution.attend_grouped(query, key, value, query.shape[-1] ** -0.5, mask)


@mistake("attend_grouped", "You ignored the mask. Add it to the scores of every head.")
def mask_ignored(query, key, value, scaling, mask):
    return solution.attend_grouped(query, key, value, scaling, None)


@mistake(
    "attend_grouped", "You used the last token's mask for every new token. Each row of the mask belongs to one token."
)
def mask_of_the_last_token(query, key, value, scaling, mask):
    return solution.attend_grouped(
        query, key, value, scaling, None if mask is None else mask[:, :, -1:].expand_as(mask)
    )


@mistake(
    "attend_grouped", "You masked only the first of the heads that share a key/value head. Repeat the mask for each."
)
def first_head_masked(query, key, value, scaling, mask):
    rows = query.reshape(len(query), key.shape[1], -1, query.shape[-1])
    if mask is not None:
        rest = torch.zeros_like(mask).repeat(1, 1, groups(query, key) - 1, 1)
        mask = torch.cat([mask, rest], dim=2)
    return attend(rows, key, value, scaling, mask).reshape(query.shape)


@mistake(
    "attend_grouped",
    "You split the rows of the result in the wrong order. In [B, K, G * S, E] the rows are ordered by head, "
    "then token.",
)
def result_reordered(query, key, value, scaling, mask):
    rows = query.reshape(len(query), key.shape[1], -1, query.shape[-1])
    attended = attend(rows, key, value, scaling, repeat_mask(mask, groups(query, key)))  # [B, K, G S, E]
    return attended.unflatten(2, (query.shape[2], -1)).transpose(2, 3).reshape(query.shape)


@mistake(
    "attend_grouped",
    "Key/value heads and groups are swapped in the result. It is [B, K, G, S, E], then [B, A, S, E].",
)
def groups_before_keys(query, key, value, scaling, mask):
    attended = solution.attend_grouped(query, key, value, scaling, mask).unflatten(1, (key.shape[1], -1))
    return attended.transpose(1, 2).reshape(query.shape)


@mistake(
    "attend_grouped",
    "You mixed up tokens and heads. The axes of the query are heads, then tokens: do not swap them.",
)
def axes_swapped_first(query, key, value, scaling, mask):
    rows = query.transpose(1, 2).reshape(len(query), key.shape[1], -1, query.shape[-1])
    return attend(rows, key, value, scaling, repeat_mask(mask, groups(query, key))).reshape(query.shape)


@mistake("attend_grouped", "You returned [B, K, G * S, E]. Split the rows into heads again: [B, A, S, E].")
def rows_not_split(query, key, value, scaling, mask):
    return solution.attend_grouped(query, key, value, scaling, mask).reshape(
        len(query), key.shape[1], -1, query.shape[-1]
    )


@mistake("attend_grouped", "All query heads use the first key/value head. Each group uses its own.")
def first_key_for_all(query, key, value, scaling, mask):
    return solution.attend_grouped(query, key[:, :1], value[:, :1], scaling, mask)


@mistake("attend_grouped", "You averaged the keys. The attention weights average the values.")
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
def mask_with_its_own_axis(query, key, value, scaling, mask):
    batch, heads, new, size = query.shape
    kv_heads = key.shape[1]
    scores = (query * scaling).reshape(batch, kv_heads, heads // kv_heads * new, size) @ key.mT
    scores = scores.view(batch, kv_heads, heads // kv_heads, new, -1)
    weights = torch.softmax(scores if mask is None else scores + mask.unsqueeze(2), dim=-1)
    return (weights.view(batch, kv_heads, heads // kv_heads * new, -1) @ value).view(batch, heads, new, size)


@variant("attend_grouped")
def key_head_by_key_head(query, key, value, scaling, mask):
    attended = []
    for head, rows in enumerate(query.chunk(key.shape[1], dim=1)):
        joined = rows.flatten(1, 2)[:, None]  # [B, 1, G S, E]
        known = key[:, head : head + 1], value[:, head : head + 1]
        attended.append(attend(joined, *known, scaling, repeat_mask(mask, rows.shape[1])).view(rows.shape))
    return torch.cat(attended, dim=1)


@mistake(
    "StaticCache",
    "All layers share one tensor: `[torch.zeros(...)] * n` is n references to it. Allocate one per layer, and select "
    "it by layer_idx.",
)
class OneTensorForAllLayers(solution.StaticCache):
    def __init__(self, num_layers, batch_size, num_key_value_heads, max_length, head_dim):
        shape = (batch_size, num_key_value_heads, max_length, head_dim)
        self.keys, self.values = [torch.zeros(shape)] * num_layers, [torch.zeros(shape)] * num_layers


@mistake("StaticCache", "Keys and values share one tensor, so the values overwrite the keys. Allocate two.")
class ValuesOverKeys(solution.StaticCache):
    def __init__(self, num_layers, batch_size, num_key_value_heads, max_length, head_dim):
        super().__init__(num_layers, batch_size, num_key_value_heads, max_length, head_dim)
        self.values = self.keys


@mistake("StaticCache", "You returned the values first. Return keys, then values.")
class ValuesFirst(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        return super().write(layer_idx, slots, key, value, length)[::-1]


@mistake("StaticCache", "You returned the whole cache. Return the first `length` slots.")
class WholeCache(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        super().write(layer_idx, slots, key, value, length)
        return self.keys[layer_idx], self.values[layer_idx]


@mistake("StaticCache", "You returned only the new keys and values. Return the first `length` slots.")
class OnlyTheNewTokens(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        super().write(layer_idx, slots, key, value, length)
        return key, value


@mistake(
    "StaticCache",
    "`write` allocates memory for the whole cache, as `torch.cat`, `clone` and `index_copy` without `_` do. "
    "Change the tensors in place, and return slices of them.",
)
class Copied(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        keys, values = super().write(layer_idx, slots, key, value, length)
        return keys.clone(), values.clone()


@mistake(
    "StaticCache",
    "`__init__` does not allocate all memory. A tensor made at the first write does not exist yet when the step is "
    "compiled: allocate all layers in `__init__`.",
)
class LayersMadeLater(solution.StaticCache):
    def __init__(self, num_layers, batch_size, num_key_value_heads, max_length, head_dim):
        self.shape = (batch_size, num_key_value_heads, max_length, head_dim)
        self.keys, self.values = {}, {}

    def write(self, layer_idx, slots, key, value, length):
        for kept in (self.keys, self.values):
            if layer_idx not in kept:
                kept[layer_idx] = torch.zeros(self.shape)
        return super().write(layer_idx, slots, key, value, length)


@mistake(
    "StaticCache", "You erased the slots after `length`. They are only not read this time: a later call may read them."
)
class ErasedAfterLength(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        keys, values = super().write(layer_idx, slots, key, value, length)
        self.keys[layer_idx][:, :, length:] = 0
        self.values[layer_idx][:, :, length:] = 0
        return keys, values


@mistake("StaticCache", "You wrote only the last token, to slot length - 1. Write each token to its slot.")
class OnlyTheLastToken(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        self.keys[layer_idx][:, :, length - 1] = key[:, :, -1]
        self.values[layer_idx][:, :, length - 1] = value[:, :, -1]
        return self.keys[layer_idx][:, :, :length], self.values[layer_idx][:, :, :length]


@mistake("StaticCache", "You wrote the tokens to the last of the `length` slots. Write them to `slots`.")
class AlwaysAtTheEnd(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        return super().write(layer_idx, torch.arange(length - len(slots), length), key, value, length)


@mistake("StaticCache", "You wrote the tokens to consecutive slots from slots[0]. `slots` may be in any order.")
class AfterTheFirstSlot(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        return super().write(layer_idx, slots[0] + torch.arange(len(slots)), key, value, length)


@mistake("StaticCache", "You sorted the slots but not the tokens. Token s goes to slots[s].")
class SlotsSorted(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        return super().write(layer_idx, slots.sort().values, key, value, length)


@mistake("StaticCache", "You returned everything up to the newest slot. Return the first `length` slots.")
class ReadToTheNewest(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        return super().write(layer_idx, slots, key, value, int(slots.max()) + 1)


@mistake("StaticCache", "You added the new numbers to the old ones. Overwrite them.")
class Added(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        self.keys[layer_idx].index_add_(2, slots, key)
        self.values[layer_idx].index_add_(2, slots, value)
        return self.keys[layer_idx][:, :, :length], self.values[layer_idx][:, :, :length]


@mistake(
    "StaticCache", "Nothing is written. Indexing with a tensor makes a copy, and you changed the copy: use index_copy_."
)
class NothingWritten(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        self.keys[layer_idx][:, :, slots].copy_(key)
        self.values[layer_idx][:, :, slots].copy_(value)
        return self.keys[layer_idx][:, :, :length], self.values[layer_idx][:, :, :length]


@mistake("StaticCache", "Nothing is written. `index_copy` without `_` returns a new tensor: use index_copy_.")
class ResultDropped(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        self.keys[layer_idx].index_copy(2, slots, key)
        self.values[layer_idx].index_copy(2, slots, value)
        return self.keys[layer_idx][:, :, :length], self.values[layer_idx][:, :, :length]


@mistake("StaticCache", "You returned the last `length` slots. Return the first.")
class LastSlotsReturned(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        super().write(layer_idx, slots, key, value, length)
        return self.keys[layer_idx][:, :, -length:], self.values[layer_idx][:, :, -length:]


@variant("StaticCache")
class OneLargeTensor:
    def __init__(self, num_layers, batch_size, num_key_value_heads, max_length, head_dim):
        self.states = torch.empty(2, num_layers, batch_size, num_key_value_heads, max_length, head_dim)

    def write(self, layer_idx, slots, key, value, length):
        for kept, new in zip(self.states[:, layer_idx], (key, value)):
            kept[:, :, slots] = new
        keys, values = self.states[:, layer_idx, :, :, :length]
        return keys, values


@variant("StaticCache")
class WithScatter(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        for kept, new in ((self.keys, key), (self.values, value)):
            kept[layer_idx].scatter_(2, slots[None, None, :, None].repeat(*key.shape[:2], 1, key.shape[3]), new)
        return self.keys[layer_idx].narrow(2, 0, length), self.values[layer_idx].narrow(2, 0, length)


@variant("StaticCache")
class TokenByToken(solution.StaticCache):
    def write(self, layer_idx, slots, key, value, length):
        for token, slot in enumerate(slots.tolist()):
            self.keys[layer_idx][:, :, slot] = key[:, :, token]
            self.values[layer_idx][:, :, slot] = value[:, :, token]
        return self.keys[layer_idx][..., :length, :], self.values[layer_idx][..., :length, :]


@mistake(
    "next_token",
    "Your loop reads values from tensors, as `if ended[i]` and `.item()` do. Choose between whole tensors instead, "
    "with torch.where or masked_fill.",
)
def row_by_row(logits, ended, eos_token_id, pad_token_id):
    token = logits.argmax(-1)
    for row in range(len(token)):
        if ended[row]:
            token[row] = pad_token_id
    return token, ended | (token == eos_token_id)


@mistake(
    "next_token",
    "You read a value to decide what to do, as `if ended.all()` does, which breaks the graph. Leave this check to the "
    "caller.",
)
def returns_early(logits, ended, eos_token_id, pad_token_id):
    if ended.all():
        return torch.full_like(ended, pad_token_id, dtype=torch.int64), ended
    return solution.next_token(logits, ended, eos_token_id, pad_token_id)


@mistake(
    "next_token",
    "You read a whole tensor, by `.tolist()` or `.numpy()`, which breaks the graph. Use torch operations only.",
)
def through_a_list(logits, ended, eos_token_id, pad_token_id):
    pairs = zip(logits.argmax(-1).tolist(), ended.tolist())
    token = torch.tensor([pad_token_id if over else best for best, over in pairs])
    return token, ended | (token == eos_token_id)


@mistake("next_token", "Rows that have ended continue. They should get the pad token.")
def no_padding(logits, ended, eos_token_id, pad_token_id):
    token = logits.argmax(-1)
    return token, ended | (token == eos_token_id)


@mistake("next_token", "You returned `ended` unchanged. A row whose token is `<eos>` now has ended too.")
def ended_not_updated(logits, ended, eos_token_id, pad_token_id):
    return solution.next_token(logits, ended, eos_token_id, pad_token_id)[0], ended


@mistake("next_token", "You replaced `<eos>` itself by the pad token. Mask with `ended` as it was before this step.")
def eos_replaced(logits, ended, eos_token_id, pad_token_id):
    token = logits.argmax(-1)
    ended = ended | (token == eos_token_id)
    return token.masked_fill(ended, pad_token_id), ended


@mistake(
    "next_token",
    "You forgot the rows that ended earlier. A row has ended if it ended before, or if its token is `<eos>`.",
)
def earlier_ends_omitted(logits, ended, eos_token_id, pad_token_id):
    token, _ = solution.next_token(logits, ended, eos_token_id, pad_token_id)
    return token, token == eos_token_id


@mistake("next_token", "A row that has ended and generates `<eos>` again counts as running. Use `|`, not `^` or `!=`.")
def ended_twice_goes_on(logits, ended, eos_token_id, pad_token_id):
    token, _ = solution.next_token(logits, ended, eos_token_id, pad_token_id)
    return token, ended ^ (logits.argmax(-1) == eos_token_id)


@mistake("next_token", "You required both. A row has ended if it ended before *or* its token is `<eos>`.")
def both_needed(logits, ended, eos_token_id, pad_token_id):
    token, _ = solution.next_token(logits, ended, eos_token_id, pad_token_id)
    return token, ended & (logits.argmax(-1) == eos_token_id)


@mistake("next_token", "The pad token ends a row. Only `<eos>` should.")
def pad_ends_too(logits, ended, eos_token_id, pad_token_id):
    token, ended = solution.next_token(logits, ended, eos_token_id, pad_token_id)
    return token, ended | (token == pad_token_id)


@mistake("next_token", "The rows that continue get the pad token. Only those that have ended should.")
def running_rows_padded(logits, ended, eos_token_id, pad_token_id):
    token = torch.where(ended, logits.argmax(-1), pad_token_id)
    return token, ended | (logits.argmax(-1) == eos_token_id)


@mistake("next_token", "Rows that have ended repeat `<eos>`. They should get the pad token.")
def filled_with_eos(logits, ended, eos_token_id, pad_token_id):
    return solution.next_token(logits, ended, eos_token_id, eos_token_id)


@mistake("next_token", "Rows that have ended get 0. They should get pad_token_id.")
def filled_with_zero(logits, ended, eos_token_id, pad_token_id):
    return solution.next_token(logits, ended, eos_token_id, 0)


@mistake("next_token", "You changed `ended` in place, as `|=` does. Make a new tensor.")
def ended_changed_in_place(logits, ended, eos_token_id, pad_token_id):
    token = logits.argmax(-1).masked_fill(ended, pad_token_id)
    ended |= token == eos_token_id
    return token, ended


@mistake("next_token", "Your tokens have the shape [B, 1]. Return [B].")
def column(logits, ended, eos_token_id, pad_token_id):
    token, ended = solution.next_token(logits, ended, eos_token_id, pad_token_id)
    return token[:, None], ended


@mistake("next_token", "You returned the largest logit. Return its index, the token.")
def logits_for_tokens(logits, ended, eos_token_id, pad_token_id):
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
def loop_without_reading(logits, ended, eos_token_id, pad_token_id):
    pad = torch.full_like(ended, pad_token_id, dtype=torch.int64)
    rows = [torch.where(ended[row], pad[row], logits[row].argmax()) for row in range(len(logits))]
    token = torch.stack(rows)
    return token, ended | (token == eos_token_id)


def round_by(values, scale):
    """Quantize by a scale that is above 0."""
    return (values / scale).round().clamp(-128, 127).to(torch.int8), scale.float()


def largest(values, **axis):
    return values.abs().amax(**axis).clamp(min=1e-12)


@mistake(
    "quantize_rows",
    "You used one scale for the whole tensor, so rows of small numbers lose their precision. Use one per row.",
)
def one_scale_for_all(values):
    scale = (largest(values, dim=(0, 1)) / 127).expand(len(values), 1)
    return round_by(values, scale)


@mistake("quantize_rows", "You used a single scale for the whole tensor. Return one per row, [R, 1].")
def one_number_for_all(values):
    return round_by(values, largest(values) / 127)


@mistake("quantize_rows", "You divided the largest absolute value by 128, but 128 overflows int8. Divide it by 127.")
def scaled_to_128(values):
    scale = largest(values, dim=1, keepdim=True) / 128
    return (values / scale).round().to(torch.int16).to(torch.int8), scale  # 128 becomes -128


@mistake("quantize_rows", "You divided by 128 and clipped 128 to 127. Divide by 127, then nothing needs clipping.")
def scaled_to_128_and_clipped(values):
    return round_by(values, largest(values, dim=1, keepdim=True) / 128)


@mistake("quantize_rows", "You divided by 255. int8 ends at 127: divide by 127.")
def scaled_to_255(values):
    scale = largest(values, dim=1, keepdim=True) / 255
    return (values / scale).round().to(torch.int16).to(torch.int8), scale


@mistake("quantize_rows", "You truncated: `to(torch.int8)` drops the fractional part. Round first.")
def truncated(values):
    scale = largest(values, dim=1, keepdim=True) / 127
    return (values / scale).to(torch.int8), scale


@mistake("quantize_rows", "You rounded down. Round to the nearest integer.")
def rounded_down_to_integers(values):
    scale = largest(values, dim=1, keepdim=True) / 127
    return (values / scale).floor().to(torch.int8), scale


@mistake(
    "quantize_rows",
    "The scale of a row of zeros is 0, which gives 0 / 0 = NaN. Clamp the scale to be above 0.",
)
def zero_scale(values):
    scale = values.abs().amax(dim=1, keepdim=True) / 127
    return (values / scale).nan_to_num().round().to(torch.int8), scale


@mistake("quantize_rows", "Your scales are those of the columns. Take the largest absolute value along the last axis.")
def scales_of_columns(values):
    return round_by(values, largest(values, dim=0, keepdim=True) / 127)


@mistake("quantize_rows", "You clipped negative numbers to 0. int8 goes down to -128.")
def negatives_clipped(values):
    rounded, scale = solution.quantize_rows(values)
    return rounded.clamp(min=0), scale


@mistake(
    "quantize_rows",
    "You took the largest value, not the largest absolute value. It may belong to a negative number.",
)
def largest_without_abs(values):
    return round_by(values, values.amax(dim=1, keepdim=True).clamp(min=1e-12) / 127)


@mistake(
    "quantize_rows",
    "You mapped the row's range from minimum to maximum, with a zero point. Use a scale only, so that 0 stays 0.",
)
def with_a_zero_point(values):
    low, high = values.aminmax(dim=1, keepdim=True)
    scale = (high - low).clamp(min=1e-12) / 255
    return ((values - low) / scale - 128).round().to(torch.int8), scale


@mistake("quantize_rows", "Your scale is inverted. rounded * scale should give the original value.")
def scale_inverted(values):
    rounded, scale = solution.quantize_rows(values)
    return rounded, 1 / scale


@mistake("quantize_rows", "You returned the largest absolute value as the scale. Divide it by 127.")
def scale_not_divided(values):
    rounded, scale = solution.quantize_rows(values)
    return rounded, scale * 127


@mistake("quantize_rows", "Your scales have the shape [R]. Return [R, 1], with keepdim=True.")
def scale_without_its_axis(values):
    rounded, scale = solution.quantize_rows(values)
    return rounded, scale[:, 0]


@mistake("quantize_rows", "The rounded numbers are still float32, which saves no memory. Convert them to torch.int8.")
def still_float(values):
    rounded, scale = solution.quantize_rows(values)
    return rounded.float(), scale


@mistake("quantize_rows", "You used uint8, which has no negative numbers. Use int8.")
def without_sign(values):
    rounded, scale = solution.quantize_rows(values)
    return rounded.clamp(min=0).to(torch.uint8), scale


@mistake("quantize_rows", "You did not divide by the scale before rounding.")
def not_divided(values):
    return values.round().to(torch.int8), solution.quantize_rows(values)[1]


@variant("quantize_rows")
def ones_for_rows_of_zeros(values):
    scale = torch.linalg.vector_norm(values, ord=torch.inf, dim=1, keepdim=True) / 127
    scale = torch.where(scale == 0, 1.0, scale)
    return torch.floor(values / scale + 0.5).char(), scale  # rounds ties up; no case has one


@variant("quantize_rows")
def row_after_row(values):
    rounded, scales = torch.zeros(values.shape, dtype=torch.int8), torch.ones(len(values), 1)
    for number, row in enumerate(values.tolist()):
        top = max(abs(value) for value in row)
        if top:
            rounded[number] = torch.tensor([round(value * 127 / top) for value in row], dtype=torch.int8)
            scales[number] = top / 127
    return rounded, scales


@variant("quantize_rows")
def with_epsilon(values):
    low, high = values.aminmax(dim=1, keepdim=True)
    scale = torch.maximum(-low, high) / 127 + 1e-12
    return torch.clamp(torch.round(values / scale), -127, 127).to(torch.int8), scale


def rounded_products(hidden_states, weight):
    """The products of the rounded numbers, and both scales: [R, O], [R, 1], [O, 1]."""
    rounded, scale = solution.quantize_rows(hidden_states)
    rounded_weight, weight_scale = solution.quantize_rows(weight)
    return rounded.float() @ rounded_weight.float().T, scale, weight_scale


@mistake("int8_linear", "You left out the scales of the tokens.")
def token_scale_omitted(hidden_states, weight):
    products, _, weight_scale = rounded_products(hidden_states, weight)
    return products * weight_scale.T


@mistake("int8_linear", "You left out the scales of the matrix.")
def weight_scale_omitted(hidden_states, weight):
    products, scale, _ = rounded_products(hidden_states, weight)
    return products * scale


@mistake("int8_linear", "You left out both scales. These are products of rounded numbers.")
def both_scales_omitted(hidden_states, weight):
    return rounded_products(hidden_states, weight)[0]


@mistake("int8_linear", "You divided by the scales. Multiply by them.")
def divided_by_scales(hidden_states, weight):
    products, scale, weight_scale = rounded_products(hidden_states, weight)
    return products / scale / weight_scale.T


@mistake("int8_linear", "You summed the products in int8, which overflows above 127. Use int32.")
def sums_overflow(hidden_states, weight):
    products, scale, weight_scale = rounded_products(hidden_states, weight)
    return products.int().to(torch.int8) * scale * weight_scale.T


@mistake("int8_linear", "You rounded the sums to float16, which is inexact above 2048 and ends at 65504. Use int32.")
def sums_in_half_precision(hidden_states, weight):
    products, scale, weight_scale = rounded_products(hidden_states, weight)
    return products.half().float() * scale * weight_scale.T


@mistake("int8_linear", "You quantized only the matrix. Quantize the tokens' vectors too.")
def only_the_weight_rounded(hidden_states, weight):
    rounded, scale = solution.quantize_rows(weight)
    return hidden_states @ (rounded * scale).T


@mistake("int8_linear", "You quantized only the tokens' vectors. Quantize the matrix too.")
def only_the_tokens_rounded(hidden_states, weight):
    rounded, scale = solution.quantize_rows(hidden_states)
    return (rounded * scale) @ weight.T


@mistake("int8_linear", "You quantized nothing: this is the exact product.")
def nothing_rounded(hidden_states, weight):
    return hidden_states @ weight.T


@mistake("int8_linear", "You used one scale for the whole matrix. Use one per row.")
def one_scale_for_the_matrix(hidden_states, weight):
    rounded, scale = solution.quantize_rows(hidden_states)
    rounded_weight, weight_scale = solution.quantize_rows(weight.reshape(1, -1))
    return rounded.float() @ rounded_weight.float().reshape(weight.shape).T * scale * weight_scale


@mistake("int8_linear", "You used one scale for all tokens. Use one per token.")
def one_scale_for_the_tokens(hidden_states, weight):
    rounded, scale = solution.quantize_rows(hidden_states.reshape(1, -1))
    rounded_weight, weight_scale = solution.quantize_rows(weight)
    return rounded.float().reshape(hidden_states.shape) @ rounded_weight.float().T * scale * weight_scale.T


@mistake(
    "int8_linear",
    "You scaled the matrix by columns, and such a scale cannot be factored out of the sum. Scale it by rows.",
)
def scales_of_the_columns(hidden_states, weight):
    rounded, scale = solution.quantize_rows(hidden_states)
    rounded_weight, weight_scale = solution.quantize_rows(weight.T)
    return (rounded * scale) @ (rounded_weight * weight_scale)


@mistake("int8_linear", "A row of zeros gives 0 / 0 = NaN. Clamp the scale to be above 0.")
def nan_of_zeros(hidden_states, weight):
    scale, weight_scale = (values.abs().amax(1, keepdim=True) / 127 for values in (hidden_states, weight))
    return (hidden_states / scale).round() @ (weight / weight_scale).round().T * scale * weight_scale.T


@mistake("int8_linear", "You truncated the numbers. Round them to the nearest integer.")
def numbers_truncated(hidden_states, weight):
    rounded, scale = truncated_rows(hidden_states)
    rounded_weight, weight_scale = truncated_rows(weight)
    return rounded @ rounded_weight.T * scale * weight_scale.T


def truncated_rows(values):
    scale = largest(values, dim=1, keepdim=True) / 127
    return (values / scale).trunc(), scale


@mistake("int8_linear", "You rounded the result to integers. Return it as it is.")
def result_rounded(hidden_states, weight):
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
def dequantized_first(hidden_states, weight):
    (rounded, scale), (rounded_weight, weight_scale) = map(solution.quantize_rows, (hidden_states, weight))
    return torch.nn.functional.linear(rounded * scale, rounded_weight * weight_scale)


@variant("int8_linear")
def in_numpy(hidden_states, weight):
    (rounded, scale), (rounded_weight, weight_scale) = map(solution.quantize_rows, (hidden_states, weight))
    products = rounded.numpy().astype(np.int64) @ rounded_weight.numpy().T.astype(np.int64)
    return torch.from_numpy((products * scale.double().numpy() * weight_scale.double().numpy().T).astype(np.float32))
