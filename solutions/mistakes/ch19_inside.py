"""Common mistakes in the exercises of chapter 19, and other right answers."""

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch19_inside as solution


@mistake("attention_map", "You used the position of the token itself. It was predicted at the position before it.")
def position_of_the_token(scores, num_patches, num_answer_tokens, token):
    query = scores.shape[-1] - num_answer_tokens + token
    return torch.softmax(scores[:, query], dim=-1)[:, :num_patches].mean(0)


@mistake("attention_map", "You are off by one: the token was predicted at the position directly before it.")
def two_positions_before(scores, num_patches, num_answer_tokens, token):
    query = scores.shape[-1] - num_answer_tokens + token - 2
    return torch.softmax(scores[:, query], dim=-1)[:, :num_patches].mean(0)


@mistake(
    "attention_map", "You counted from the start of the sequence. The answer comes after the patches and the prompt."
)
def counted_from_the_start(scores, num_patches, num_answer_tokens, token):
    return torch.softmax(scores[:, token - 1 if token else 0], dim=-1)[:, :num_patches].mean(0)


@mistake("attention_map", "You left out the prompt, which is between the patches and the answer.")
def prompt_forgotten(scores, num_patches, num_answer_tokens, token):
    return torch.softmax(scores[:, num_patches + token - 1], dim=-1)[:, :num_patches].mean(0)


@mistake("attention_map", "These are attention scores. Apply the softmax first.")
def before_softmax(scores, num_patches, num_answer_tokens, token):
    query = scores.shape[-1] - num_answer_tokens + token - 1
    return scores[:, query, :num_patches].mean(0)


@mistake(
    "attention_map", "You took the softmax over the patches only. Take it over all positions, then select the patches."
)
def softmax_over_patches(scores, num_patches, num_answer_tokens, token):
    query = scores.shape[-1] - num_answer_tokens + token - 1
    return torch.softmax(scores[:, query, :num_patches], dim=-1).mean(0)


@mistake("attention_map", "You averaged the heads' scores. Apply the softmax in each head first, then average.")
def heads_averaged_first(scores, num_patches, num_answer_tokens, token):
    query = scores.shape[-1] - num_answer_tokens + token - 1
    return torch.softmax(scores[:, query].mean(0), dim=-1)[:num_patches]


@mistake("attention_map", "You rescaled the map to sum to 1. Return it as it is.")
def scaled_to_1(scores, num_patches, num_answer_tokens, token):
    values = solution.attention_map(scores, num_patches, num_answer_tokens, token)
    return values / values.sum()


@mistake("attention_map", "You divided the map by its maximum. Return it as it is.")
def scaled_to_maximum(scores, num_patches, num_answer_tokens, token):
    values = solution.attention_map(scores, num_patches, num_answer_tokens, token)
    return values / values.max()


@mistake(
    "attention_map", "You took the query position's column, which says how much others attend to it. Take its row."
)
def column_instead_of_row(scores, num_patches, num_answer_tokens, token):
    query = scores.shape[-1] - num_answer_tokens + token - 1
    return torch.softmax(scores, dim=-1)[:, :num_patches, query].mean(0)


@mistake("attention_map", "You always used the first answer token. Use `token`.")
def always_the_first_token(scores, num_patches, num_answer_tokens, token):
    return solution.attention_map(scores, num_patches, num_answer_tokens, 0)


@mistake("attention_map", "You always used the last position. Use `token`.")
def always_the_last_position(scores, num_patches, num_answer_tokens, token):
    return torch.softmax(scores[:, -1], dim=-1)[:, :num_patches].mean(0)


@mistake("attention_map", "exp(100) overflows float32. Subtract the largest score first, or use torch.softmax.")
def plain_exponentials(scores, num_patches, num_answer_tokens, token):
    weights = scores[:, scores.shape[-1] - num_answer_tokens + token - 1].exp()
    return (weights / weights.sum(-1, keepdim=True))[:, :num_patches].mean(0)


@mistake(
    "attention_map", "Your softmax runs over the query positions. It should run over the key positions, the last axis."
)
def softmax_over_queries(scores, num_patches, num_answer_tokens, token):
    query = scores.shape[-1] - num_answer_tokens + token - 1
    return torch.softmax(scores, dim=1)[:, query, :num_patches].mean(0)


@mistake("attention_map", "You summed over the heads. Take their mean.")
def summed_over_heads(scores, num_patches, num_answer_tokens, token):
    return solution.attention_map(scores, num_patches, num_answer_tokens, token) * scores.shape[0]


@mistake("attention_map", "You used the first head only. Average over all heads.")
def first_head(scores, num_patches, num_answer_tokens, token):
    return solution.attention_map(scores[:1], num_patches, num_answer_tokens, token)


@variant("attention_map")
def with_negative_indices(scores, num_patches, num_answer_tokens, token):
    row = scores.softmax(-1).mean(0)[token - num_answer_tokens - 1]
    return row[:num_patches].clone()


def product(weights: list[Tensor], matrix) -> Tensor:
    result = torch.eye(weights[0].shape[-1])
    for layer in weights:
        result = matrix(layer) @ result
    return result


def identity_like(layer: Tensor) -> Tensor:
    return torch.eye(layer.shape[-1])


@mistake("rollout", "The residual connection is missing. Average each layer's attention with the identity.")
def without_residual(weights):
    return product(weights, lambda layer: layer.mean(0))


@mistake("rollout", "You added the identity without halving, so rows sum to 2 after one layer, to 4 after two.")
def not_halved(weights):
    return product(weights, lambda layer: identity_like(layer) + layer.mean(0))


@mistake("rollout", "You multiplied the layers in the wrong order. Each later layer goes on the left.")
def wrong_order(weights):
    result = identity_like(weights[0])
    for layer in weights:
        result = result @ ((identity_like(layer) + layer.mean(0)) / 2)
    return result


@mistake("rollout", "You added the identity once, at the end. Every layer has a residual connection.")
def residual_once(weights):
    result = product(weights, lambda layer: layer.mean(0))
    return (identity_like(result) + result) / 2


@mistake("rollout", "You multiplied element by element. Use the matrix product.")
def element_by_element(weights):
    result = torch.ones_like(weights[0][0])
    for layer in weights:
        result = result * (identity_like(layer) + layer.mean(0)) / 2
    return result / result.sum(-1, keepdim=True)


@mistake("rollout", "You left out the first layer.")
def first_layer_omitted(weights):
    return solution.rollout(weights[1:]) if weights[1:] else identity_like(weights[0])


@mistake("rollout", "You halved the attention only. Halve the identity too.")
def identity_not_halved(weights):
    return product(weights, lambda layer: identity_like(layer) + layer.mean(0) / 2)


@mistake("rollout", "You summed over the heads. Take their mean.")
def summed_heads(weights):
    return product(weights, lambda layer: (identity_like(layer) + layer.sum(0)) / 2)


@mistake("rollout", "You used the first head only. Average over all heads.")
def first_head_only(weights):
    return product(weights, lambda layer: (identity_like(layer) + layer[0]) / 2)


@mistake("rollout", "You averaged the layers' matrices. Multiply them.")
def averaged_layers(weights):
    result = sum((identity_like(layer) + layer.mean(0)) / 2 for layer in weights) / len(weights)
    return result


@mistake("rollout", "You followed each head separately. Average the heads in each layer.")
def head_by_head(weights):
    heads = range(weights[0].shape[0])
    results = [product(weights, lambda layer, head=head: (identity_like(layer) + layer[head]) / 2) for head in heads]
    return torch.stack(results).mean(0)


@mistake("rollout", "You took the maximum over the heads. Take the mean.")
def largest_head(weights):
    def matrix(layer):
        mixed = identity_like(layer) + layer.amax(0)
        return mixed / mixed.sum(-1, keepdim=True)

    return product(weights, matrix)


@mistake("rollout", "Your result is transposed: its columns sum to 1. Its rows should.")
def transposed(weights):
    return solution.rollout(weights).T


@mistake("rollout", "You left out the last layer.")
def last_layer_omitted(weights):
    return solution.rollout(weights[:-1]) if weights[1:] else identity_like(weights[0])


@mistake("rollout", "You used the last layer only. Multiply the matrices of all layers.")
def last_layer_only(weights):
    return solution.rollout(weights[-1:])


@variant("rollout")
def from_the_last_layer(weights):
    result = torch.eye(weights[0].shape[-1], dtype=torch.float64)
    for layer in reversed(weights):
        result = 0.5 * result + 0.5 * result @ layer.double().mean(0)
    return result.float()


def read(hidden_states, norm_weight, head_weight, eps, norm=None) -> Tensor:
    normed = norm(hidden_states) if norm else hidden_states
    return torch.softmax(normed @ head_weight.T, dim=-1)


@mistake("logit_lens", "The final norm is missing. Earlier hidden states have other lengths than the head expects.")
def without_norm(hidden_states, norm_weight, head_weight, eps):
    return read(hidden_states, norm_weight, head_weight, eps)


@mistake("logit_lens", "You multiplied by the norm's weight. Gemma's norm multiplies by 1 + weight.")
def without_the_1(hidden_states, norm_weight, head_weight, eps):
    def norm(states):
        return states * torch.rsqrt(states.square().mean(-1, keepdim=True) + eps) * norm_weight

    return read(hidden_states, norm_weight, head_weight, eps, norm)


@mistake("logit_lens", "The norm's weight is missing. Multiply by 1 + weight after dividing.")
def without_weights(hidden_states, norm_weight, head_weight, eps):
    return solution.logit_lens(hidden_states, torch.zeros_like(norm_weight), head_weight, eps)


@mistake("logit_lens", "You subtracted the mean, as LayerNorm does. RMSNorm does not.")
def layer_norm(hidden_states, norm_weight, head_weight, eps):
    return solution.logit_lens(hidden_states - hidden_states.mean(-1, keepdim=True), norm_weight, head_weight, eps)


@mistake("logit_lens", "You divided by the vector's length. Divide by the root of its mean square.")
def divided_by_length(hidden_states, norm_weight, head_weight, eps):
    width = hidden_states.shape[-1]

    def norm(states):
        return states * torch.rsqrt(states.square().mean(-1, keepdim=True) + eps) * (1 + norm_weight) / width**0.5

    return read(hidden_states, norm_weight, head_weight, eps, norm)


@mistake("logit_lens", "You added eps outside the root. Add it to the mean square, under the root.")
def eps_outside(hidden_states, norm_weight, head_weight, eps):
    def norm(states):
        return states / (states.square().mean(-1, keepdim=True).sqrt() + eps) * (1 + norm_weight)

    return read(hidden_states, norm_weight, head_weight, eps, norm)


@mistake("logit_lens", "These are logits. Apply a softmax over the vocabulary.")
def logits(hidden_states, norm_weight, head_weight, eps):
    normed = hidden_states * torch.rsqrt(hidden_states.square().mean(-1, keepdim=True) + eps) * (1 + norm_weight)
    return normed @ head_weight.T


@mistake("logit_lens", "These are log-probabilities. Return the probabilities.")
def logarithms(hidden_states, norm_weight, head_weight, eps):
    return solution.logit_lens(hidden_states, norm_weight, head_weight, eps).log()


@mistake("logit_lens", "eps is missing. Add it to the mean square.")
def without_eps(hidden_states, norm_weight, head_weight, eps):
    return solution.logit_lens(hidden_states, norm_weight, head_weight, 0.0)


@mistake("logit_lens", "You divided by the mean square. Divide by its square root.")
def without_root(hidden_states, norm_weight, head_weight, eps):
    def norm(states):
        return states / (states.square().mean(-1, keepdim=True) + eps) * (1 + norm_weight)

    return read(hidden_states, norm_weight, head_weight, eps, norm)


@mistake("logit_lens", "You took one mean square over all vectors. Each vector has its own.")
def one_mean_for_all(hidden_states, norm_weight, head_weight, eps):
    def norm(states):
        return states * torch.rsqrt(states.square().mean() + eps) * (1 + norm_weight)

    return read(hidden_states, norm_weight, head_weight, eps, norm)


@mistake("logit_lens", "Your softmax runs over the positions. It should run over the vocabulary.")
def softmax_over_positions(hidden_states, norm_weight, head_weight, eps):
    normed = hidden_states * torch.rsqrt(hidden_states.square().mean(-1, keepdim=True) + eps) * (1 + norm_weight)
    return torch.softmax(normed @ head_weight.T, dim=0)


@mistake("logit_lens", "Your norm runs over the positions. Normalize each vector over its D numbers.")
def norm_over_positions(hidden_states, norm_weight, head_weight, eps):
    def norm(states):
        return states * torch.rsqrt(states.square().mean(0, keepdim=True) + eps) * (1 + norm_weight)

    return read(hidden_states, norm_weight, head_weight, eps, norm)


@mistake("logit_lens", "You applied the norm after the head. Apply it before.")
def norm_after_head(hidden_states, norm_weight, head_weight, eps):
    logits = (hidden_states * (1 + norm_weight)) @ head_weight.T
    return torch.softmax(logits * torch.rsqrt(logits.square().mean(-1, keepdim=True) + eps), dim=-1)


@variant("logit_lens")
def with_einsum(hidden_states, norm_weight, head_weight, eps):
    root = (hidden_states.pow(2).sum(-1) / hidden_states.shape[-1] + eps).sqrt()
    logits = torch.einsum("sd,d,vd->sv", hidden_states / root[:, None], norm_weight + 1, head_weight)
    return logits.log_softmax(-1).exp()


def squares(image: Tensor, side: int) -> list[tuple[int, int]]:
    return [(y, x) for y in range(0, image.shape[1], side) for x in range(0, image.shape[2], side)]


def measure(score, image, side, paint, difference=lambda whole, covered: whole - covered) -> Tensor:
    whole = score(image.clone())
    values = []
    for y, x in squares(image, side):
        covered = image.clone()
        paint(covered, y, x)
        values.append(difference(whole, score(covered)))
    return torch.tensor(values).reshape(image.shape[1] // side, image.shape[2] // side)


def paint_with(side: int, value: float):
    def paint(covered: Tensor, y: int, x: int):
        covered[:, y : y + side, x : x + side] = value

    return paint


@mistake("occlusion", "The sign is wrong. Subtract the covered image's score from the original image's.")
def sign_flipped(score, image, side, value):
    return measure(score, image, side, paint_with(side, value), lambda whole, covered: covered - whole)


@mistake("occlusion", "You returned the covered images' scores. Subtract them from the original image's score.")
def scores_only(score, image, side, value):
    return measure(score, image, side, paint_with(side, value), lambda whole, covered: covered)


@mistake("occlusion", "Earlier squares stay covered. Take a fresh copy for each square.")
def squares_stay_covered(score, image, side, value):
    whole, covered, values = score(image.clone()), image.clone(), []
    for y, x in squares(image, side):
        paint_with(side, value)(covered, y, x)
        values.append(whole - score(covered))
    return torch.tensor(values).reshape(image.shape[1] // side, image.shape[2] // side)


@mistake("occlusion", "You changed the given image. Cover a square of a copy.")
def original_painted(score, image, side, value):
    whole, values = score(image.clone()), []
    for y, x in squares(image, side):
        paint_with(side, value)(image, y, x)
        values.append(whole - score(image))
    return torch.tensor(values).reshape(image.shape[1] // side, image.shape[2] // side)


@mistake("occlusion", "You covered the first channel only. Cover all channels.")
def first_channel(score, image, side, value):
    def paint(covered, y, x):
        covered[0, y : y + side, x : x + side] = value

    return measure(score, image, side, paint)


@mistake("occlusion", "You set covered pixels to 0. Set them to `value`.")
def painted_with_0(score, image, side, value):
    return solution.occlusion(score, image, side, 0.0)


@mistake("occlusion", "You covered everything except the square. Cover the square.")
def everything_else(score, image, side, value):
    def paint(covered, y, x):
        kept = covered[:, y : y + side, x : x + side].clone()
        covered[:] = value
        covered[:, y : y + side, x : x + side] = kept

    return measure(score, image, side, paint)


@mistake("occlusion", "x and y are swapped where you cover the square.")
def painted_x_first(score, image, side, value):
    def paint(covered, y, x):
        covered[:, x : x + side, y : y + side] = value

    return measure(score, image, side, paint)


@mistake("occlusion", "Your squares move by one pixel. They should move by `side`.")
def step_of_one_pixel(score, image, side, value):
    def paint(covered, y, x):
        covered[:, y // side : y // side + side, x // side : x // side + side] = value

    return measure(score, image, side, paint)


@mistake("occlusion", "You divided the map by its maximum. Return it as it is.")
def scaled(score, image, side, value):
    drop = solution.occlusion(score, image, side, value)
    return drop / drop.max()


@mistake("occlusion", "The map is transposed.")
def map_transposed(score, image, side, value):
    return solution.occlusion(score, image, side, value).T


@mistake("occlusion", "Your squares are one pixel too small.")
def one_pixel_too_small(score, image, side, value):
    return measure(score, image, side, paint_with(side - 1, value))


@mistake("occlusion", "You divided by the original image's score. Return the drop itself.")
def relative(score, image, side, value):
    return measure(score, image, side, paint_with(side, value), lambda whole, covered: (whole - covered) / whole)


@mistake("occlusion", "You clipped the drop at 0. It is negative where covering raises the score: keep that.")
def clipped_at_0(score, image, side, value):
    return solution.occlusion(score, image, side, value).clamp(min=0)


@mistake("occlusion", "You took the absolute value. Keep the sign.")
def without_sign(score, image, side, value):
    return solution.occlusion(score, image, side, value).abs()


@variant("occlusion")
def by_where(score, image, side, value):
    _, height, width = image.shape
    rows, columns = torch.arange(height) // side, torch.arange(width) // side
    drop = []
    for row in range(height // side):
        line = []
        for column in range(width // side):
            inside = (rows[:, None] == row) & (columns[None] == column)
            line.append(score(image) - score(torch.where(inside, torch.tensor(value), image)))
        drop.append(line)
    return torch.tensor(drop)
