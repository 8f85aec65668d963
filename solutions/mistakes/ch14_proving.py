"""Common mistakes in the exercises of chapter 14, the planted bugs included, and other right answers."""

import torch
from torch import Tensor, nn

from grader import mistake, variant
from solutions import ch14_proving as solution

PLANTED = "This still does what the planted bug does. The first mismatch in the chapter's table shows where it matters."


@mistake(
    "relative_error",
    "This is the absolute error, larger for layers with large values. Divide it by the largest value of theirs.",
)
def absolute(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    error = solution.relative_error(ours, theirs, is_real)
    return error * (theirs if is_real is None else theirs[is_real]).abs().max().item()


@mistake(
    "relative_error",
    "You divided by the largest value of ours, so a result that is far too large looks acceptable. Divide by theirs.",
)
def divided_by_ours(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    error = absolute.implementation(ours, theirs, is_real)
    return error / (ours if is_real is None else ours[is_real]).abs().max().item() if error < float("inf") else error


@mistake(
    "relative_error",
    "You divided element by element, which explodes where theirs is near 0. Take both maxima first, then divide.",
)
def number_by_number(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    if solution.relative_error(ours, theirs, is_real) == float("inf"):
        return float("inf")
    if is_real is not None:
        ours, theirs = ours[is_real], theirs[is_real]
    return ((ours - theirs) / theirs).abs().max().item()


@mistake("relative_error", "You took the mean difference, which hides a single wrong position. Take the largest.")
def mean_difference(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    if solution.relative_error(ours, theirs, is_real) == float("inf"):
        return float("inf")
    if is_real is not None:
        ours, theirs = ours[is_real], theirs[is_real]
    return ((ours - theirs).abs().mean() / theirs.abs().max()).item()


@mistake("relative_error", "You included padding. Compare only the positions where is_real is True.")
def padding_counts(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    return solution.relative_error(ours, theirs)


@mistake("relative_error", "A NaN in ours gives NaN, which is above no tolerance. Return infinity.")
def nan_returned(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    error = solution.relative_error(ours, theirs, is_real)
    return float("nan") if ours.shape == theirs.shape and error == float("inf") else error


@mistake("relative_error", "You compared tensors of different shapes by broadcasting. Return infinity.")
def shapes_broadcast(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    return solution.relative_error(ours.expand_as(theirs), theirs, is_real)


@mistake("relative_error", "You took means, which hide a single wrong position. Take the maximum of both.")
def mean_over_mean(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    if solution.relative_error(ours, theirs, is_real) == float("inf"):
        return float("inf")
    if is_real is not None:
        ours, theirs = ours[is_real], theirs[is_real]
    return ((ours - theirs).abs().mean() / theirs.abs().mean()).item()


@mistake(
    "relative_error", "You divided the norm of the difference by the norm of theirs. Take the maximum of both instead."
)
def length_over_length(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    if solution.relative_error(ours, theirs, is_real) == float("inf"):
        return float("inf")
    if is_real is not None:
        ours, theirs = ours[is_real], theirs[is_real]
    return ((ours - theirs).norm() / theirs.norm()).item()


@mistake(
    "relative_error", "A NaN at a padded position does not count. Select the real positions first, then check for NaN."
)
def nan_at_padding_counts(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    return float("inf") if ours.isnan().any() else solution.relative_error(ours, theirs, is_real)


@mistake("relative_error", "You compared the number of elements, not the shapes: [2, 5, 4] is not [5, 2, 4].")
def elements_counted(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    if ours.numel() == theirs.numel():
        ours = ours.reshape(theirs.shape)
    return solution.relative_error(ours, theirs, is_real)


@mistake("relative_error", "You kept the sign, so a negative difference goes unnoticed. Take absolute values.")
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


@mistake("first_mismatch", "This is the layer with the largest error. Return the first one above the tolerance.")
def largest(errors: dict[str, float], tolerance: float) -> str | None:
    name = max(errors, key=errors.get)
    return name if errors[name] > tolerance else None


@mistake("first_mismatch", "An error equal to the tolerance still counts as right. Compare with `>`, not `>=`.")
def at_the_tolerance(errors: dict[str, float], tolerance: float) -> str | None:
    return next((name for name, error in errors.items() if error >= tolerance), None)


@mistake("first_mismatch", "You return None at the first layer that is right. Check all layers before you return None.")
def given_up_at_the_first(errors: dict[str, float], tolerance: float) -> str | None:
    name, error = next(iter(errors.items()))
    return name if error > tolerance else None


@mistake("first_mismatch", "This is the last layer above the tolerance. Return the first.")
def last(errors: dict[str, float], tolerance: float) -> str | None:
    return solution.first_mismatch(dict(reversed(errors.items())), tolerance)


@mistake("first_mismatch", "This is the last layer that is right. Return the one after it, the first that is wrong.")
def last_right(errors: dict[str, float], tolerance: float) -> str | None:
    before = None
    for name, error in errors.items():
        if error > tolerance:
            return before
        before = name
    return None


@mistake(
    "first_mismatch", "You sorted the layers by name. Keep the order of the dict: it is the order in which they ran."
)
def first_in_alphabetical_order(errors: dict[str, float], tolerance: float) -> str | None:
    return solution.first_mismatch(dict(sorted(errors.items())), tolerance)


@mistake("first_mismatch", "You return a layer although all are right. Return None.")
def last_if_all_right(errors: dict[str, float], tolerance: float) -> str | None:
    return solution.first_mismatch(errors, tolerance) or list(errors)[-1]


@mistake("first_mismatch", "You return the error. Return the layer's name.")
def error_itself(errors: dict[str, float], tolerance: float) -> float | None:
    return next((error for error in errors.values() if error > tolerance), None)


@variant("first_mismatch")
def by_a_list(errors: dict[str, float], tolerance: float) -> str | None:
    wrong = [name for name, error in errors.items() if not error <= tolerance]
    return wrong[0] if wrong else None


@mistake("finish_tower", PLANTED)
def norm_left_out(hidden_states: Tensor, post_layernorm: nn.LayerNorm) -> Tensor:
    return hidden_states


@mistake("finish_tower", "You normalized without the norm's learned weight and bias. Call the norm itself.")
def norm_without_weights(hidden_states: Tensor, post_layernorm: nn.LayerNorm) -> Tensor:
    return nn.functional.layer_norm(hidden_states, hidden_states.shape[-1:], eps=post_layernorm.eps)


@mistake("finish_tower", "You used PyTorch's default eps of 1e-5, but this norm has another one. Call the norm itself.")
def norm_with_the_usual_eps(hidden_states: Tensor, post_layernorm: nn.LayerNorm) -> Tensor:
    weight, bias = post_layernorm.weight, post_layernorm.bias
    return nn.functional.layer_norm(hidden_states, hidden_states.shape[-1:], weight, bias)


@mistake(
    "finish_tower", "You added the norm's output to its input. There is no residual connection here: return the output."
)
def norm_added(hidden_states: Tensor, post_layernorm: nn.LayerNorm) -> Tensor:
    return hidden_states + post_layernorm(hidden_states)


@variant("finish_tower")
def normalized_by_hand(hidden_states: Tensor, post_layernorm: nn.LayerNorm) -> Tensor:
    centered = hidden_states - hidden_states.mean(-1, keepdim=True)
    states = centered / (centered.pow(2).mean(-1, keepdim=True) + post_layernorm.eps).sqrt()
    return states * post_layernorm.weight + post_layernorm.bias


@mistake("project_image", PLANTED)
def divided_by_the_root(hidden_states: Tensor, linear: nn.Linear) -> Tensor:
    return linear(hidden_states) * linear.out_features**-0.5


@mistake("project_image", "You multiplied by √D. Only text embeddings are scaled, image features are not.")
def multiplied_by_the_root(hidden_states: Tensor, linear: nn.Linear) -> Tensor:
    return linear(hidden_states) * linear.out_features**0.5


@mistake("project_image", "The bias is missing. Call `linear` itself.")
def without_bias(hidden_states: Tensor, linear: nn.Linear) -> Tensor:
    return hidden_states @ linear.weight.T


@variant("project_image")
def projected_by_hand(hidden_states: Tensor, linear: nn.Linear) -> Tensor:
    return torch.einsum("bnd,ed->bne", hidden_states, linear.weight) + linear.bias


@mistake("embed_text", PLANTED)
def scaled_twice(input_ids: Tensor, embed_tokens: nn.Embedding) -> Tensor:
    return embed_tokens(input_ids) * embed_tokens.embedding_dim


@mistake("embed_text", "Now the embeddings are not scaled at all. Scale them once.")
def not_scaled(input_ids: Tensor, embed_tokens: nn.Embedding) -> Tensor:
    return embed_tokens(input_ids)


@mistake("embed_text", "You divided by √D. Multiply by it.")
def scaled_down(input_ids: Tensor, embed_tokens: nn.Embedding) -> Tensor:
    return embed_tokens(input_ids) * embed_tokens.embedding_dim**-0.5


@variant("embed_text")
def embedded_by_indexing(input_ids: Tensor, embed_tokens: nn.Embedding) -> Tensor:
    table = embed_tokens.weight
    return table[input_ids] * torch.tensor(float(table.shape[1])).sqrt()


def normalized(hidden_states: Tensor, eps: float) -> Tensor:
    states = hidden_states.float()
    return states / torch.sqrt(states.pow(2).mean(-1, keepdim=True) + eps)


@mistake("rms_norm", PLANTED)
def weight_alone(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    return (normalized(hidden_states, eps) * weight.float()).to(hidden_states.dtype)


@mistake("rms_norm", "You added 1 to the result. Add it to the weight.")
def one_added_to_the_result(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    return (1 + normalized(hidden_states, eps) * weight.float()).to(hidden_states.dtype)


@mistake("rms_norm", "You cast before multiplying by 1 + weight. Multiply in float32 and cast last.")
def cast_too_early(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    dtype = hidden_states.dtype
    return normalized(hidden_states, eps).to(dtype) * (1 + weight).to(dtype)


@mistake("rms_norm", "You added the weight. Multiply by 1 + weight.")
def weight_added(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    return (normalized(hidden_states, eps) + weight.float()).to(hidden_states.dtype)


@mistake("rms_norm", "You subtracted the mean, as LayerNorm does. RMSNorm does not.")
def mean_subtracted(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    states = hidden_states.float()
    return solution.rms_norm(states - states.mean(-1, keepdim=True), weight, eps).to(hidden_states.dtype)


@mistake("rms_norm", "You added eps outside the root. Add it to the mean of the squares, under the root.")
def eps_outside_the_root(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    states = hidden_states.float()
    states = states / (states.pow(2).mean(-1, keepdim=True).sqrt() + eps)
    return (states * (1 + weight.float())).to(hidden_states.dtype)


@mistake("rms_norm", "You left out eps, so small vectors come out too large. Add it under the root.")
def without_eps(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    return solution.rms_norm(hidden_states, weight, 0.0)


@variant("rms_norm")
def by_torch(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    states = nn.functional.rms_norm(hidden_states.float(), (weight.numel(),), 1 + weight.float(), eps)
    return states.type_as(hidden_states)


@mistake("rotate", PLANTED)
def neighbors_paired(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    rotated = torch.empty_like(states)
    rotated[..., ::2], rotated[..., 1::2] = -states[..., 1::2], states[..., ::2]
    return torch.addcmul(states * cos, rotated, sin)


@mistake(
    "rotate",
    "You rotated in the wrong direction. The minus belongs to the second half, which comes first: [-second, first].",
)
def other_direction(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return solution.rotate(states, cos, -sin)


@mistake("rotate", "The minus is missing, so this is not a rotation. Use [-second, first].")
def without_minus(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = states.chunk(2, dim=-1)
    return states * cos + torch.cat([second, first], dim=-1) * sin


@mistake("rotate", "Cosine and sine are swapped.")
def cos_and_sin_swapped(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return solution.rotate(states, sin, cos)


@variant("rotate")
def halves_apart(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = states.shape[-1] // 2
    x, y = states[..., :half], states[..., half:]
    c, s = cos[..., :half], sin[..., :half]
    return torch.cat([x * c - y * s, y * c + x * s], dim=-1)


@mistake("share_heads", PLANTED)
def tiled(states: Tensor, num_groups: int) -> Tensor:
    return states.repeat(1, num_groups, 1, 1)


@mistake("share_heads", "You repeated positions, not heads. The heads are dimension 1.")
def positions_repeated(states: Tensor, num_groups: int) -> Tensor:
    return states.repeat_interleave(num_groups, dim=2)


@mistake("share_heads", "All query heads got the first key/value head. Use each key/value head num_groups times.")
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


@mistake("gated_mlp", "This is SiLU, as in Llama. Gemma uses GELU, in its tanh approximation.")
def silu(hidden_states: Tensor, gate_proj: nn.Linear, up_proj: nn.Linear, down_proj: nn.Linear) -> Tensor:
    return down_proj(nn.functional.silu(gate_proj(hidden_states)) * up_proj(hidden_states))


@mistake("gated_mlp", "Gate and up are swapped. GELU is applied to the gate.")
def gate_and_up_swapped(
    hidden_states: Tensor, gate_proj: nn.Linear, up_proj: nn.Linear, down_proj: nn.Linear
) -> Tensor:
    return solution.gated_mlp(hidden_states, up_proj, gate_proj, down_proj)


@mistake("gated_mlp", "You added gate and up. Multiply them.")
def gate_added(hidden_states: Tensor, gate_proj: nn.Linear, up_proj: nn.Linear, down_proj: nn.Linear) -> Tensor:
    gate = nn.functional.gelu(gate_proj(hidden_states), approximate="tanh")
    return down_proj(gate + up_proj(hidden_states))


@mistake("gated_mlp", "You applied GELU to the product. Apply it to the gate only.")
def gelu_of_the_product(
    hidden_states: Tensor, gate_proj: nn.Linear, up_proj: nn.Linear, down_proj: nn.Linear
) -> Tensor:
    return down_proj(nn.functional.gelu(gate_proj(hidden_states) * up_proj(hidden_states), approximate="tanh"))


@mistake("gated_mlp", "This is QuickGELU, x * sigmoid(1.702 x), which CLIP uses. Gemma uses the tanh approximation.")
def quick_gelu(hidden_states: Tensor, gate_proj: nn.Linear, up_proj: nn.Linear, down_proj: nn.Linear) -> Tensor:
    gate = gate_proj(hidden_states)
    return down_proj(gate * torch.sigmoid(1.702 * gate) * up_proj(hidden_states))


@variant("gated_mlp")
def tanh_by_hand(hidden_states: Tensor, gate_proj: nn.Linear, up_proj: nn.Linear, down_proj: nn.Linear) -> Tensor:
    gate = gate_proj(hidden_states)
    gate = 0.5 * gate * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (gate + 0.044715 * gate**3)))
    return down_proj(gate * up_proj(hidden_states))


@mistake("make_mask", PLANTED)
def padding_unmasked_again(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    return to_mask(is_earlier(token_type_ids) & real(attention_mask) | prefix(token_type_ids), dtype)


@mistake("make_mask", "Now the prefix is causal. All prefix tokens (image and prompt) attend to each other.")
def prefix_causal(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    return to_mask(is_earlier(token_type_ids) & real(attention_mask), dtype)


@mistake("make_mask", "Answer tokens attend to later answer tokens. The answer must be causal.")
def without_running_sum(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    not_later = token_type_ids[:, None, :] <= token_type_ids[:, :, None]
    return to_mask(not_later & real(attention_mask), dtype)


@mistake("make_mask", "With -inf, a row in which everything is masked becomes NaN. Use the lowest number of the dtype.")
def minus_infinity(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    mask = solution.make_mask(attention_mask, token_type_ids, dtype)
    return mask.masked_fill(mask < 0, float("-inf"))


@mistake(
    "make_mask",
    "-1 masks nothing: e^-1, more than a third of the weight, is left after the softmax. Use the dtype's "
    "lowest number.",
)
def minus_one(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    return (solution.make_mask(attention_mask, token_type_ids, dtype) < 0) * torch.tensor(-1.0, dtype=dtype)


@mistake(
    "make_mask", "You return booleans. The mask is added to the scores: return 0 or the lowest number of the dtype."
)
def true_and_false(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    return solution.make_mask(attention_mask, token_type_ids, dtype) == 0


@mistake("make_mask", "Now answer tokens attend to later answer tokens. The answer must be causal.")
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
