"""Mistakes people make in chapter 14, the planted bugs among them, and other right answers."""

import torch
from torch import Tensor, nn

from grader import mistake, variant
from solutions import ch14_proving as solution

PLANTED = "This does what the planted bug did. The table in the chapter says where it begins to matter."


@mistake("relative_error", "You did not divide: this is an absolute error. A layer with large numbers looks worse so.")
def absolute(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    error = solution.relative_error(ours, theirs, is_real)
    return error * (theirs if is_real is None else theirs[is_real]).abs().max().item()


@mistake("relative_error", "You divided by the size of ours: a result that is far too large then looks nearly right.")
def divided_by_ours(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    error = absolute.implementation(ours, theirs, is_real)
    return error / (ours if is_real is None else ours[is_real]).abs().max().item() if error < float("inf") else error


@mistake(
    "relative_error", "You divided number by number; where the reference is near 0 that is huge and means nothing."
)
def number_by_number(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    if solution.relative_error(ours, theirs, is_real) == float("inf"):
        return float("inf")
    if is_real is not None:
        ours, theirs = ours[is_real], theirs[is_real]
    return ((ours - theirs) / theirs).abs().max().item()


@mistake("relative_error", "You took the mean difference; one wrong place in many then goes unseen: take the largest.")
def mean_difference(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    if solution.relative_error(ours, theirs, is_real) == float("inf"):
        return float("inf")
    if is_real is not None:
        ours, theirs = ours[is_real], theirs[is_real]
    return ((ours - theirs).abs().mean() / theirs.abs().max()).item()


@mistake("relative_error", "Padding counts; what happens there is of no importance: use is_real.")
def padding_counts(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    return solution.relative_error(ours, theirs)


@mistake("relative_error", "A nan in ours gives nan, which is not above any tolerance: return infinity.")
def nan_returned(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    error = solution.relative_error(ours, theirs, is_real)
    return float("nan") if ours.shape == theirs.shape and error == float("inf") else error


@mistake("relative_error", "Tensors of different shapes were compared by broadcasting: return infinity.")
def shapes_broadcast(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    return solution.relative_error(ours.expand_as(theirs), theirs, is_real)


@mistake("relative_error", "These are means; one wrong place in many then goes unseen: take the largest of both.")
def mean_over_mean(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    if solution.relative_error(ours, theirs, is_real) == float("inf"):
        return float("inf")
    if is_real is not None:
        ours, theirs = ours[is_real], theirs[is_real]
    return ((ours - theirs).abs().mean() / theirs.abs().mean()).item()


@mistake("relative_error", "This is the length of the difference over the length of theirs; take the largest of both.")
def length_over_length(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    if solution.relative_error(ours, theirs, is_real) == float("inf"):
        return float("inf")
    if is_real is not None:
        ours, theirs = ours[is_real], theirs[is_real]
    return ((ours - theirs).norm() / theirs.norm()).item()


@mistake("relative_error", "A nan at a place of padding does not count: take the real places, then look for nan.")
def nan_at_padding_counts(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    return float("inf") if ours.isnan().any() else solution.relative_error(ours, theirs, is_real)


@mistake("relative_error", "You compared how many numbers there are, not the shapes: [2, 5, 4] is not [5, 2, 4].")
def numbers_counted(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    if ours.numel() == theirs.numel():
        ours = ours.reshape(theirs.shape)
    return solution.relative_error(ours, theirs, is_real)


@mistake("relative_error", "The sign of the difference counts; take its absolute value.")
def sign_kept(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    if solution.relative_error(ours, theirs, is_real) == float("inf"):
        return float("inf")
    if is_real is not None:
        ours, theirs = ours[is_real], theirs[is_real]
    return ((ours - theirs).max() / theirs.max()).item()


@variant("relative_error")
def by_norms(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    if ours.size() != theirs.size():
        return float("inf")
    if is_real is not None:
        weight = is_real.reshape(*is_real.shape, *[1] * (ours.dim() - 2))
        ours, theirs = (torch.where(weight, states, 0) for states in (ours, theirs))
    if not bool(torch.isfinite(ours).all()):
        return float("inf")
    return float(
        torch.linalg.vector_norm(ours - theirs, ord=torch.inf) / torch.linalg.vector_norm(theirs, ord=torch.inf)
    )


@mistake("first_departure", "This is the layer with the largest error; the first wrong one comes before it.")
def largest(errors: dict[str, float], tolerance: float) -> str | None:
    name = max(errors, key=errors.get)
    return name if errors[name] > tolerance else None


@mistake("first_departure", "An error as large as the tolerance still counts as right: `>`, not `>=`.")
def at_the_tolerance(errors: dict[str, float], tolerance: float) -> str | None:
    return next((name for name, error in errors.items() if error >= tolerance), None)


@mistake("first_departure", "You give up at the first layer that is right: None is the answer when no layer is left.")
def given_up_at_the_first(errors: dict[str, float], tolerance: float) -> str | None:
    name, error = next(iter(errors.items()))
    return name if error > tolerance else None


@mistake("first_departure", "This is the last wrong layer, not the first.")
def last(errors: dict[str, float], tolerance: float) -> str | None:
    return solution.first_departure(dict(reversed(errors.items())), tolerance)


@mistake("first_departure", "This is the last layer that is right; the answer is the one after it.")
def last_right(errors: dict[str, float], tolerance: float) -> str | None:
    before = None
    for name, error in errors.items():
        if error > tolerance:
            return before
        before = name
    return None


@mistake(
    "first_departure", "You took the first in the alphabet; the order of the dict is the order in which layers ran."
)
def first_in_the_alphabet(errors: dict[str, float], tolerance: float) -> str | None:
    return solution.first_departure(dict(sorted(errors.items())), tolerance)


@mistake("first_departure", "Where all is right the answer is None.")
def last_if_all_right(errors: dict[str, float], tolerance: float) -> str | None:
    return solution.first_departure(errors, tolerance) or list(errors)[-1]


@mistake("first_departure", "You return the error; the name is wanted.")
def error_itself(errors: dict[str, float], tolerance: float) -> float | None:
    return next((error for error in errors.values() if error > tolerance), None)


@variant("first_departure")
def by_a_list(errors: dict[str, float], tolerance: float) -> str | None:
    wrong = [name for name, error in errors.items() if not error <= tolerance]
    return wrong[0] if wrong else None


@mistake("finish_tower", PLANTED)
def norm_left_out(hidden_states: Tensor, post_layernorm: nn.LayerNorm) -> Tensor:
    return hidden_states


@mistake("finish_tower", "You normalized without the learned weight and bias of the norm.")
def norm_without_weights(hidden_states: Tensor, post_layernorm: nn.LayerNorm) -> Tensor:
    return nn.functional.layer_norm(hidden_states, hidden_states.shape[-1:], eps=post_layernorm.eps)


@mistake("finish_tower", "The eps is 1e-5, PyTorch's own, and the norm's is another: call the norm itself.")
def norm_with_the_usual_eps(hidden_states: Tensor, post_layernorm: nn.LayerNorm) -> Tensor:
    weight, bias = post_layernorm.weight, post_layernorm.bias
    return nn.functional.layer_norm(hidden_states, hidden_states.shape[-1:], weight, bias)


@mistake("finish_tower", "You added the norm to what was there; it takes its place.")
def norm_added(hidden_states: Tensor, post_layernorm: nn.LayerNorm) -> Tensor:
    return hidden_states + post_layernorm(hidden_states)


@variant("finish_tower")
def normalized_by_hand(hidden_states: Tensor, post_layernorm: nn.LayerNorm) -> Tensor:
    centred = hidden_states - hidden_states.mean(-1, keepdim=True)
    states = centred / (centred.pow(2).mean(-1, keepdim=True) + post_layernorm.eps).sqrt()
    return states * post_layernorm.weight + post_layernorm.bias


@mistake("project_image", PLANTED)
def divided_by_the_root(hidden_states: Tensor, linear: nn.Linear) -> Tensor:
    return linear(hidden_states) * linear.out_features**-0.5


@mistake("project_image", "You multiply by the root of D; only words are scaled.")
def multiplied_by_the_root(hidden_states: Tensor, linear: nn.Linear) -> Tensor:
    return linear(hidden_states) * linear.out_features**0.5


@mistake("project_image", "The bias is missing.")
def without_bias(hidden_states: Tensor, linear: nn.Linear) -> Tensor:
    return hidden_states @ linear.weight.T


@variant("project_image")
def projected_by_hand(hidden_states: Tensor, linear: nn.Linear) -> Tensor:
    return torch.einsum("bnd,ed->bne", hidden_states, linear.weight) + linear.bias


@mistake("embed_words", PLANTED)
def scaled_twice(input_ids: Tensor, embed_tokens: nn.Embedding) -> Tensor:
    return embed_tokens(input_ids) * embed_tokens.embedding_dim


@mistake("embed_words", "Now the words are not scaled at all: once is right.")
def not_scaled(input_ids: Tensor, embed_tokens: nn.Embedding) -> Tensor:
    return embed_tokens(input_ids)


@mistake("embed_words", "You divide by the root of D; words become larger, not smaller.")
def scaled_down(input_ids: Tensor, embed_tokens: nn.Embedding) -> Tensor:
    return embed_tokens(input_ids) * embed_tokens.embedding_dim**-0.5


@variant("embed_words")
def embedded_by_indexing(input_ids: Tensor, embed_tokens: nn.Embedding) -> Tensor:
    table = embed_tokens.weight
    return table[input_ids] * torch.tensor(float(table.shape[1])).sqrt()


def normalized(hidden_states: Tensor, eps: float) -> Tensor:
    states = hidden_states.float()
    return states / torch.sqrt(states.pow(2).mean(-1, keepdim=True) + eps)


@mistake("rms_norm", PLANTED)
def weight_alone(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    return (normalized(hidden_states, eps) * weight.float()).to(hidden_states.dtype)


@mistake("rms_norm", "You added 1 to the result; 1 is added to the weight.")
def one_added_to_the_result(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    return (1 + normalized(hidden_states, eps) * weight.float()).to(hidden_states.dtype)


@mistake("rms_norm", "The result is cast before it is multiplied by 1 + weight; cast last.")
def cast_too_early(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    dtype = hidden_states.dtype
    return normalized(hidden_states, eps).to(dtype) * (1 + weight).to(dtype)


@mistake("rms_norm", "The weight is added; it scales: times 1 + weight.")
def weight_added(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    return (normalized(hidden_states, eps) + weight.float()).to(hidden_states.dtype)


@mistake("rms_norm", "You subtracted the mean: that is LayerNorm. RMSNorm only divides.")
def mean_subtracted(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    states = hidden_states.float()
    return solution.rms_norm(states - states.mean(-1, keepdim=True), weight, eps).to(hidden_states.dtype)


@mistake("rms_norm", "eps stands under the root, beside the mean.")
def eps_outside_the_root(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    states = hidden_states.float()
    states = states / (states.pow(2).mean(-1, keepdim=True).sqrt() + eps)
    return (states * (1 + weight.float())).to(hidden_states.dtype)


@mistake("rms_norm", "There is no eps: small vectors come out too large.")
def without_eps(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    return solution.rms_norm(hidden_states, weight, 0.0)


@variant("rms_norm")
def by_torch(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    states = nn.functional.rms_norm(hidden_states.float(), (weight.numel(),), 1 + weight.float(), eps)
    return states.type_as(hidden_states)


@mistake("turn", PLANTED)
def neighbours_paired(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    turned = torch.empty_like(states)
    turned[..., ::2], turned[..., 1::2] = -states[..., 1::2], states[..., ::2]
    return torch.addcmul(states * cos, turned, sin)


@mistake("turn", "You turn in the other direction: the second half comes first, with a minus.")
def other_direction(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return solution.turn(states, cos, -sin)


@mistake("turn", "The minus is missing: this mirrors, it does not turn.")
def without_minus(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = states.chunk(2, dim=-1)
    return states * cos + torch.cat([second, first], dim=-1) * sin


@mistake("turn", "Cosine and sine have changed places.")
def cos_and_sin_exchanged(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return solution.turn(states, sin, cos)


@variant("turn")
def halves_apart(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = states.shape[-1] // 2
    x, y = states[..., :half], states[..., half:]
    c, s = cos[..., :half], sin[..., :half]
    return torch.cat([x * c - y * s, y * c + x * s], dim=-1)


@mistake("share_heads", PLANTED)
def tiled(states: Tensor, num_groups: int) -> Tensor:
    return states.repeat(1, num_groups, 1, 1)


@mistake("share_heads", "You repeated places, not heads: the heads are dimension 1.")
def places_repeated(states: Tensor, num_groups: int) -> Tensor:
    return states.repeat_interleave(num_groups, dim=2)


@mistake("share_heads", "All query heads got the first key/value head.")
def first_head_for_all(states: Tensor, num_groups: int) -> Tensor:
    return states[:, :1].expand(-1, states.shape[1] * num_groups, -1, -1)


@variant("share_heads")
def by_index(states: Tensor, num_groups: int) -> Tensor:
    return states[:, torch.arange(states.shape[1] * num_groups) // num_groups]


@variant("share_heads")
def by_expanding(states: Tensor, num_groups: int) -> Tensor:
    return states.unsqueeze(2).expand(-1, -1, num_groups, -1, -1).flatten(1, 2)


@mistake("gated_mlp", PLANTED)
def exact_gelu(hidden_states: Tensor, gate_proj: nn.Linear, up_proj: nn.Linear, down_proj: nn.Linear) -> Tensor:
    gate = gate_proj(hidden_states)
    return down_proj(0.5 * gate * (1 + torch.erf(gate / 2**0.5)) * up_proj(hidden_states))


@mistake("gated_mlp", "This is SiLU, as in Llama; Gemma has GELU, in its tanh form.")
def silu(hidden_states: Tensor, gate_proj: nn.Linear, up_proj: nn.Linear, down_proj: nn.Linear) -> Tensor:
    return down_proj(nn.functional.silu(gate_proj(hidden_states)) * up_proj(hidden_states))


@mistake("gated_mlp", "Gate and up are exchanged: GELU belongs to the gate.")
def gate_and_up_exchanged(
    hidden_states: Tensor, gate_proj: nn.Linear, up_proj: nn.Linear, down_proj: nn.Linear
) -> Tensor:
    return solution.gated_mlp(hidden_states, up_proj, gate_proj, down_proj)


@mistake("gated_mlp", "Gate and up are added; the gate is multiplied.")
def gate_added(hidden_states: Tensor, gate_proj: nn.Linear, up_proj: nn.Linear, down_proj: nn.Linear) -> Tensor:
    gate = nn.functional.gelu(gate_proj(hidden_states), approximate="tanh")
    return down_proj(gate + up_proj(hidden_states))


@mistake("gated_mlp", "The GELU goes over the product; it goes over the gate alone.")
def gelu_of_the_product(
    hidden_states: Tensor, gate_proj: nn.Linear, up_proj: nn.Linear, down_proj: nn.Linear
) -> Tensor:
    return down_proj(nn.functional.gelu(gate_proj(hidden_states) * up_proj(hidden_states), approximate="tanh"))


@mistake("gated_mlp", "This is GELU by a sigmoid (1.702 x), another approximation, which CLIP uses.")
def quick_gelu(hidden_states: Tensor, gate_proj: nn.Linear, up_proj: nn.Linear, down_proj: nn.Linear) -> Tensor:
    gate = gate_proj(hidden_states)
    return down_proj(gate * torch.sigmoid(1.702 * gate) * up_proj(hidden_states))


@variant("gated_mlp")
def tanh_by_hand(hidden_states: Tensor, gate_proj: nn.Linear, up_proj: nn.Linear, down_proj: nn.Linear) -> Tensor:
    gate = gate_proj(hidden_states)
    gate = 0.5 * gate * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (gate + 0.044715 * gate**3)))
    return down_proj(gate * up_proj(hidden_states))


@mistake("make_mask", PLANTED)
def padding_shown_again(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    return to_mask(is_earlier(token_type_ids) & real(attention_mask) | prefix(token_type_ids), dtype)


@mistake("make_mask", "Now the prefix is causal: picture and prompt should see each other in full.")
def prefix_causal(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    return to_mask(is_earlier(token_type_ids) & real(attention_mask), dtype)


@mistake("make_mask", "The answer sees its own future: each of its tokens needs a block of its own, a running sum.")
def without_running_sum(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    not_later = token_type_ids[:, None, :] <= token_type_ids[:, :, None]
    return to_mask(not_later & real(attention_mask), dtype)


@mistake("make_mask", "-inf makes nan of a row that may look nowhere: take the lowest number of the dtype.")
def minus_infinity(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    mask = solution.make_mask(attention_mask, token_type_ids, dtype)
    return mask.masked_fill(mask < 0, float("-inf"))


@mistake("make_mask", "-1 forbids nothing: after the softmax more than a third of the weight is still there.")
def minus_one(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    return (solution.make_mask(attention_mask, token_type_ids, dtype) < 0) * torch.tensor(-1.0, dtype=dtype)


@mistake("make_mask", "This says who may look, as True and False; a mask is added, so it needs numbers.")
def true_and_false(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    return solution.make_mask(attention_mask, token_type_ids, dtype) == 0


@mistake("make_mask", "Now the answer sees its own future.")
def answer_sees_its_future(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    length = token_type_ids.shape[1]
    return to_mask(real(attention_mask).expand(-1, length, -1), dtype)


def is_earlier(token_type_ids: Tensor) -> Tensor:
    length = token_type_ids.shape[1]
    return torch.ones(length, length, dtype=torch.bool).tril()[None]


def real(attention_mask: Tensor) -> Tensor:
    return attention_mask[:, None, :].bool()


def prefix(token_type_ids: Tensor) -> Tensor:
    return (token_type_ids == 0)[:, None, :]


def to_mask(visible: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)[:, None]


@variant("make_mask")
def prefix_that_is_real(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    is_prefix = (token_type_ids == 0) & (attention_mask == 1)
    visible = (is_earlier(token_type_ids) & real(attention_mask)) | is_prefix[:, None, :]
    return torch.where(visible, 0.0, -1e9).to(dtype)[:, None]


@variant("make_mask")
def by_blocks(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    blocks = token_type_ids.cumsum(-1)
    return to_mask((blocks[:, None, :] <= blocks[:, :, None]) & real(attention_mask), dtype)
