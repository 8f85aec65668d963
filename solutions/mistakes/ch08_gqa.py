"""Mistakes people make in chapter 8, and other right answers."""

import torch
from torch import Tensor, nn

from grader import mistake, variant
from solutions import ch08_gqa as solution
from vlm.config import GemmaConfig
from vlm.gemma import apply_rotary_pos_emb


@mistake("repeat_kv", "You tiled the heads: 0, 1, 0, 1. Neighbours share: 0, 0, 1, 1. (With one head nobody notices.)")
def tiled(states: Tensor, num_groups: int) -> Tensor:
    return states.repeat(1, num_groups, 1, 1)


@mistake("repeat_kv", "You repeated the places; repeat the heads, axis 1.")
def places_repeated(states: Tensor, num_groups: int) -> Tensor:
    return states.repeat_interleave(num_groups, dim=2)


@mistake("repeat_kv", "Your groups have an axis of their own; the heads should be one axis, [B, A, S, E].")
def groups_not_joined(states: Tensor, num_groups: int) -> Tensor:
    return states[:, :, None].expand(-1, -1, num_groups, -1, -1)


@mistake("repeat_kv", "Every query head gets the first key/value head.")
def first_head_for_all(states: Tensor, num_groups: int) -> Tensor:
    return states[:, :1].expand(-1, states.shape[1] * num_groups, -1, -1)


@variant("repeat_kv")
def repeated_by_expand(states: Tensor, num_groups: int) -> Tensor:
    batch, heads, length, head_dim = states.shape
    return states[:, :, None].expand(batch, heads, num_groups, length, head_dim).reshape(batch, -1, length, head_dim)


@variant("repeat_kv")
def repeated_by_index(states: Tensor, num_groups: int) -> Tensor:
    return states[:, [head // num_groups for head in range(states.shape[1] * num_groups)]]


@mistake("additive_mask", "You add 1 where a query may look and 0 elsewhere: nothing is forbidden, only nudged.")
def ones_and_zeros(may_look: Tensor, dtype: torch.dtype) -> Tensor:
    return may_look.to(dtype)


@mistake("additive_mask", "It is upside down: what may be looked at is forbidden, and the rest allowed.")
def upside_down(may_look: Tensor, dtype: torch.dtype) -> Tensor:
    return solution.additive_mask(~may_look, dtype)


@mistake("additive_mask", "-1e9 is -inf in float16, whose largest number is 65504: take torch.finfo(dtype).min.")
def minus_a_billion(may_look: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.where(may_look, 0.0, -1e9).to(dtype)


@mistake("additive_mask", "-inf makes nan of a row that may look nowhere: take the dtype's smallest number.")
def minus_infinity(may_look: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.where(may_look, 0.0, float("-inf")).to(dtype)


@mistake("additive_mask", "-1 is too small a number: after the softmax more than a third of the weight is still there.")
def minus_one(may_look: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.where(may_look, 0.0, -1.0).to(dtype)


@mistake("additive_mask", "-100 is not low enough: a score of 300 would still win. Take the dtype's lowest number.")
def minus_a_hundred(may_look: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.where(may_look, 0.0, -100.0).to(dtype)


@mistake("additive_mask", "Your mask has the dtype float32, whatever is asked for.")
def always_float32(may_look: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.where(may_look, 0.0, -30000.0)


@variant("additive_mask")
def a_large_number(may_look: Tensor, dtype: torch.dtype) -> Tensor:
    return (1 - may_look.to(dtype)) * -30000


def mix(weights: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    return weights @ value, weights


@mistake("attend", "The mask is multiplied; it is added, before the softmax.")
def mask_multiplied(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    scores = query @ key.transpose(-2, -1) * scaling * (mask == 0)
    return mix(torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype), value)


@mistake("attend", "The mask is not used.")
def mask_ignored(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(query, key, value, torch.zeros_like(mask), scaling)


@mistake("attend", "You masked after the softmax: the weights of a row then sum to less than 1.")
def masked_after_softmax(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float
) -> tuple[Tensor, Tensor]:
    weights = torch.softmax(query @ key.transpose(-2, -1) * scaling, dim=-1, dtype=torch.float32)
    return mix((weights * (mask == 0)).to(query.dtype), value)


@mistake("attend", "The mask is scaled too: scale the scores first, then add the mask.")
def mask_scaled(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    scores = (query @ key.transpose(-2, -1) + mask) * scaling
    return mix(torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype), value)


@mistake("attend", "You took the mask for yes or no. It is added: a small number in it discourages a look a little.")
def mask_as_yes_or_no(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    lowest = torch.finfo(mask.dtype).min
    return solution.attend(query, key, value, (mask == lowest) * lowest, scaling)


@mistake("attend", "The scores are not scaled (chapter 3).")
def not_scaled(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(query, key, value, mask, 1.0)


@mistake("attend", "You divided by the root of E yourself; the factor is given, as `scaling`.")
def scaled_by_itself(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(query, key, value, mask, query.shape[-1] ** -0.5)


@mistake("attend", "The result stays in float32: cast the weights back to the dtype of the query.")
def result_in_float32(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(query.float(), key.float(), value.float(), mask.float(), scaling)


@mistake("attend", "exp overflows for large scores and gives nan: use softmax, or subtract the largest score first.")
def plain_exp(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    powers = (query @ key.transpose(-2, -1) * scaling + mask).exp()
    return mix(powers / powers.sum(-1, keepdim=True), value)


@mistake("attend", "Your softmax runs over the queries; it runs over the keys, the last axis.")
def softmax_over_queries(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float
) -> tuple[Tensor, Tensor]:
    scores = query @ key.transpose(-2, -1) * scaling + mask
    return mix(torch.softmax(scores, dim=-2, dtype=torch.float32).to(query.dtype), value)


@variant("attend")
def all_in_float32(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    result, weights = solution.attend(query.float(), key.float(), value.float(), mask.float(), scaling)
    return result.to(query.dtype), weights.to(query.dtype)


@variant("attend")
def masked_by_fill(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    scores = torch.einsum("baqe,base->baqs", query, key) * scaling
    forbidden = mask == torch.finfo(mask.dtype).min
    weights = (scores + mask).masked_fill(forbidden, float("-inf")).softmax(-1, dtype=torch.float32)
    return mix(weights.to(value.dtype), value)


class AttentionOf(solution.GemmaAttention):
    """The reference in small steps, so that a mistake can change one of them."""

    def __init__(self, config: GemmaConfig):
        super().__init__(config)
        self.config = config
        self.scaling = config.head_dim**-0.5

    def forward(self, hidden_states: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        query, key, value = (
            self.split_heads(layer(hidden_states)) for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key, value = self.turn(query, key, value, cos, sin)
        key, value = self.share(key), self.share(value)
        mixed, weights = solution.attend(query, key, value, self.permit(mask), self.scaling)
        return self.o_proj(self.join(mixed)), weights

    def turn(self, query: Tensor, key: Tensor, value: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        return apply_rotary_pos_emb(query, cos, sin), apply_rotary_pos_emb(key, cos, sin), value

    def share(self, states: Tensor) -> Tensor:
        return solution.repeat_kv(states, self.num_groups)

    def permit(self, mask: Tensor) -> Tensor:
        return mask

    def join(self, mixed: Tensor) -> Tensor:
        return mixed.transpose(1, 2).flatten(2)


@mistake("GemmaAttention", "The keys and values are tiled: 0, 1, 0, 1. Neighbouring query heads share: 0, 0, 1, 1.")
class AttentionTiled(AttentionOf):
    def share(self, states: Tensor) -> Tensor:
        return states.repeat(1, self.num_groups, 1, 1)


@mistake("GemmaAttention", "You scaled by the hidden size D; each score is a sum over the E numbers of one head.")
class AttentionScaledByHiddenSize(AttentionOf):
    def __init__(self, config: GemmaConfig):
        super().__init__(config)
        self.scaling = config.hidden_size**-0.5


@mistake("GemmaAttention", "You scaled by D / A; in Gemma a head's size is config.head_dim, whatever D is.")
class AttentionScaledByShareOfHiddenSize(AttentionOf):
    def __init__(self, config: GemmaConfig):
        super().__init__(config)
        self.scaling = (config.hidden_size / config.num_attention_heads) ** -0.5


@mistake("GemmaAttention", "The scores are not scaled (chapter 3).")
class AttentionUnscaled(AttentionOf):
    def __init__(self, config: GemmaConfig):
        super().__init__(config)
        self.scaling = 1.0


@mistake("GemmaAttention", "The values are turned too; only queries and keys are.")
class AttentionWithValuesTurned(AttentionOf):
    def turn(self, query: Tensor, key: Tensor, value: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        return tuple(apply_rotary_pos_emb(states, cos, sin) for states in (query, key, value))


@mistake("GemmaAttention", "The keys are not turned; queries and keys both are.")
class AttentionWithKeysNotTurned(AttentionOf):
    def turn(self, query: Tensor, key: Tensor, value: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        return apply_rotary_pos_emb(query, cos, sin), key, value


@mistake("GemmaAttention", "Nothing is turned: the layer knows no order.")
class AttentionWithoutPositions(AttentionOf):
    def turn(self, query: Tensor, key: Tensor, value: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        return query, key, value


@mistake("GemmaAttention", "The mask is not used.")
class AttentionWithoutMask(AttentionOf):
    def permit(self, mask: Tensor) -> Tensor:
        return torch.zeros_like(mask)


@mistake("GemmaAttention", "The heads are cut without a transpose (chapter 3): cut to [B, S, A, E], then exchange.")
class AttentionCutWithoutTranspose(AttentionOf):
    def split_heads(self, states: Tensor) -> Tensor:
        return states.reshape(states.shape[0], -1, states.shape[1], self.head_dim)


@mistake("GemmaAttention", "The mask is scaled too: scale the scores first, then add the mask.")
class AttentionWithMaskScaled(AttentionOf):
    def permit(self, mask: Tensor) -> Tensor:
        return mask * self.scaling


@mistake("GemmaAttention", "The heads are put together without a transpose, so places are mixed.")
class AttentionMergedWithoutTranspose(AttentionOf):
    def join(self, mixed: Tensor) -> Tensor:
        return mixed.reshape(mixed.shape[0], mixed.shape[2], -1)


@mistake("GemmaAttention", "Your layers make D numbers for all heads; A heads of E numbers are A * E, not D.")
class AttentionOfWidthD(AttentionOf):
    def __init__(self, config: GemmaConfig):
        super().__init__(config)
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)


@mistake("GemmaAttention", "Your key and value layers have a head for each query head; there are only K.")
class AttentionWithAllKeyHeads(AttentionOf):
    def __init__(self, config: GemmaConfig):
        super().__init__(config)
        width = config.num_attention_heads * config.head_dim
        self.k_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, width, bias=False)


@mistake("GemmaAttention", "Your layers have biases; Gemma's have none.")
class AttentionWithBias(AttentionOf):
    def __init__(self, config: GemmaConfig):
        super().__init__(config)
        self.q_proj = nn.Linear(config.hidden_size, self.q_proj.out_features)


@variant("GemmaAttention")
class AttentionGroupByGroup(solution.GemmaAttention):
    """Nothing is repeated: the groups are an axis of the queries."""

    def forward(self, hidden_states: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        query = apply_rotary_pos_emb(self.split_heads(self.q_proj(hidden_states)), cos, sin)
        key = apply_rotary_pos_emb(self.split_heads(self.k_proj(hidden_states)), cos, sin)
        value = self.split_heads(self.v_proj(hidden_states))
        query = query.unflatten(1, (-1, self.num_groups))  # [B, K, groups, S, E]
        scores = torch.einsum("bkgqe,bkse->bkgqs", query, key) / self.head_dim**0.5 + mask[:, None]
        weights = scores.softmax(-1)
        mixed = torch.einsum("bkgqs,bkse->bqkge", weights, value)
        return self.o_proj(mixed.flatten(2)), weights.flatten(1, 2)


@mistake("cache_bytes", "Keys and values both are kept: twice as many numbers.")
def keys_alone(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    return solution.cache_bytes(config, batch_size, length, bytes_per_number) // 2


@mistake("cache_bytes", "There are K key/value heads in a layer, each with a key and a value.")
def one_head(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    return solution.cache_bytes(config, batch_size, length, bytes_per_number) // config.num_key_value_heads


@mistake("cache_bytes", "You took 2 bytes for each number; how many it takes is given.")
def always_two_bytes(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    return solution.cache_bytes(config, batch_size, length, 2)


@mistake("cache_bytes", "A head has config.head_dim numbers, which need not be D / A.")
def head_dim_guessed(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    head_dim = config.hidden_size // config.num_attention_heads
    return solution.cache_bytes(config, batch_size, length, bytes_per_number) // config.head_dim * head_dim


@mistake("cache_bytes", "You counted the query heads; only the key/value heads are kept.")
def query_heads_counted(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    groups = config.num_attention_heads // config.num_key_value_heads
    return solution.cache_bytes(config, batch_size, length, bytes_per_number) * groups


@mistake("cache_bytes", "Every layer keeps its own keys and values.")
def one_layer(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    return solution.cache_bytes(config, batch_size, length, bytes_per_number) // config.num_hidden_layers


@mistake("cache_bytes", "Every row of the batch has keys and values of its own.")
def one_row(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    return solution.cache_bytes(config, 1, length, bytes_per_number)


@mistake("cache_bytes", "These are numbers, not bytes.")
def numbers_counted(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    return solution.cache_bytes(config, batch_size, length, 1)


@mistake("cache_bytes", "You took the hidden size; what is kept are K heads of E numbers.")
def hidden_size_counted(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    return 2 * config.num_hidden_layers * batch_size * length * config.hidden_size * bytes_per_number


@variant("cache_bytes")
def bytes_of_a_tensor(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    dtype = {1: torch.int8, 2: torch.bfloat16, 4: torch.float32}[bytes_per_number]
    keys = torch.empty(batch_size, config.num_key_value_heads, length, config.head_dim, dtype=dtype, device="meta")
    return sum(2 * keys.nbytes for _ in range(config.num_hidden_layers))
