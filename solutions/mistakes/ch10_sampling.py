"""Common mistakes in chapter 10, and other correct answers."""

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch10_sampling as solution


@mistake(
    "token_probabilities",
    "At temperature 0 you divide by zero. Treat 0 as a special case: the most likely token gets probability 1.",
)
def divided_by_zero(logits: Tensor, temperature: float) -> Tensor:
    return torch.softmax(logits / temperature, dim=-1)


@mistake(
    "token_probabilities",
    "At temperature 0 you applied a plain softmax. Give the most likely token probability 1, and all others 0.",
)
def zero_is_one(logits: Tensor, temperature: float) -> Tensor:
    return torch.softmax(logits / (temperature or 1.0), dim=-1)


@mistake(
    "token_probabilities",
    "You multiplied by the temperature. Divide by it: a high temperature makes the probabilities more alike.",
)
def multiplied(logits: Tensor, temperature: float) -> Tensor:
    return solution.token_probabilities(logits, 0) if temperature == 0 else torch.softmax(logits * temperature, dim=-1)


@mistake("token_probabilities", "You divided by the temperature after the softmax. Divide the logits, before it.")
def after_softmax(logits: Tensor, temperature: float) -> Tensor:
    if temperature == 0:
        return solution.token_probabilities(logits, 0)
    return torch.softmax(logits, dim=-1) / temperature


@mistake("token_probabilities", "You applied softmax twice. Apply it once, to the logits divided by the temperature.")
def softmax_twice(logits: Tensor, temperature: float) -> Tensor:
    if temperature == 0:
        return solution.token_probabilities(logits, 0)
    return torch.softmax(torch.softmax(logits, dim=-1) / temperature, dim=-1)


@mistake("token_probabilities", "You ignored the temperature. Divide the logits by it.")
def ignored(logits: Tensor, temperature: float) -> Tensor:
    return solution.token_probabilities(logits, 0 if temperature == 0 else 1.0)


@mistake("token_probabilities", "Your softmax runs over the batch. Apply it over the vocabulary, the last axis.")
def over_the_batch(logits: Tensor, temperature: float) -> Tensor:
    return solution.token_probabilities(logits.T, temperature).T


@mistake(
    "token_probabilities",
    "Your exp overflows: e^150 is infinite in float32. Use softmax, or subtract the largest logit first.",
)
def plain_exponentials(logits: Tensor, temperature: float) -> Tensor:
    if temperature == 0:
        return solution.token_probabilities(logits, 0)
    weights = (logits / temperature).exp()
    return weights / weights.sum(-1, keepdim=True)


@mistake(
    "token_probabilities",
    "You replaced temperature 0 by a small number. If two logits are close, the second still gets some probability.",
)
def nearly_zero(logits: Tensor, temperature: float) -> Tensor:
    return torch.softmax(logits / max(temperature, 1e-3), dim=-1)


@variant("token_probabilities")
def by_exponentials(logits: Tensor, temperature: float) -> Tensor:
    largest = logits.max(-1, keepdim=True).values
    if temperature == 0:
        return (logits == largest).float()
    weights = ((logits - largest) / temperature).exp()
    return weights / weights.sum(-1, keepdim=True)


def keep(probabilities: Tensor, is_kept: Tensor, order: Tensor) -> Tensor:
    """The kept probabilities in the order of the vocabulary, before renormalization."""
    ordered = probabilities.gather(-1, order).masked_fill(~is_kept, 0)
    return torch.zeros_like(probabilities).scatter(-1, order, ordered)


def renormalize(kept: Tensor) -> Tensor:
    return kept / kept.sum(-1, keepdim=True)


@mistake(
    "filter_top_p",
    "If the most likely token alone exceeds top_p, you keep nothing, and 0 / 0 is nan. Always keep that token.",
)
def empty_nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    return renormalize(keep(probabilities, ordered.cumsum(-1) <= top_p, order))


@mistake("filter_top_p", "You keep one token too few. The token that brings the sum to top_p belongs to the nucleus.")
def one_too_few(probabilities: Tensor, top_p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    is_kept = ordered.cumsum(-1) < top_p
    is_kept[..., 0] = True
    return renormalize(keep(probabilities, is_kept, order))


@mistake("filter_top_p", "You keep one token too many. Stop when the sum equals top_p.")
def one_too_many(probabilities: Tensor, top_p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    return renormalize(keep(probabilities, ordered.cumsum(-1) - ordered <= top_p, order))


@mistake("filter_top_p", "Your result is in sorted order. Bring it back to the order of the vocabulary.")
def sort_not_undone(probabilities: Tensor, top_p: float) -> Tensor:
    return solution.filter_top_p(probabilities, top_p).sort(dim=-1, descending=True).values


@mistake(
    "filter_top_p",
    "Indexing with the same indices again does not undo a sort. Use scatter, or the argsort of the indices.",
)
def sorted_twice(probabilities: Tensor, top_p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    kept = ordered.masked_fill(ordered.cumsum(-1) - ordered >= top_p, 0)
    return renormalize(kept.gather(-1, order))


@mistake("filter_top_p", "The kept probabilities do not sum to 1. Divide them by their sum.")
def not_renormalized(probabilities: Tensor, top_p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    return keep(probabilities, ordered.cumsum(-1) - ordered < top_p, order)


@mistake("filter_top_p", "You started with the least likely token. Start with the most likely.")
def from_the_bottom(probabilities: Tensor, top_p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1)
    return renormalize(keep(probabilities, ordered.cumsum(-1) - ordered < top_p, order))


@mistake(
    "filter_top_p",
    "You compared the probability of each token with a threshold. Compare the cumulative sum with top_p.",
)
def each_by_itself(probabilities: Tensor, top_p: float) -> Tensor:
    is_kept = probabilities >= 1 - top_p
    is_kept |= probabilities == probabilities.max(-1, keepdim=True).values
    return renormalize(probabilities.masked_fill(~is_kept, 0))


@mistake(
    "filter_top_p",
    "You did not sort, so the cumulative sum runs in the order of the vocabulary. Sort in descending order first.",
)
def not_sorted(probabilities: Tensor, top_p: float) -> Tensor:
    return renormalize(probabilities.masked_fill(probabilities.cumsum(-1) - probabilities >= top_p, 0))


@variant("filter_top_p")
def row_by_row(probabilities: Tensor, top_p: float) -> Tensor:
    result = torch.zeros_like(probabilities)
    for row, values in enumerate(probabilities):
        total = 0.0
        for token in values.argsort(descending=True).tolist():
            result[row, token] = values[token]
            total += values[token].item()
            if total >= top_p:
                break
    return result / result.sum(-1, keepdim=True)


@variant("filter_top_p")
def by_a_threshold(probabilities: Tensor, top_p: float) -> Tensor:
    ordered = probabilities.sort(dim=-1, descending=True).values
    count = (ordered.cumsum(-1) < top_p).sum(-1, keepdim=True).clamp(max=probabilities.shape[-1] - 1)
    smallest = ordered.gather(-1, count)
    return torch.nn.functional.normalize(probabilities * (probabilities >= smallest), p=1, dim=-1)


@mistake("draw_tokens", "You always chose the most likely token. The random number decides.")
def most_likely(probabilities: Tensor, draws: Tensor) -> Tensor:
    return probabilities.argmax(-1)


@mistake("draw_tokens", "You used the first random number for all rows. Each row has its own.")
def first_number_for_all(probabilities: Tensor, draws: Tensor) -> Tensor:
    return solution.draw_tokens(probabilities, draws[:1].expand_as(draws))


@mistake("draw_tokens", "Your token is one too far to the right. Count the right ends that are <= the number.")
def one_too_far(probabilities: Tensor, draws: Tensor) -> Tensor:
    return solution.draw_tokens(probabilities, draws) + 1


@mistake(
    "draw_tokens",
    "You can choose a token with probability 0 if the number is exactly on its border. Compare with <=, not <.",
)
def zero_width_chosen(probabilities: Tensor, draws: Tensor) -> Tensor:
    return (probabilities.cumsum(-1) < draws[:, None]).sum(-1)


@mistake("draw_tokens", "You compared the number with each probability. Compare it with their cumulative sum.")
def without_cumulative_sum(probabilities: Tensor, draws: Tensor) -> Tensor:
    return (probabilities > draws[:, None]).float().argmax(-1)


@mistake("draw_tokens", "You laid out the tokens by probability. Use the order of the vocabulary.")
def in_order_of_probability(probabilities: Tensor, draws: Tensor) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    rank = solution.draw_tokens(ordered, draws)
    return order.gather(-1, rank[:, None])[:, 0]


@mistake(
    "draw_tokens",
    "A number beyond the rounded sum gives an id outside the vocabulary. Choose the last token with a width.",
)
def beyond_the_end(probabilities: Tensor, draws: Tensor) -> Tensor:
    return (probabilities.cumsum(-1) <= draws[:, None]).sum(-1)


@mistake(
    "draw_tokens",
    "A number beyond the rounded sum gives the last token of the vocabulary, even if its probability is 0.",
)
def last_of_all(probabilities: Tensor, draws: Tensor) -> Tensor:
    return beyond_the_end.implementation(probabilities, draws).clamp(max=probabilities.shape[-1] - 1)


@mistake("draw_tokens", "You returned an index into the sorted tokens. Use the order of the vocabulary.")
def rank_returned(probabilities: Tensor, draws: Tensor) -> Tensor:
    return solution.draw_tokens(probabilities.sort(dim=-1, descending=True).values, draws)


@variant("draw_tokens")
def by_searching(probabilities: Tensor, draws: Tensor) -> Tensor:
    ends = probabilities.cumsum(-1)
    below = torch.minimum(draws, torch.nextafter(ends[:, -1], torch.tensor(0.0)))
    return torch.searchsorted(ends, below[:, None], right=True)[:, 0]


@variant("draw_tokens")
def one_by_one(probabilities: Tensor, draws: Tensor) -> Tensor:
    chosen = []
    for row, draw in zip(probabilities.tolist(), draws.tolist(), strict=True):
        token, end = 0, 0.0
        for candidate, width in enumerate(row):
            if width > 0 and draw >= end:
                token = candidate
            end += width
        chosen.append(token)
    return torch.tensor(chosen)


def generate(next_logits, input_ids, max_new_tokens, stop=lambda token: False) -> list[int]:
    new_tokens = []
    for _ in range(max_new_tokens):
        new_tokens.append(int(next_logits([*input_ids, *new_tokens]).argmax()))
        if stop(new_tokens[-1]):
            break
    return new_tokens


@mistake("generate_greedy", "You ignored `<eos>`. Stop when the model generates it.")
def eos_ignored(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    return generate(next_logits, input_ids, max_new_tokens)


@mistake(
    "generate_greedy",
    "Your answer is correct, but you continued after `<eos>` and cut the rest off. Stop at once to save calls.",
)
def cut_off_afterwards(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    new_tokens = generate(next_logits, input_ids, max_new_tokens)
    return new_tokens[: new_tokens.index(eos_token_id)] if eos_token_id in new_tokens else new_tokens


@mistake("generate_greedy", "Your answer contains `<eos>`. Leave it out.")
def eos_kept(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    return generate(next_logits, input_ids, max_new_tokens, lambda token: token == eos_token_id)


@mistake("generate_greedy", "You always dropped the last token. Drop it only if it is `<eos>`.")
def last_always_cut(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    return generate(next_logits, input_ids, max_new_tokens, lambda token: token == eos_token_id)[:-1]


@mistake("generate_greedy", "You generated one token more than max_new_tokens.")
def one_too_many_tokens(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    return solution.generate_greedy(next_logits, input_ids, max_new_tokens + 1, eos_token_id)


@mistake(
    "generate_greedy",
    "The tokens are correct, but you called next_logits once more than needed. Check the limit before each call.",
)
def one_call_too_many(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    new_tokens, token = [], int(next_logits(list(input_ids)).argmax())
    while token != eos_token_id and len(new_tokens) < max_new_tokens:
        new_tokens.append(token)
        token = int(next_logits([*input_ids, *new_tokens]).argmax())
    return new_tokens


@mistake(
    "generate_greedy", "You passed only the last token to the model. Pass the prompt and all tokens generated so far."
)
def last_token_alone(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    new_tokens, ids = [], list(input_ids)
    while len(new_tokens) < max_new_tokens:
        token = int(next_logits(ids).argmax())
        if token == eos_token_id:
            break
        new_tokens.append(token)
        ids = [token]
    return new_tokens


@mistake("generate_greedy", "You always passed only the prompt. Pass the prompt and all tokens generated so far.")
def prompt_alone_passed(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    new_tokens = []
    while len(new_tokens) < max_new_tokens:
        token = int(next_logits(list(input_ids)).argmax())
        if token == eos_token_id:
            break
        new_tokens.append(token)
    return new_tokens


@mistake("generate_greedy", "You returned the prompt too. Return only the new tokens.")
def prompt_too(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    return [*input_ids, *solution.generate_greedy(next_logits, input_ids, max_new_tokens, eos_token_id)]


@mistake("generate_greedy", "You also stopped at token 0. Stop only at eos_token_id.")
def stops_at_pad(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    new_tokens = generate(next_logits, input_ids, max_new_tokens, lambda token: token in (0, eos_token_id))
    return new_tokens[:-1] if new_tokens and new_tokens[-1] in (0, eos_token_id) else new_tokens


@mistake(
    "generate_greedy", "You stopped because of an `<eos>` in the prompt. Stop only at one that the model generates."
)
def eos_in_the_prompt_counts(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    if eos_token_id in input_ids:
        return []
    return solution.generate_greedy(next_logits, input_ids, max_new_tokens, eos_token_id)


@mistake("generate_greedy", "You appended to the prompt that was passed in. Make a copy.")
def prompt_grows(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    length = len(input_ids)
    for _ in range(max_new_tokens):
        token = int(next_logits(input_ids).argmax())
        if token == eos_token_id:
            break
        input_ids.append(token)
    return input_ids[length:]


@variant("generate_greedy")
def by_recursion(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    if max_new_tokens == 0:
        return []
    token = next_logits(input_ids).topk(1).indices.item()
    if token == eos_token_id:
        return []
    return [token] + by_recursion.implementation(next_logits, input_ids + [token], max_new_tokens - 1, eos_token_id)
