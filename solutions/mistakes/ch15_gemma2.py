"""Common mistakes in the exercises of chapter 15, and other right answers."""

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch15_gemma2 as solution
from vlm.config import Gemma2Config


@mistake(
    "soft_cap", "You clamped at the cap. Use tanh: it changes smaller values too, and keeps values above the cap apart."
)
def clamped(values: Tensor, cap: float) -> Tensor:
    return values.clamp(-cap, cap)


@mistake("soft_cap", "You did not divide by the cap before tanh, so everything above 2 ends up at the cap.")
def not_divided(values: Tensor, cap: float) -> Tensor:
    return cap * torch.tanh(values)


@mistake("soft_cap", "The result lies between -1 and 1. Multiply it by the cap.")
def not_multiplied(values: Tensor, cap: float) -> Tensor:
    return torch.tanh(values / cap)


@mistake("soft_cap", "You capped only values above the cap. Apply tanh to all of them.")
def only_large_ones(values: Tensor, cap: float) -> Tensor:
    return torch.where(values.abs() > cap, solution.soft_cap(values, cap), values)


@mistake("soft_cap", "Multiplication and division are swapped. Divide by the cap inside tanh, multiply outside.")
def inside_out(values: Tensor, cap: float) -> Tensor:
    return torch.tanh(values * cap) / cap


@mistake("soft_cap", "You divided the cap by x. Divide x by the cap.")
def upside_down(values: Tensor, cap: float) -> Tensor:
    return cap * torch.tanh(cap / values)


@mistake("soft_cap", "You did not use the cap. Divide x by it, and multiply tanh by it.")
def tanh_alone(values: Tensor, cap: float) -> Tensor:
    return torch.tanh(values)


@variant("soft_cap")
def by_exponentials(values: Tensor, cap: float) -> Tensor:
    return cap * (2 * torch.sigmoid(2 * values / cap) - 1)


def scores_of(query: Tensor, key: Tensor) -> Tensor:
    return query @ key.transpose(-2, -1)


@mistake("attend", "You capped after masking, which lifts masked scores to -cap, so they get some weight. Mask last.")
def capped_after_the_mask(query, key, value, mask, scaling, cap) -> Tensor:
    return solution.soft_cap(scores_of(query, key) * scaling + mask, cap).softmax(-1) @ value


@mistake("attend", "You capped before scaling, so the scores are limited to scaling * cap. Scale first.")
def capped_before_scaling(query, key, value, mask, scaling, cap) -> Tensor:
    return (solution.soft_cap(scores_of(query, key), cap) * scaling + mask).softmax(-1) @ value


@mistake("attend", "You did not cap the scores.")
def without_cap(query, key, value, mask, scaling, cap) -> Tensor:
    return (scores_of(query, key) * scaling + mask).softmax(-1) @ value


@mistake("attend", "You capped the attention weights, after the softmax. Cap the scores, before it.")
def weights_capped(query, key, value, mask, scaling, cap) -> Tensor:
    return solution.soft_cap((scores_of(query, key) * scaling + mask).softmax(-1), cap) @ value


@mistake("attend", "You capped the result. Cap the scores.")
def result_capped(query, key, value, mask, scaling, cap) -> Tensor:
    return solution.soft_cap(without_cap.implementation(query, key, value, mask, scaling, cap), cap)


@mistake("attend", "You clamped the scores at the cap. Use `soft_cap`.")
def scores_clamped(query, key, value, mask, scaling, cap) -> Tensor:
    return ((scores_of(query, key) * scaling).clamp(-cap, cap) + mask).softmax(-1) @ value


@mistake("attend", "You divided by √E. Multiply by the given factor, `scaling`.")
def scaled_by_head_dim(query, key, value, mask, scaling, cap) -> Tensor:
    return solution.attend(query, key, value, mask, query.shape[-1] ** -0.5, cap)


@mistake("attend", "You did not use the mask. Add it to the capped scores.")
def mask_ignored(query, key, value, mask, scaling, cap) -> Tensor:
    return solution.attend(query, key, value, torch.zeros_like(mask), scaling, cap)


@mistake("attend", "You did not scale the scores. Multiply them by `scaling`.")
def not_scaled(query, key, value, mask, scaling, cap) -> Tensor:
    return solution.attend(query, key, value, mask, 1.0, cap)


@mistake("attend", "You masked after the softmax, so a row's weights sum to less than 1. Mask the scores before it.")
def masked_after_softmax(query, key, value, mask, scaling, cap) -> Tensor:
    weights = solution.soft_cap(scores_of(query, key) * scaling, cap).softmax(-1)
    return (weights * (mask == 0)) @ value


@mistake("attend", "You capped the mask too, so masked keys still get some weight at -cap. Cap the scores only.")
def both_capped(query, key, value, mask, scaling, cap) -> Tensor:
    return (solution.soft_cap(scores_of(query, key) * scaling, cap) + solution.soft_cap(mask, cap)).softmax(-1) @ value


@mistake("attend", "-100 is not low enough if the cap is higher. Add the given mask.")
def masked_by_minus_a_hundred(query, key, value, mask, scaling, cap) -> Tensor:
    scores = solution.soft_cap(scores_of(query, key) * scaling, cap)
    return scores.masked_fill(mask != 0, -100.0).softmax(-1) @ value


@variant("attend")
def query_scaled_first(query, key, value, mask, scaling, cap) -> Tensor:
    scores = torch.einsum("baqe,bate->baqt", query * scaling, key)
    scores = (cap * torch.tanh(scores / cap)).masked_fill(mask < 0, float("-inf"))
    return torch.einsum("baqt,bate->baqe", scores.softmax(-1), value)


@mistake("attention_scaling", "You used head_dim, as in Gemma. In the 28B the two differ: 128 and 144.")
def by_head_dim(config: Gemma2Config) -> float:
    return config.head_dim**-0.5


@mistake("attention_scaling", "You used D / A, which is right for the 28B only. Use query_pre_attn_scalar.")
def by_hidden_size_per_head(config: Gemma2Config) -> float:
    return (config.hidden_size / config.num_attention_heads) ** -0.5


@mistake("attention_scaling", "The square root is missing.")
def without_root(config: Gemma2Config) -> float:
    return 1 / config.query_pre_attn_scalar


@mistake("attention_scaling", "This is the divisor. Return the factor, which is 1 over it.")
def not_inverted(config: Gemma2Config) -> float:
    return config.query_pre_attn_scalar**0.5


@mistake("attention_scaling", "256 is right for the 3B and the 10B only. Read the number from the config.")
def always_sixteen(config: Gemma2Config) -> float:
    return 1 / 16


@mistake("attention_scaling", "This is the number itself. Return 1 over its square root.")
def scalar_itself(config: Gemma2Config) -> float:
    return float(config.query_pre_attn_scalar)


@mistake("attention_scaling", "You used D, the hidden size. Use query_pre_attn_scalar.")
def by_hidden_size(config: Gemma2Config) -> float:
    return config.hidden_size**-0.5


@variant("attention_scaling")
def by_torch(config: Gemma2Config) -> float:
    return torch.tensor(float(config.query_pre_attn_scalar), dtype=torch.float64).rsqrt().item()


@mistake("run_block", "Two norms are missing, as in the first Gemma. The output of each sublayer is normalized too.")
def input_norms_only(hidden_states, attention, mlp, norms) -> Tensor:
    hidden_states = hidden_states + attention(norms["input_layernorm"](hidden_states))
    return hidden_states + mlp(norms["pre_feedforward_layernorm"](hidden_states))


@mistake(
    "run_block",
    "You put `post_attention_layernorm` before the MLP, as in Gemma. In Gemma 2 it normalizes the attention's output.",
)
def named_as_in_gemma(hidden_states, attention, mlp, norms) -> Tensor:
    hidden_states = hidden_states + attention(norms["input_layernorm"](hidden_states))
    return hidden_states + mlp(norms["post_attention_layernorm"](hidden_states))


@mistake("run_block", "You normalized the sum. Normalize each sublayer's output before you add it.")
def sum_normalized(hidden_states, attention, mlp, norms) -> Tensor:
    attended = attention(norms["input_layernorm"](hidden_states))
    hidden_states = norms["post_attention_layernorm"](hidden_states + attended)
    gated = mlp(norms["pre_feedforward_layernorm"](hidden_states))
    return norms["post_feedforward_layernorm"](hidden_states + gated)


@mistake("run_block", "The norms before the sublayers are missing.")
def output_norms_only(hidden_states, attention, mlp, norms) -> Tensor:
    hidden_states = hidden_states + norms["post_attention_layernorm"](attention(hidden_states))
    return hidden_states + norms["post_feedforward_layernorm"](mlp(hidden_states))


@mistake("run_block", "The norms before and after the sublayers are swapped.")
def norms_swapped(hidden_states, attention, mlp, norms) -> Tensor:
    attended = attention(norms["post_attention_layernorm"](hidden_states))
    hidden_states = hidden_states + norms["input_layernorm"](attended)
    gated = mlp(norms["post_feedforward_layernorm"](hidden_states))
    return hidden_states + norms["pre_feedforward_layernorm"](gated)


@mistake(
    "run_block",
    "You added to the normalized vectors. Add each output to the residual stream as it was before the norm.",
)
def normalized_stream_kept(hidden_states, attention, mlp, norms) -> Tensor:
    normed = norms["input_layernorm"](hidden_states)
    hidden_states = normed + norms["post_attention_layernorm"](attention(normed))
    normed = norms["pre_feedforward_layernorm"](hidden_states)
    return normed + norms["post_feedforward_layernorm"](mlp(normed))


@mistake("run_block", "Both residual connections are missing. Add each sublayer's normalized output to its input.")
def nothing_added(hidden_states, attention, mlp, norms) -> Tensor:
    states = norms["post_attention_layernorm"](attention(norms["input_layernorm"](hidden_states)))
    return norms["post_feedforward_layernorm"](mlp(norms["pre_feedforward_layernorm"](states)))


@mistake("run_block", "`post_attention_layernorm` and `pre_feedforward_layernorm` are swapped.")
def middle_ones_swapped(hidden_states, attention, mlp, norms) -> Tensor:
    attended = attention(norms["input_layernorm"](hidden_states))
    hidden_states = hidden_states + norms["pre_feedforward_layernorm"](attended)
    gated = mlp(norms["post_attention_layernorm"](hidden_states))
    return hidden_states + norms["post_feedforward_layernorm"](gated)


@mistake("run_block", "`post_feedforward_layernorm` is missing. Normalize the MLP's output too.")
def last_one_missing(hidden_states, attention, mlp, norms) -> Tensor:
    attended = attention(norms["input_layernorm"](hidden_states))
    hidden_states = hidden_states + norms["post_attention_layernorm"](attended)
    return hidden_states + mlp(norms["pre_feedforward_layernorm"](hidden_states))


@mistake("run_block", "`post_attention_layernorm` is missing. Normalize the attention's output too.")
def second_one_missing(hidden_states, attention, mlp, norms) -> Tensor:
    hidden_states = hidden_states + attention(norms["input_layernorm"](hidden_states))
    gated = mlp(norms["pre_feedforward_layernorm"](hidden_states))
    return hidden_states + norms["post_feedforward_layernorm"](gated)


@mistake("run_block", "`pre_feedforward_layernorm` is missing. Normalize the MLP's input too.")
def third_one_missing(hidden_states, attention, mlp, norms) -> Tensor:
    attended = attention(norms["input_layernorm"](hidden_states))
    hidden_states = hidden_states + norms["post_attention_layernorm"](attended)
    return hidden_states + norms["post_feedforward_layernorm"](mlp(hidden_states))


@mistake("run_block", "The attention has no residual connection. Add its normalized output to hidden_states.")
def first_sum_missing(hidden_states, attention, mlp, norms) -> Tensor:
    states = norms["post_attention_layernorm"](attention(norms["input_layernorm"](hidden_states)))
    return states + norms["post_feedforward_layernorm"](mlp(norms["pre_feedforward_layernorm"](states)))


@mistake("run_block", "The MLP has no residual connection. Add its normalized output to the residual stream.")
def second_sum_missing(hidden_states, attention, mlp, norms) -> Tensor:
    attended = attention(norms["input_layernorm"](hidden_states))
    hidden_states = hidden_states + norms["post_attention_layernorm"](attended)
    return norms["post_feedforward_layernorm"](mlp(norms["pre_feedforward_layernorm"](hidden_states)))


@mistake(
    "run_block",
    "Both sublayers read the same input. The MLP should read the residual stream after the attention was added.",
)
def in_parallel(hidden_states, attention, mlp, norms) -> Tensor:
    attended = norms["post_attention_layernorm"](attention(norms["input_layernorm"](hidden_states)))
    gated = norms["post_feedforward_layernorm"](mlp(norms["pre_feedforward_layernorm"](hidden_states)))
    return hidden_states + attended + gated


@mistake("run_block", "The second sum starts from the block's input, so the attention's output is lost.")
def second_sum_from_the_beginning(hidden_states, attention, mlp, norms) -> Tensor:
    attended = attention(norms["input_layernorm"](hidden_states))
    states = hidden_states + norms["post_attention_layernorm"](attended)
    return hidden_states + norms["post_feedforward_layernorm"](mlp(norms["pre_feedforward_layernorm"](states)))


@variant("run_block")
def step_by_step(hidden_states, attention, mlp, norms) -> Tensor:
    for before, step, after in (
        ("input_layernorm", attention, "post_attention_layernorm"),
        ("pre_feedforward_layernorm", mlp, "post_feedforward_layernorm"),
    ):
        hidden_states = norms[after](step(norms[before](hidden_states))).add(hidden_states)
    return hidden_states


def near(may_attend: Tensor, window: int, offset: int | None = None) -> Tensor:
    """[S, T]: True where the key is not further back than the window."""
    new, total = may_attend.shape[1:]
    first = total - new if offset is None else offset
    return torch.arange(total) > torch.arange(first, first + new)[:, None] - window


def is_prefix(token_type_ids: Tensor) -> Tensor:
    return (token_type_ids == 0)[:, :, None]


@mistake("limit_to_window", "One too few: a window of 2 is the token itself and the one before it.")
def one_too_few(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_attend & (near(may_attend, window - 1) | is_prefix(token_type_ids))


@mistake("limit_to_window", "One too many: the window includes the token itself.")
def one_too_many(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_attend & (near(may_attend, window + 1) | is_prefix(token_type_ids))


@mistake("limit_to_window", "You limited the prefix too. It attends to itself in full, however long it is.")
def prefix_limited(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_attend & near(may_attend, window)


@mistake(
    "limit_to_window",
    "The suffix still attends to the whole prefix. The window also masks prefix tokens that are too far back.",
)
def prefix_always_seen(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    new, total = may_attend.shape[1:]
    prefix_columns = torch.nn.functional.pad(token_type_ids == 0, (total - new, 0), value=True)[:, None, :]
    return may_attend & (near(may_attend, window) | prefix_columns)


@mistake(
    "limit_to_window",
    "You ignored the cached tokens. The new tokens are the last S of the T columns: count back from there.",
)
def cache_forgotten(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_attend & (near(may_attend, window, offset=0) | is_prefix(token_type_ids))


@mistake(
    "limit_to_window", "Keys that may_attend masks are visible again. Both the mask and the window must allow them."
)
def mask_forgotten(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return (near(may_attend, window) | is_prefix(token_type_ids)).expand_as(may_attend)


@mistake("limit_to_window", "You used the first row's token types for all rows. Each row has its own prefix.")
def types_of_the_first_row(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_attend & (near(may_attend, window) | is_prefix(token_type_ids[:1]))


@mistake(
    "limit_to_window", "With a wide window your slice's end is negative, so it counts from the right. Clamp it at 0."
)
def negative_slice(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    limited = may_attend.clone()
    batch, new, total = may_attend.shape
    for row in range(batch):
        for query in range(new):
            if token_type_ids[row, query] == 1:
                limited[row, query, : total - new + query + 1 - window] = False
    return limited


@mistake("limit_to_window", "`a & b | c` means `(a & b) | c`, so the prefix attends to masked keys. Use parentheses.")
def without_parentheses(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_attend & near(may_attend, window) | is_prefix(token_type_ids)


@mistake("limit_to_window", "Prefix and suffix are swapped: type 1 is the suffix, which the window limits.")
def types_upside_down(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_attend & (near(may_attend, window) | ~is_prefix(token_type_ids))


@mistake("limit_to_window", "The window has no effect. Mask what is too far back for the suffix.")
def not_limited(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_attend


@mistake("limit_to_window", "Your window stays at the first columns. It moves along with the query.")
def first_columns_alone(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_attend & ((torch.arange(may_attend.shape[2]) < window) | is_prefix(token_type_ids))


@variant("limit_to_window")
def one_by_one(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    limited = may_attend.clone()
    batch, new, total = may_attend.shape
    for row in range(batch):
        for query in range(new):
            if token_type_ids[row, query] == 1:
                limited[row, query, : max(total - new + query + 1 - window, 0)] = False
    return limited


@variant("limit_to_window")
def by_a_band(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    new, total = may_attend.shape[1:]
    band = torch.ones(new, total).triu(total - new - window + 1).bool()
    return torch.where(token_type_ids[:, :, None].bool(), may_attend & band, may_attend)
