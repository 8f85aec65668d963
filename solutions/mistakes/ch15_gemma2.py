"""Mistakes people make in chapter 15, and other right answers."""

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch15_gemma2 as solution
from vlm.config import Gemma2Config


@mistake("soft_cap", "You cut at the cap; it should bend: numbers below the cap change too, and their order is kept.")
def clamped(values: Tensor, cap: float) -> Tensor:
    return values.clamp(-cap, cap)


@mistake("soft_cap", "The numbers are not divided by the cap before tanh: everything above 2 is at the cap then.")
def not_divided(values: Tensor, cap: float) -> Tensor:
    return cap * torch.tanh(values)


@mistake("soft_cap", "The result is not multiplied by the cap: it lies between -1 and 1.")
def not_multiplied(values: Tensor, cap: float) -> Tensor:
    return torch.tanh(values / cap)


@mistake("soft_cap", "Only numbers above the cap were bent; tanh goes over all of them.")
def only_large_ones(values: Tensor, cap: float) -> Tensor:
    return torch.where(values.abs() > cap, solution.soft_cap(values, cap), values)


@mistake("soft_cap", "Multiply and divide have changed places: x is divided by the cap inside, and multiplied outside.")
def inside_out(values: Tensor, cap: float) -> Tensor:
    return torch.tanh(values * cap) / cap


@mistake("soft_cap", "The fraction is upside down: x is divided by the cap.")
def upside_down(values: Tensor, cap: float) -> Tensor:
    return cap * torch.tanh(cap / values)


@mistake("soft_cap", "The cap is not used: x is divided by it, and tanh multiplied.")
def tanh_alone(values: Tensor, cap: float) -> Tensor:
    return torch.tanh(values)


@variant("soft_cap")
def by_exponentials(values: Tensor, cap: float) -> Tensor:
    return cap * (2 * torch.sigmoid(2 * values / cap) - 1)


def scores_of(query: Tensor, key: Tensor) -> Tensor:
    return query @ key.transpose(-2, -1)


@mistake("attend", "The cap comes after the mask: it lifts what is forbidden to -cap, and that can be seen. Mask last.")
def capped_after_the_mask(query, key, value, mask, scaling, cap) -> Tensor:
    return solution.soft_cap(scores_of(query, key) * scaling + mask, cap).softmax(-1) @ value


@mistake("attend", "The cap comes before the scaling, so the scores are cut down to scaling * cap. Scale first.")
def capped_before_scaling(query, key, value, mask, scaling, cap) -> Tensor:
    return (solution.soft_cap(scores_of(query, key), cap) * scaling + mask).softmax(-1) @ value


@mistake("attend", "The scores are not capped.")
def without_cap(query, key, value, mask, scaling, cap) -> Tensor:
    return (scores_of(query, key) * scaling + mask).softmax(-1) @ value


@mistake("attend", "You capped the weights, after softmax; the scores are capped, before it.")
def weights_capped(query, key, value, mask, scaling, cap) -> Tensor:
    return solution.soft_cap((scores_of(query, key) * scaling + mask).softmax(-1), cap) @ value


@mistake("attend", "You capped the result; the scores are capped.")
def result_capped(query, key, value, mask, scaling, cap) -> Tensor:
    return solution.soft_cap(without_cap.implementation(query, key, value, mask, scaling, cap), cap)


@mistake("attend", "The scores are cut at the cap; they should bend (`soft_cap`).")
def scores_clamped(query, key, value, mask, scaling, cap) -> Tensor:
    return ((scores_of(query, key) * scaling).clamp(-cap, cap) + mask).softmax(-1) @ value


@mistake("attend", "You divided by the root of E; the factor is given, as `scaling`.")
def scaled_by_itself(query, key, value, mask, scaling, cap) -> Tensor:
    return solution.attend(query, key, value, mask, query.shape[-1] ** -0.5, cap)


@mistake("attend", "The mask is not used.")
def mask_ignored(query, key, value, mask, scaling, cap) -> Tensor:
    return solution.attend(query, key, value, torch.zeros_like(mask), scaling, cap)


@mistake("attend", "The scores are not scaled; the factor is given, as `scaling`.")
def not_scaled(query, key, value, mask, scaling, cap) -> Tensor:
    return solution.attend(query, key, value, mask, 1.0, cap)


@mistake("attend", "You masked after softmax: the weights of a row then sum to less than 1.")
def masked_after_softmax(query, key, value, mask, scaling, cap) -> Tensor:
    weights = solution.soft_cap(scores_of(query, key) * scaling, cap).softmax(-1)
    return (weights * (mask == 0)) @ value


@mistake("attend", "Mask and scores were both capped, and then added: the mask is no mask any more at -cap.")
def both_capped(query, key, value, mask, scaling, cap) -> Tensor:
    return (solution.soft_cap(scores_of(query, key) * scaling, cap) + solution.soft_cap(mask, cap)).softmax(-1) @ value


@mistake("attend", "-100 is not low enough where the cap is higher: add the mask that is given.")
def forbidden_by_a_hundred(query, key, value, mask, scaling, cap) -> Tensor:
    scores = solution.soft_cap(scores_of(query, key) * scaling, cap)
    return scores.masked_fill(mask != 0, -100.0).softmax(-1) @ value


@variant("attend")
def query_scaled_first(query, key, value, mask, scaling, cap) -> Tensor:
    scores = torch.einsum("baqe,bate->baqt", query * scaling, key)
    scores = (cap * torch.tanh(scores / cap)).masked_fill(mask < 0, float("-inf"))
    return torch.einsum("baqt,bate->baqe", scores.softmax(-1), value)


@mistake("attention_scaling", "That is head_dim, as in Gemma. In the 28B they differ: 128 and 144.")
def by_head_dim(config: Gemma2Config) -> float:
    return config.head_dim**-0.5


@mistake("attention_scaling", "You took D / A. In the 28B that is right by chance, in the others not.")
def by_share_of_hidden_size(config: Gemma2Config) -> float:
    return (config.hidden_size / config.num_attention_heads) ** -0.5


@mistake("attention_scaling", "The root is missing.")
def without_root(config: Gemma2Config) -> float:
    return 1 / config.query_pre_attn_scalar


@mistake("attention_scaling", "This is what to divide by; the factor is one over it.")
def not_inverted(config: Gemma2Config) -> float:
    return config.query_pre_attn_scalar**0.5


@mistake("attention_scaling", "256 is right for the 3B and the 10B; read it from the config.")
def always_sixteen(config: Gemma2Config) -> float:
    return 1 / 16


@mistake("attention_scaling", "This is the number itself; the factor is one over its root.")
def scalar_itself(config: Gemma2Config) -> float:
    return float(config.query_pre_attn_scalar)


@mistake("attention_scaling", "This is D, the hidden size; take query_pre_attn_scalar.")
def by_hidden_size(config: Gemma2Config) -> float:
    return config.hidden_size**-0.5


@variant("attention_scaling")
def by_torch(config: Gemma2Config) -> float:
    return torch.tensor(float(config.query_pre_attn_scalar), dtype=torch.float64).rsqrt().item()


@mistake("run_block", "This is Gemma's block with other names: norms stand on the ways in alone. Two are missing.")
def ways_in_alone(hidden_states, attention, mlp, norms) -> Tensor:
    hidden_states = hidden_states + attention(norms["input_layernorm"](hidden_states))
    return hidden_states + mlp(norms["pre_feedforward_layernorm"](hidden_states))


@mistake(
    "run_block",
    "`post_attention_layernorm` stands before the MLP, as in Gemma. In Gemma 2 it is on the way out of the attention.",
)
def named_as_in_gemma(hidden_states, attention, mlp, norms) -> Tensor:
    hidden_states = hidden_states + attention(norms["input_layernorm"](hidden_states))
    return hidden_states + mlp(norms["post_attention_layernorm"](hidden_states))


@mistake("run_block", "You normed the sum; what a step adds is normed, before it is added.")
def sum_normed(hidden_states, attention, mlp, norms) -> Tensor:
    attended = attention(norms["input_layernorm"](hidden_states))
    hidden_states = norms["post_attention_layernorm"](hidden_states + attended)
    gated = mlp(norms["pre_feedforward_layernorm"](hidden_states))
    return norms["post_feedforward_layernorm"](hidden_states + gated)


@mistake("run_block", "The norms on the ways in are missing.")
def ways_out_alone(hidden_states, attention, mlp, norms) -> Tensor:
    hidden_states = hidden_states + norms["post_attention_layernorm"](attention(hidden_states))
    return hidden_states + norms["post_feedforward_layernorm"](mlp(hidden_states))


@mistake("run_block", "The norms of the way in and the way out have changed places.")
def exchanged(hidden_states, attention, mlp, norms) -> Tensor:
    attended = attention(norms["post_attention_layernorm"](hidden_states))
    hidden_states = hidden_states + norms["input_layernorm"](attended)
    gated = mlp(norms["post_feedforward_layernorm"](hidden_states))
    return hidden_states + norms["pre_feedforward_layernorm"](gated)


@mistake("run_block", "The normed vectors are carried on; each step adds to the vectors as they were.")
def normed_carried_on(hidden_states, attention, mlp, norms) -> Tensor:
    normed = norms["input_layernorm"](hidden_states)
    hidden_states = normed + norms["post_attention_layernorm"](attention(normed))
    normed = norms["pre_feedforward_layernorm"](hidden_states)
    return normed + norms["post_feedforward_layernorm"](mlp(normed))


@mistake("run_block", "Nothing is added to what was there.")
def nothing_added(hidden_states, attention, mlp, norms) -> Tensor:
    states = norms["post_attention_layernorm"](attention(norms["input_layernorm"](hidden_states)))
    return norms["post_feedforward_layernorm"](mlp(norms["pre_feedforward_layernorm"](states)))


@mistake("run_block", "`post_attention_layernorm` and `pre_feedforward_layernorm` have changed places.")
def middle_ones_exchanged(hidden_states, attention, mlp, norms) -> Tensor:
    attended = attention(norms["input_layernorm"](hidden_states))
    hidden_states = hidden_states + norms["pre_feedforward_layernorm"](attended)
    gated = mlp(norms["post_attention_layernorm"](hidden_states))
    return hidden_states + norms["post_feedforward_layernorm"](gated)


@mistake("run_block", "`post_feedforward_layernorm` is missing: what the MLP makes is normed too.")
def last_one_missing(hidden_states, attention, mlp, norms) -> Tensor:
    attended = attention(norms["input_layernorm"](hidden_states))
    hidden_states = hidden_states + norms["post_attention_layernorm"](attended)
    return hidden_states + mlp(norms["pre_feedforward_layernorm"](hidden_states))


@mistake("run_block", "`post_attention_layernorm` is missing: what the attention makes is normed too.")
def second_one_missing(hidden_states, attention, mlp, norms) -> Tensor:
    hidden_states = hidden_states + attention(norms["input_layernorm"](hidden_states))
    gated = mlp(norms["pre_feedforward_layernorm"](hidden_states))
    return hidden_states + norms["post_feedforward_layernorm"](gated)


@mistake("run_block", "`pre_feedforward_layernorm` is missing: the MLP reads normed vectors.")
def third_one_missing(hidden_states, attention, mlp, norms) -> Tensor:
    attended = attention(norms["input_layernorm"](hidden_states))
    hidden_states = hidden_states + norms["post_attention_layernorm"](attended)
    return hidden_states + norms["post_feedforward_layernorm"](mlp(hidden_states))


@mistake("run_block", "What the attention made is not added to what was there.")
def first_sum_missing(hidden_states, attention, mlp, norms) -> Tensor:
    states = norms["post_attention_layernorm"](attention(norms["input_layernorm"](hidden_states)))
    return states + norms["post_feedforward_layernorm"](mlp(norms["pre_feedforward_layernorm"](states)))


@mistake("run_block", "What the MLP made is not added to what was there.")
def second_sum_missing(hidden_states, attention, mlp, norms) -> Tensor:
    attended = attention(norms["input_layernorm"](hidden_states))
    hidden_states = hidden_states + norms["post_attention_layernorm"](attended)
    return norms["post_feedforward_layernorm"](mlp(norms["pre_feedforward_layernorm"](hidden_states)))


@mistake("run_block", "Both steps read the same vectors; the MLP reads what the attention has added to.")
def side_by_side(hidden_states, attention, mlp, norms) -> Tensor:
    attended = norms["post_attention_layernorm"](attention(norms["input_layernorm"](hidden_states)))
    gated = norms["post_feedforward_layernorm"](mlp(norms["pre_feedforward_layernorm"](hidden_states)))
    return hidden_states + attended + gated


@mistake("run_block", "The second sum begins with the vectors from before the attention: what that added is lost.")
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


def near(may_look: Tensor, window: int, offset: int | None = None) -> Tensor:
    """[S, T]: not further back than the window."""
    new, total = may_look.shape[1:]
    first = total - new if offset is None else offset
    return torch.arange(total) > torch.arange(first, first + new)[:, None] - window


def is_prefix(token_type_ids: Tensor) -> Tensor:
    return (token_type_ids == 0)[:, :, None]


@mistake("limit_to_window", "One too few: a window of 2 is the token itself and one before it.")
def one_too_few(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_look & (near(may_look, window - 1) | is_prefix(token_type_ids))


@mistake("limit_to_window", "One too many: the window counts the token itself.")
def one_too_many(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_look & (near(may_look, window + 1) | is_prefix(token_type_ids))


@mistake("limit_to_window", "The prefix is limited too; it sees itself in full, however long it is.")
def prefix_limited(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_look & near(may_look, window)


@mistake("limit_to_window", "The suffix sees the whole prefix all the same; the window hides it too, when it is far.")
def prefix_always_seen(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    new, total = may_look.shape[1:]
    prefix_columns = torch.nn.functional.pad(token_type_ids == 0, (total - new, 0), value=True)[:, None, :]
    return may_look & (near(may_look, window) | prefix_columns)


@mistake("limit_to_window", "What is cached is free of your window: count from the last columns, the new tokens.")
def cache_forgotten(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_look & (near(may_look, window, offset=0) | is_prefix(token_type_ids))


@mistake("limit_to_window", "Your window alone decides: what the mask forbade is visible again. Both must allow it.")
def mask_forgotten(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return (near(may_look, window) | is_prefix(token_type_ids)).expand_as(may_look)


@mistake("limit_to_window", "All rows use the types of the first; each row's prefix has an end of its own.")
def types_of_the_first_row(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_look & (near(may_look, window) | is_prefix(token_type_ids[:1]))


@mistake(
    "limit_to_window", "A slice with a negative end counts from the right: where the window is wide, clamp it at 0."
)
def negative_slice(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    limited = may_look.clone()
    batch, new, total = may_look.shape
    for row in range(batch):
        for query in range(new):
            if token_type_ids[row, query] == 1:
                limited[row, query, : total - new + query + 1 - window] = False
    return limited


@mistake("limit_to_window", "`a & b | c` is `(a & b) | c`: the prefix sees what the mask forbade. Set parentheses.")
def without_parentheses(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_look & near(may_look, window) | is_prefix(token_type_ids)


@mistake("limit_to_window", "The types are upside down: the prefix is limited, and the suffix free.")
def types_upside_down(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_look & (near(may_look, window) | ~is_prefix(token_type_ids))


@mistake("limit_to_window", "Nothing is limited.")
def not_limited(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_look


@mistake("limit_to_window", "The window stays at the beginning of the row; it moves along with the token.")
def first_columns_alone(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    return may_look & ((torch.arange(may_look.shape[2]) < window) | is_prefix(token_type_ids))


@variant("limit_to_window")
def looked_at_one_by_one(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    limited = may_look.clone()
    batch, new, total = may_look.shape
    for row in range(batch):
        for query in range(new):
            if token_type_ids[row, query] == 1:
                limited[row, query, : max(total - new + query + 1 - window, 0)] = False
    return limited


@variant("limit_to_window")
def by_a_band(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    new, total = may_look.shape[1:]
    band = torch.ones(new, total).triu(total - new - window + 1).bool()
    return torch.where(token_type_ids[:, :, None].bool(), may_look & band, may_look)
