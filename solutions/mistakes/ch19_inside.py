"""Mistakes people make in chapter 19, and other right answers."""

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch19_inside as solution


@mistake("word_map", "You take the place where the word stands; it was written by the place before it.")
def place_of_the_word(scores, num_patches, num_answer_tokens, word):
    writer = scores.shape[-1] - num_answer_tokens + word
    return torch.softmax(scores[:, writer], dim=-1)[:, :num_patches].mean(0)


@mistake("word_map", "You are two places too early: the place just before the word writes it.")
def two_places_before(scores, num_patches, num_answer_tokens, word):
    writer = scores.shape[-1] - num_answer_tokens + word - 2
    return torch.softmax(scores[:, writer], dim=-1)[:, :num_patches].mean(0)


@mistake("word_map", "You count the word from the start of the sequence; the answer begins after patches and prompt.")
def counted_from_the_start(scores, num_patches, num_answer_tokens, word):
    return torch.softmax(scores[:, word - 1 if word else 0], dim=-1)[:, :num_patches].mean(0)


@mistake("word_map", "You forget the prompt: the answer does not begin right after the patches.")
def prompt_forgotten(scores, num_patches, num_answer_tokens, word):
    return torch.softmax(scores[:, num_patches + word - 1], dim=-1)[:, :num_patches].mean(0)


@mistake("word_map", "These are scores, before softmax; their zero means nothing.")
def before_softmax(scores, num_patches, num_answer_tokens, word):
    writer = scores.shape[-1] - num_answer_tokens + word - 1
    return scores[:, writer, :num_patches].mean(0)


@mistake("word_map", "You take softmax over the patches alone; the prompt and earlier words get a part as well.")
def softmax_over_patches(scores, num_patches, num_answer_tokens, word):
    writer = scores.shape[-1] - num_answer_tokens + word - 1
    return torch.softmax(scores[:, writer, :num_patches], dim=-1).mean(0)


@mistake("word_map", "You average the scores of the heads first; softmax comes first, head by head.")
def heads_averaged_first(scores, num_patches, num_answer_tokens, word):
    writer = scores.shape[-1] - num_answer_tokens + word - 1
    return torch.softmax(scores[:, writer].mean(0), dim=-1)[:num_patches]


@mistake("word_map", "The map is scaled to sum to 1; leave it as it is.")
def scaled_to_1(scores, num_patches, num_answer_tokens, word):
    values = solution.word_map(scores, num_patches, num_answer_tokens, word)
    return values / values.sum()


@mistake("word_map", "The map is scaled to its maximum; leave it as it is.")
def scaled_to_maximum(scores, num_patches, num_answer_tokens, word):
    values = solution.word_map(scores, num_patches, num_answer_tokens, word)
    return values / values.max()


@mistake("word_map", "You take a column: who looks at the writer. Take its row.")
def column(scores, num_patches, num_answer_tokens, word):
    writer = scores.shape[-1] - num_answer_tokens + word - 1
    return torch.softmax(scores, dim=-1)[:, :num_patches, writer].mean(0)


@mistake("word_map", "You always take the place that writes the first token; `word` says which.")
def always_the_first_word(scores, num_patches, num_answer_tokens, word):
    return solution.word_map(scores, num_patches, num_answer_tokens, 0)


@mistake("word_map", "You always take the last place; `word` says which.")
def always_the_last_place(scores, num_patches, num_answer_tokens, word):
    return torch.softmax(scores[:, -1], dim=-1)[:, :num_patches].mean(0)


@mistake("word_map", "e^100 is infinite in float32: subtract the largest score first, or take softmax.")
def plain_exponentials(scores, num_patches, num_answer_tokens, word):
    weights = scores[:, scores.shape[-1] - num_answer_tokens + word - 1].exp()
    return (weights / weights.sum(-1, keepdim=True))[:, :num_patches].mean(0)


@mistake("word_map", "Softmax runs over the places that look; it belongs to the places that are looked at.")
def softmax_over_queries(scores, num_patches, num_answer_tokens, word):
    writer = scores.shape[-1] - num_answer_tokens + word - 1
    return torch.softmax(scores, dim=1)[:, writer, :num_patches].mean(0)


@mistake("word_map", "You take the sum of the heads; take their mean.")
def summed_over_heads(scores, num_patches, num_answer_tokens, word):
    return solution.word_map(scores, num_patches, num_answer_tokens, word) * scores.shape[0]


@mistake("word_map", "You take the first head alone.")
def first_head(scores, num_patches, num_answer_tokens, word):
    return solution.word_map(scores[:1], num_patches, num_answer_tokens, word)


@variant("word_map")
def with_negative_indices(scores, num_patches, num_answer_tokens, word):
    row = scores.softmax(-1).mean(0)[word - num_answer_tokens - 1]
    return row[:num_patches].clone()


def product(weights: list[Tensor], matrix) -> Tensor:
    result = torch.eye(weights[0].shape[-1])
    for layer in weights:
        result = matrix(layer) @ result
    return result


def identity_like(layer: Tensor) -> Tensor:
    return torch.eye(layer.shape[-1])


@mistake("rollout", "The residual is missing: a place also keeps its own vector, so half of the identity belongs in.")
def without_residual(weights):
    return product(weights, lambda layer: layer.mean(0))


@mistake("rollout", "You add the identity and do not halve: rows then sum to 2 after one layer, and to 4 after two.")
def not_halved(weights):
    return product(weights, lambda layer: identity_like(layer) + layer.mean(0))


@mistake("rollout", "The layers are multiplied in the wrong order: each further layer stands on the left.")
def wrong_order(weights):
    result = identity_like(weights[0])
    for layer in weights:
        result = result @ ((identity_like(layer) + layer.mean(0)) / 2)
    return result


@mistake("rollout", "The identity is added once at the end; every layer has a residual.")
def residual_once(weights):
    result = product(weights, lambda layer: layer.mean(0))
    return (identity_like(result) + result) / 2


@mistake("rollout", "You multiply the layers number by number; it is a product of matrices.")
def number_by_number(weights):
    result = torch.ones_like(weights[0][0])
    for layer in weights:
        result = result * (identity_like(layer) + layer.mean(0)) / 2
    return result / result.sum(-1, keepdim=True)


@mistake("rollout", "The first layer is left out.")
def first_layer_left_out(weights):
    return solution.rollout(weights[1:]) if weights[1:] else identity_like(weights[0])


@mistake("rollout", "Only the attention is halved; the identity is halved as well.")
def identity_not_halved(weights):
    return product(weights, lambda layer: identity_like(layer) + layer.mean(0) / 2)


@mistake("rollout", "You take the sum of the heads; take their mean.")
def summed_heads(weights):
    return product(weights, lambda layer: (identity_like(layer) + layer.sum(0)) / 2)


@mistake("rollout", "You take the first head alone.")
def first_head_alone(weights):
    return product(weights, lambda layer: (identity_like(layer) + layer[0]) / 2)


@mistake("rollout", "You average the layers; multiply them.")
def averaged_layers(weights):
    result = sum((identity_like(layer) + layer.mean(0)) / 2 for layer in weights) / len(weights)
    return result


@mistake("rollout", "You follow each head by itself and average at the end; average the heads in each layer.")
def head_by_head(weights):
    heads = range(weights[0].shape[0])
    results = [product(weights, lambda layer, head=head: (identity_like(layer) + layer[head]) / 2) for head in heads]
    return torch.stack(results).mean(0)


@mistake("rollout", "You take the largest head; take the mean.")
def largest_head(weights):
    def matrix(layer):
        mixed = identity_like(layer) + layer.amax(0)
        return mixed / mixed.sum(-1, keepdim=True)

    return product(weights, matrix)


@mistake("rollout", "Your columns sum to 1, and not your rows: the matrices are transposed.")
def transposed(weights):
    return solution.rollout(weights).T


@mistake("rollout", "The last layer is left out.")
def last_layer_left_out(weights):
    return solution.rollout(weights[:-1]) if weights[1:] else identity_like(weights[0])


@mistake("rollout", "You return the last layer alone.")
def last_layer_alone(weights):
    return solution.rollout(weights[-1:])


@variant("rollout")
def from_the_top(weights):
    result = torch.eye(weights[0].shape[-1], dtype=torch.float64)
    for layer in reversed(weights):
        result = 0.5 * result + 0.5 * result @ layer.double().mean(0)
    return result.float()


def read(hidden_states, norm_weight, head_weight, eps, norm=None) -> Tensor:
    normed = norm(hidden_states) if norm else hidden_states
    return torch.softmax(normed @ head_weight.T, dim=-1)


@mistake("lens", "The last norm is missing: vectors in the middle have other lengths than the head is used to.")
def without_norm(hidden_states, norm_weight, head_weight, eps):
    return read(hidden_states, norm_weight, head_weight, eps)


@mistake("lens", "You multiply by the norm's weight and forget the 1: Gemma's norm multiplies by 1 + weight.")
def without_the_1(hidden_states, norm_weight, head_weight, eps):
    def norm(states):
        return states * torch.rsqrt(states.square().mean(-1, keepdim=True) + eps) * norm_weight

    return read(hidden_states, norm_weight, head_weight, eps, norm)


@mistake("lens", "The norm's weights are missing: after dividing, multiply by 1 + weight.")
def without_weights(hidden_states, norm_weight, head_weight, eps):
    return solution.lens(hidden_states, torch.zeros_like(norm_weight), head_weight, eps)


@mistake("lens", "You take LayerNorm, which subtracts the mean; Gemma's norm does not.")
def layer_norm(hidden_states, norm_weight, head_weight, eps):
    return solution.lens(hidden_states - hidden_states.mean(-1, keepdim=True), norm_weight, head_weight, eps)


@mistake("lens", "You divide by the length; divide by the root of the mean square.")
def divided_by_length(hidden_states, norm_weight, head_weight, eps):
    width = hidden_states.shape[-1]

    def norm(states):
        return states * torch.rsqrt(states.square().mean(-1, keepdim=True) + eps) * (1 + norm_weight) / width**0.5

    return read(hidden_states, norm_weight, head_weight, eps, norm)


@mistake("lens", "eps is added to the root; it belongs under it.")
def eps_outside(hidden_states, norm_weight, head_weight, eps):
    def norm(states):
        return states / (states.square().mean(-1, keepdim=True).sqrt() + eps) * (1 + norm_weight)

    return read(hidden_states, norm_weight, head_weight, eps, norm)


@mistake("lens", "These are scores; softmax over the vocabulary is missing.")
def scores(hidden_states, norm_weight, head_weight, eps):
    normed = hidden_states * torch.rsqrt(hidden_states.square().mean(-1, keepdim=True) + eps) * (1 + norm_weight)
    return normed @ head_weight.T


@mistake("lens", "These are logarithms of probabilities; return the probabilities.")
def logarithms(hidden_states, norm_weight, head_weight, eps):
    return solution.lens(hidden_states, norm_weight, head_weight, eps).log()


@mistake("lens", "eps is missing; it is added to the mean square.")
def without_eps(hidden_states, norm_weight, head_weight, eps):
    return solution.lens(hidden_states, norm_weight, head_weight, 0.0)


@mistake("lens", "You divide by the mean square; divide by its root.")
def without_root(hidden_states, norm_weight, head_weight, eps):
    def norm(states):
        return states / (states.square().mean(-1, keepdim=True) + eps) * (1 + norm_weight)

    return read(hidden_states, norm_weight, head_weight, eps, norm)


@mistake("lens", "The mean square is taken over all vectors together; each has its own.")
def one_mean_for_all(hidden_states, norm_weight, head_weight, eps):
    def norm(states):
        return states * torch.rsqrt(states.square().mean() + eps) * (1 + norm_weight)

    return read(hidden_states, norm_weight, head_weight, eps, norm)


@mistake("lens", "Softmax runs over the places; it belongs to the vocabulary.")
def softmax_over_places(hidden_states, norm_weight, head_weight, eps):
    normed = hidden_states * torch.rsqrt(hidden_states.square().mean(-1, keepdim=True) + eps) * (1 + norm_weight)
    return torch.softmax(normed @ head_weight.T, dim=0)


@mistake("lens", "The norm runs over the places; each vector is divided by its own size.")
def norm_over_places(hidden_states, norm_weight, head_weight, eps):
    def norm(states):
        return states * torch.rsqrt(states.square().mean(0, keepdim=True) + eps) * (1 + norm_weight)

    return read(hidden_states, norm_weight, head_weight, eps, norm)


@mistake("lens", "The norm comes after the head; it belongs before it.")
def norm_after_head(hidden_states, norm_weight, head_weight, eps):
    logits = (hidden_states * (1 + norm_weight)) @ head_weight.T
    return torch.softmax(logits * torch.rsqrt(logits.square().mean(-1, keepdim=True) + eps), dim=-1)


@variant("lens")
def with_einsum(hidden_states, norm_weight, head_weight, eps):
    root = (hidden_states.pow(2).sum(-1) / hidden_states.shape[-1] + eps).sqrt()
    logits = torch.einsum("sd,d,vd->sv", hidden_states / root[:, None], norm_weight + 1, head_weight)
    return logits.log_softmax(-1).exp()


def squares(picture: Tensor, side: int) -> list[tuple[int, int]]:
    return [(y, x) for y in range(0, picture.shape[1], side) for x in range(0, picture.shape[2], side)]


def measure(score, picture, side, paint, difference=lambda whole, covered: whole - covered) -> Tensor:
    whole = score(picture.clone())
    values = []
    for y, x in squares(picture, side):
        covered = picture.clone()
        paint(covered, y, x)
        values.append(difference(whole, score(covered)))
    return torch.tensor(values).reshape(picture.shape[1] // side, picture.shape[2] // side)


def paint_with(side: int, value: float):
    def paint(covered: Tensor, y: int, x: int):
        covered[:, y : y + side, x : x + side] = value

    return paint


@mistake("occlusion", "The sign is turned round: what is lost is the whole picture's score minus the covered one's.")
def sign_turned(score, picture, side, value):
    return measure(score, picture, side, paint_with(side, value), lambda whole, covered: covered - whole)


@mistake("occlusion", "You return the covered pictures' scores; subtract them from the whole picture's.")
def scores_alone(score, picture, side, value):
    return measure(score, picture, side, paint_with(side, value), lambda whole, covered: covered)


@mistake("occlusion", "Squares stay covered when you go on to the next: begin with a fresh copy each time.")
def covering_adds_up(score, picture, side, value):
    whole, covered, values = score(picture.clone()), picture.clone(), []
    for y, x in squares(picture, side):
        paint_with(side, value)(covered, y, x)
        values.append(whole - score(covered))
    return torch.tensor(values).reshape(picture.shape[1] // side, picture.shape[2] // side)


@mistake("occlusion", "You paint the picture that you were given; paint a copy.")
def original_painted(score, picture, side, value):
    whole, values = score(picture.clone()), []
    for y, x in squares(picture, side):
        paint_with(side, value)(picture, y, x)
        values.append(whole - score(picture))
    return torch.tensor(values).reshape(picture.shape[1] // side, picture.shape[2] // side)


@mistake("occlusion", "Only the first channel is painted; paint all of them.")
def first_channel(score, picture, side, value):
    def paint(covered, y, x):
        covered[0, y : y + side, x : x + side] = value

    return measure(score, picture, side, paint)


@mistake("occlusion", "Covered pixels become 0; let them become `value`.")
def painted_with_0(score, picture, side, value):
    return solution.occlusion(score, picture, side, 0.0)


@mistake("occlusion", "Everything but the square is covered; cover the square.")
def everything_else(score, picture, side, value):
    def paint(covered, y, x):
        kept = covered[:, y : y + side, x : x + side].clone()
        covered[:] = value
        covered[:, y : y + side, x : x + side] = kept

    return measure(score, picture, side, paint)


@mistake("occlusion", "x and y have changed places where you paint.")
def painted_x_first(score, picture, side, value):
    def paint(covered, y, x):
        covered[:, x : x + side, y : y + side] = value

    return measure(score, picture, side, paint)


@mistake("occlusion", "The squares lie next to each other with a step of one pixel; the step is `side`.")
def step_of_one_pixel(score, picture, side, value):
    def paint(covered, y, x):
        covered[:, y // side : y // side + side, x // side : x // side + side] = value

    return measure(score, picture, side, paint)


@mistake("occlusion", "The map is scaled to its maximum; leave it as it is.")
def scaled(score, picture, side, value):
    fall = solution.occlusion(score, picture, side, value)
    return fall / fall.max()


@mistake("occlusion", "Rows and columns of the map have changed places.")
def map_transposed(score, picture, side, value):
    return solution.occlusion(score, picture, side, value).T


@mistake("occlusion", "The squares are one pixel too small.")
def one_pixel_too_small(score, picture, side, value):
    return measure(score, picture, side, paint_with(side - 1, value))


@mistake("occlusion", "You divide by the whole picture's score; the fall itself is wanted.")
def relative(score, picture, side, value):
    return measure(score, picture, side, paint_with(side, value), lambda whole, covered: (whole - covered) / whole)


@mistake("occlusion", "Where covering helps the answer is negative; you cut it off at 0.")
def cut_at_0(score, picture, side, value):
    return solution.occlusion(score, picture, side, value).clamp(min=0)


@mistake("occlusion", "You take the size of the difference; keep its sign.")
def without_sign(score, picture, side, value):
    return solution.occlusion(score, picture, side, value).abs()


@variant("occlusion")
def by_where(score, picture, side, value):
    _, height, width = picture.shape
    rows, columns = torch.arange(height) // side, torch.arange(width) // side
    fall = []
    for row in range(height // side):
        line = []
        for column in range(width // side):
            inside = (rows[:, None] == row) & (columns[None] == column)
            line.append(score(picture) - score(torch.where(inside, torch.tensor(value), picture)))
        fall.append(line)
    return torch.tensor(fall)
