"""Common mistakes in chapter 8, and other correct answers."""

import torch
from torch import Tensor, nn

from grader import mistake, variant
from solutions import ch08_gqa as solution
from vlm.config import GemmaConfig
from vlm.gemma import apply_rotary_pos_emb


@mistake(
    "repeat_kv",
    "You tiled the heads: 0, 1, 0, 1. Consecutive query heads share one: 0, 0, 1, 1. (With K = 1, both are the same.)",
)
def tiled(states: Tensor, num_groups: int) -> Tensor:
    return states.repeat(1, num_groups, 1, 1)


@mistake("repeat_kv", "You repeated the positions. Repeat the heads, axis 1.")
def positions_repeated(states: Tensor, num_groups: int) -> Tensor:
    return states.repeat_interleave(num_groups, dim=2)


@mistake("repeat_kv", "Your groups are a separate axis. Join it with the heads: [B, A, S, E].")
def groups_not_joined(states: Tensor, num_groups: int) -> Tensor:
    return states[:, :, None].expand(-1, -1, num_groups, -1, -1)


@mistake("repeat_kv", "You gave every query head key/value head 0. Repeat each of the K heads.")
def first_head_for_all(states: Tensor, num_groups: int) -> Tensor:
    return states[:, :1].expand(-1, states.shape[1] * num_groups, -1, -1)


@variant("repeat_kv")
def repeated_by_expand(states: Tensor, num_groups: int) -> Tensor:
    batch, heads, length, head_dim = states.shape
    return states[:, :, None].expand(batch, heads, num_groups, length, head_dim).reshape(batch, -1, length, head_dim)


@variant("repeat_kv")
def repeated_by_index(states: Tensor, num_groups: int) -> Tensor:
    return states[:, [head // num_groups for head in range(states.shape[1] * num_groups)]]


@mistake(
    "additive_mask",
    "Your mask is 1 where a query may attend and 0 elsewhere, which masks nothing. Use 0 and a very negative number.",
)
def ones_and_zeros(may_attend: Tensor, dtype: torch.dtype) -> Tensor:
    return may_attend.to(dtype)


@mistake(
    "additive_mask",
    "Your mask is inverted. Use 0 where `may_attend` is True, and the very negative number where it is False.",
)
def inverted(may_attend: Tensor, dtype: torch.dtype) -> Tensor:
    return solution.additive_mask(~may_attend, dtype)


@mistake("additive_mask", "-1e9 is -inf in float16, whose lowest number is -65504. Use torch.finfo(dtype).min.")
def minus_a_billion(may_attend: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.where(may_attend, 0.0, -1e9).to(dtype)


@mistake(
    "additive_mask",
    "With -inf, a row that may attend to nothing becomes nan. Use the lowest finite number, torch.finfo(dtype).min.",
)
def minus_infinity(may_attend: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.where(may_attend, 0.0, float("-inf")).to(dtype)


@mistake(
    "additive_mask", "-1 is not low enough: after the softmax, masked positions keep more than a third of their weight."
)
def minus_one(may_attend: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.where(may_attend, 0.0, -1.0).to(dtype)


@mistake("additive_mask", "-100 is not low enough: a masked score of 300 would still win. Use torch.finfo(dtype).min.")
def minus_a_hundred(may_attend: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.where(may_attend, 0.0, -100.0).to(dtype)


@mistake("additive_mask", "Your mask is always float32. It must have the argument `dtype`.")
def always_float32(may_attend: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.where(may_attend, 0.0, -30000.0)


@variant("additive_mask")
def a_large_number(may_attend: Tensor, dtype: torch.dtype) -> Tensor:
    return (1 - may_attend.to(dtype)) * -30000


def mix(weights: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    return weights @ value, weights


@mistake("attend", "You multiplied by the mask. Add it to the scores, before the softmax.")
def mask_multiplied(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    scores = query @ key.transpose(-2, -1) * scaling * (mask == 0)
    return mix(torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype), value)


@mistake("attend", "You did not use the mask. Add it to the scores.")
def mask_ignored(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(query, key, value, torch.zeros_like(mask), scaling)


@mistake("attend", "You masked after the softmax, so the weights of a row sum to less than 1. Add the mask before it.")
def masked_after_softmax(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float
) -> tuple[Tensor, Tensor]:
    weights = torch.softmax(query @ key.transpose(-2, -1) * scaling, dim=-1, dtype=torch.float32)
    return mix((weights * (mask == 0)).to(query.dtype), value)


@mistake("attend", "You scaled the mask too. Scale the scores first, then add the mask.")
def mask_scaled(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    scores = (query @ key.transpose(-2, -1) + mask) * scaling
    return mix(torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype), value)


@mistake(
    "attend",
    "You treated the mask as boolean. Add it as it is: a small negative number lowers a score without masking it.",
)
def mask_as_boolean(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    lowest = torch.finfo(mask.dtype).min
    return solution.attend(query, key, value, (mask == lowest) * lowest, scaling)


@mistake("attend", "Your scores are not scaled (chapter 3). Multiply them by `scaling`.")
def not_scaled(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(query, key, value, mask, 1.0)


@mistake("attend", "You scaled by 1 / sqrt(E). Multiply by the argument `scaling` instead.")
def scaled_by_itself(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(query, key, value, mask, query.shape[-1] ** -0.5)


@mistake("attend", "Your result is float32. Cast the weights back to the dtype of the query.")
def result_in_float32(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(query.float(), key.float(), value.float(), mask.float(), scaling)


@mistake(
    "attend",
    "Your exp overflows for large scores and gives nan. Use softmax, or subtract the largest score of each row first.",
)
def plain_exp(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    powers = (query @ key.transpose(-2, -1) * scaling + mask).exp()
    return mix(powers / powers.sum(-1, keepdim=True), value)


@mistake("attend", "Your softmax runs over the queries. Take it over the keys, the last axis.")
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
    masked = mask == torch.finfo(mask.dtype).min
    weights = (scores + mask).masked_fill(masked, float("-inf")).softmax(-1, dtype=torch.float32)
    return mix(weights.to(value.dtype), value)


class AttentionOf(solution.GemmaAttention):
    """The reference in small steps, so that a mistake can override one of them."""

    def __init__(self, config: GemmaConfig):
        super().__init__(config)
        self.config = config
        self.scaling = config.head_dim**-0.5

    def forward(self, hidden_states: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        query, key, value = (
            self.split_heads(layer(hidden_states)) for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key, value = self.rotate(query, key, value, cos, sin)
        key, value = self.repeat(key), self.repeat(value)
        mixed, weights = solution.attend(query, key, value, self.final_mask(mask), self.scaling)
        return self.o_proj(self.join(mixed)), weights

    def rotate(self, query: Tensor, key: Tensor, value: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        return apply_rotary_pos_emb(query, cos, sin), apply_rotary_pos_emb(key, cos, sin), value

    def repeat(self, states: Tensor) -> Tensor:
        return solution.repeat_kv(states, self.num_groups)

    def final_mask(self, mask: Tensor) -> Tensor:
        return mask

    def join(self, mixed: Tensor) -> Tensor:
        return mixed.transpose(1, 2).flatten(2)


@mistake("GemmaAttention", "You tiled the key/value heads: 0, 1, 0, 1. Consecutive query heads share one: 0, 0, 1, 1.")
class AttentionTiled(AttentionOf):
    def repeat(self, states: Tensor) -> Tensor:
        return states.repeat(1, self.num_groups, 1, 1)


@mistake(
    "GemmaAttention",
    "You scaled by 1 / sqrt(D). Each score is a sum over the E entries of one head: scale by 1 / sqrt(E).",
)
class AttentionScaledByHiddenSize(AttentionOf):
    def __init__(self, config: GemmaConfig):
        super().__init__(config)
        self.scaling = config.hidden_size**-0.5


@mistake(
    "GemmaAttention", "You scaled by 1 / sqrt(D / A). In Gemma, the head dimension is config.head_dim, whatever D is."
)
class AttentionScaledByShareOfHiddenSize(AttentionOf):
    def __init__(self, config: GemmaConfig):
        super().__init__(config)
        self.scaling = (config.hidden_size / config.num_attention_heads) ** -0.5


@mistake("GemmaAttention", "Your scores are not scaled (chapter 3). Multiply them by 1 / sqrt(E).")
class AttentionUnscaled(AttentionOf):
    def __init__(self, config: GemmaConfig):
        super().__init__(config)
        self.scaling = 1.0


@mistake("GemmaAttention", "You rotated the values too. Rotate only queries and keys.")
class AttentionWithValuesRotated(AttentionOf):
    def rotate(self, query: Tensor, key: Tensor, value: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        return tuple(apply_rotary_pos_emb(states, cos, sin) for states in (query, key, value))


@mistake("GemmaAttention", "You did not rotate the keys. Rotate queries and keys.")
class AttentionWithKeysNotRotated(AttentionOf):
    def rotate(self, query: Tensor, key: Tensor, value: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        return apply_rotary_pos_emb(query, cos, sin), key, value


@mistake("GemmaAttention", "You rotated nothing, so the layer ignores the order. Rotate queries and keys.")
class AttentionWithoutPositions(AttentionOf):
    def rotate(self, query: Tensor, key: Tensor, value: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        return query, key, value


@mistake("GemmaAttention", "You did not use the mask. Add it to the scores.")
class AttentionWithoutMask(AttentionOf):
    def final_mask(self, mask: Tensor) -> Tensor:
        return torch.zeros_like(mask)


@mistake(
    "GemmaAttention",
    "You split the heads without a transpose (chapter 3). Reshape to [B, S, A, E], then swap the two middle axes.",
)
class AttentionSplitWithoutTranspose(AttentionOf):
    def split_heads(self, states: Tensor) -> Tensor:
        return states.reshape(states.shape[0], -1, states.shape[1], self.head_dim)


@mistake("GemmaAttention", "You scaled the mask too. Scale the scores first, then add the mask.")
class AttentionWithMaskScaled(AttentionOf):
    def final_mask(self, mask: Tensor) -> Tensor:
        return mask * self.scaling


@mistake(
    "GemmaAttention", "You merged the heads without a transpose, which mixes positions. Swap heads and positions first."
)
class AttentionMergedWithoutTranspose(AttentionOf):
    def join(self, mixed: Tensor) -> Tensor:
        return mixed.reshape(mixed.shape[0], mixed.shape[2], -1)


@mistake("GemmaAttention", "Your query layer has D outputs. A heads of E entries need A * E.")
class AttentionOfWidthD(AttentionOf):
    def __init__(self, config: GemmaConfig):
        super().__init__(config)
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)


@mistake("GemmaAttention", "Your key and value layers have A heads. They have only K: K * E outputs.")
class AttentionWithAllKeyHeads(AttentionOf):
    def __init__(self, config: GemmaConfig):
        super().__init__(config)
        width = config.num_attention_heads * config.head_dim
        self.k_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, width, bias=False)


@mistake("GemmaAttention", "Your layers have biases. Gemma's have none: pass bias=False.")
class AttentionWithBias(AttentionOf):
    def __init__(self, config: GemmaConfig):
        super().__init__(config)
        self.q_proj = nn.Linear(config.hidden_size, self.q_proj.out_features)


@variant("GemmaAttention")
class AttentionGroupByGroup(solution.GemmaAttention):
    """Without repeating keys and values: the groups are an axis of the queries."""

    def forward(self, hidden_states: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        query = apply_rotary_pos_emb(self.split_heads(self.q_proj(hidden_states)), cos, sin)
        key = apply_rotary_pos_emb(self.split_heads(self.k_proj(hidden_states)), cos, sin)
        value = self.split_heads(self.v_proj(hidden_states))
        query = query.unflatten(1, (-1, self.num_groups))  # [B, K, groups, S, E]
        scores = torch.einsum("bkgqe,bkse->bkgqs", query, key) / self.head_dim**0.5 + mask[:, None]
        weights = scores.softmax(-1)
        mixed = torch.einsum("bkgqs,bkse->bqkge", weights, value)
        return self.o_proj(mixed.flatten(2)), weights.flatten(1, 2)


@mistake("cache_bytes", "You counted only the keys or only the values. The cache stores both: multiply by 2.")
def keys_alone(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    return solution.cache_bytes(config, batch_size, length, bytes_per_number) // 2


@mistake("cache_bytes", "You counted one key/value head per layer. There are K: multiply by num_key_value_heads.")
def one_head(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    return solution.cache_bytes(config, batch_size, length, bytes_per_number) // config.num_key_value_heads


@mistake("cache_bytes", "You assumed 2 bytes per number. Use the argument `bytes_per_number`.")
def always_two_bytes(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    return solution.cache_bytes(config, batch_size, length, 2)


@mistake("cache_bytes", "You used D / A as the head dimension. Use config.head_dim, which may differ.")
def head_dim_guessed(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    head_dim = config.hidden_size // config.num_attention_heads
    return solution.cache_bytes(config, batch_size, length, bytes_per_number) // config.head_dim * head_dim


@mistake("cache_bytes", "You counted the query heads. The cache stores only the key/value heads.")
def query_heads_counted(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    groups = config.num_attention_heads // config.num_key_value_heads
    return solution.cache_bytes(config, batch_size, length, bytes_per_number) * groups


@mistake(
    "cache_bytes", "You counted one layer. Every layer stores its own keys and values: multiply by num_hidden_layers."
)
def one_layer(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    return solution.cache_bytes(config, batch_size, length, bytes_per_number) // config.num_hidden_layers


@mistake(
    "cache_bytes", "You counted one row. Every row of the batch has its own keys and values: multiply by batch_size."
)
def one_row(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    return solution.cache_bytes(config, 1, length, bytes_per_number)


@mistake("cache_bytes", "You returned the count of numbers. Multiply by bytes_per_number.")
def numbers_counted(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    return solution.cache_bytes(config, batch_size, length, 1)


@mistake("cache_bytes", "You used the hidden size. The cache stores K heads of E numbers.")
def hidden_size_counted(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    return 2 * config.num_hidden_layers * batch_size * length * config.hidden_size * bytes_per_number


@variant("cache_bytes")
def bytes_of_a_tensor(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    dtype = {1: torch.int8, 2: torch.bfloat16, 4: torch.float32}[bytes_per_number]
    keys = torch.empty(batch_size, config.num_key_value_heads, length, config.head_dim, dtype=dtype, device="meta")
    return sum(2 * keys.nbytes for _ in range(config.num_hidden_layers))
