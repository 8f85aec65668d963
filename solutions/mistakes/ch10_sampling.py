"""Mistakes people make in chapter 10, and other right answers."""

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch10_sampling as solution


@mistake("token_probabilities", "At temperature 0 you divide by zero; give the likeliest token the probability 1.")
def divided_by_zero(logits: Tensor, temperature: float) -> Tensor:
    return torch.softmax(logits / temperature, dim=-1)


@mistake(
    "token_probabilities", "At temperature 0 softmax is taken without a temperature; only the likeliest may be left."
)
def zero_is_one(logits: Tensor, temperature: float) -> Tensor:
    return torch.softmax(logits / (temperature or 1.0), dim=-1)


@mistake("token_probabilities", "You multiplied by the temperature; divide, so that a high one makes all more alike.")
def multiplied(logits: Tensor, temperature: float) -> Tensor:
    return solution.token_probabilities(logits, 0) if temperature == 0 else torch.softmax(logits * temperature, dim=-1)


@mistake("token_probabilities", "The temperature comes after softmax; divide the scores, before it.")
def after_softmax(logits: Tensor, temperature: float) -> Tensor:
    if temperature == 0:
        return solution.token_probabilities(logits, 0)
    return torch.softmax(logits, dim=-1) / temperature


@mistake("token_probabilities", "You took softmax twice: once of the scores, and again of the probabilities.")
def softmax_twice(logits: Tensor, temperature: float) -> Tensor:
    if temperature == 0:
        return solution.token_probabilities(logits, 0)
    return torch.softmax(torch.softmax(logits, dim=-1) / temperature, dim=-1)


@mistake("token_probabilities", "The temperature is ignored.")
def ignored(logits: Tensor, temperature: float) -> Tensor:
    return solution.token_probabilities(logits, 0 if temperature == 0 else 1.0)


@mistake(
    "token_probabilities", "Softmax runs over the rows of the batch; it belongs to the vocabulary, the last dimension."
)
def over_the_batch(logits: Tensor, temperature: float) -> Tensor:
    return solution.token_probabilities(logits.T, temperature).T


@mistake("token_probabilities", "e^150 is infinite in float32: subtract the largest score first, or take softmax.")
def plain_exponentials(logits: Tensor, temperature: float) -> Tensor:
    if temperature == 0:
        return solution.token_probabilities(logits, 0)
    weights = (logits / temperature).exp()
    return weights / weights.sum(-1, keepdim=True)


@mistake("token_probabilities", "A small temperature is not 0: where scores are close, the second still gets a share.")
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
    """Of the tokens in `order`, those that are kept, in the vocabulary's order and not yet divided by their sum."""
    ordered = probabilities.gather(-1, order).masked_fill(~is_kept, 0)
    return torch.zeros_like(probabilities).scatter(-1, order, ordered)


def share(kept: Tensor) -> Tensor:
    return kept / kept.sum(-1, keepdim=True)


@mistake(
    "filter_top_p", "Where the likeliest token alone passes top_p nothing is left, and 0 / 0 is nan. Always keep it."
)
def empty_nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    return share(keep(probabilities, ordered.cumsum(-1) <= top_p, order))


@mistake("filter_top_p", "One too few: the token that brings the sum to top_p belongs to it.")
def one_too_few(probabilities: Tensor, top_p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    is_kept = ordered.cumsum(-1) < top_p
    is_kept[..., 0] = True
    return share(keep(probabilities, is_kept, order))


@mistake("filter_top_p", "One too many: when the sum is exactly top_p you are done.")
def one_too_many(probabilities: Tensor, top_p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    return share(keep(probabilities, ordered.cumsum(-1) - ordered <= top_p, order))


@mistake("filter_top_p", "The result is in the order of the sort; bring it back into that of the vocabulary.")
def sort_not_undone(probabilities: Tensor, top_p: float) -> Tensor:
    return solution.filter_top_p(probabilities, top_p).sort(dim=-1, descending=True).values


@mistake("filter_top_p", "The order is not undone by sorting again with the same indices: scatter, or argsort of them.")
def sorted_twice(probabilities: Tensor, top_p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    kept = ordered.masked_fill(ordered.cumsum(-1) - ordered >= top_p, 0)
    return share(kept.gather(-1, order))


@mistake("filter_top_p", "What is kept does not sum to 1: divide by its sum.")
def not_shared(probabilities: Tensor, top_p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    return keep(probabilities, ordered.cumsum(-1) - ordered < top_p, order)


@mistake("filter_top_p", "You began with the unlikeliest token; begin with the likeliest.")
def from_the_bottom(probabilities: Tensor, top_p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1)
    return share(keep(probabilities, ordered.cumsum(-1) - ordered < top_p, order))


@mistake("filter_top_p", "You compare each token's own probability; the sum of the likeliest ones decides.")
def each_by_itself(probabilities: Tensor, top_p: float) -> Tensor:
    is_kept = probabilities >= 1 - top_p
    is_kept |= probabilities == probabilities.max(-1, keepdim=True).values
    return share(probabilities.masked_fill(~is_kept, 0))


@mistake("filter_top_p", "You did not sort: the sum runs over the tokens in the vocabulary's order.")
def not_sorted(probabilities: Tensor, top_p: float) -> Tensor:
    return share(probabilities.masked_fill(probabilities.cumsum(-1) - probabilities >= top_p, 0))


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


@mistake("draw_tokens", "This is always the likeliest token; the random number decides.")
def likeliest(probabilities: Tensor, draws: Tensor) -> Tensor:
    return probabilities.argmax(-1)


@mistake("draw_tokens", "All rows use the first number; each has its own.")
def first_number_for_all(probabilities: Tensor, draws: Tensor) -> Tensor:
    return solution.draw_tokens(probabilities, draws[:1].expand_as(draws))


@mistake("draw_tokens", "You are one token too far to the right.")
def one_too_far(probabilities: Tensor, draws: Tensor) -> Tensor:
    return solution.draw_tokens(probabilities, draws) + 1


@mistake("draw_tokens", "A token of probability 0 can be chosen, when the number is on its border: use <=, not <.")
def zero_width_chosen(probabilities: Tensor, draws: Tensor) -> Tensor:
    return (probabilities.cumsum(-1) < draws[:, None]).sum(-1)


@mistake("draw_tokens", "You compare the number with each probability; compare it with their running sum.")
def without_running_sum(probabilities: Tensor, draws: Tensor) -> Tensor:
    return (probabilities > draws[:, None]).float().argmax(-1)


@mistake("draw_tokens", "The tokens lie in the order of their probability; take the vocabulary's.")
def in_order_of_probability(probabilities: Tensor, draws: Tensor) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    place = solution.draw_tokens(ordered, draws)
    return order.gather(-1, place[:, None])[:, 0]


@mistake("draw_tokens", "A number beyond the rounded end gives an id that does not exist.")
def beyond_the_end(probabilities: Tensor, draws: Tensor) -> Tensor:
    return (probabilities.cumsum(-1) <= draws[:, None]).sum(-1)


@mistake("draw_tokens", "A number beyond the rounded end gives the last token, though its probability is 0.")
def last_of_all(probabilities: Tensor, draws: Tensor) -> Tensor:
    return beyond_the_end.implementation(probabilities, draws).clamp(max=probabilities.shape[-1] - 1)


@mistake("draw_tokens", "The tokens were sorted, and the place in that order is no id: map it back.")
def place_in_the_order(probabilities: Tensor, draws: Tensor) -> Tensor:
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
        for place, width in enumerate(row):
            if width > 0 and draw >= end:
                token = place
            end += width
        chosen.append(token)
    return torch.tensor(chosen)


def write(next_logits, input_ids, max_new_tokens, stop=lambda token: False) -> list[int]:
    written = []
    for _ in range(max_new_tokens):
        written.append(int(next_logits([*input_ids, *written]).argmax()))
        if stop(written[-1]):
            break
    return written


@mistake("generate_greedy", "`<eos>` is ignored: the model talks on to the limit.")
def eos_ignored(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    return write(next_logits, input_ids, max_new_tokens)


@mistake(
    "generate_greedy",
    "It talks on after `<eos>`, and what came after is cut off: right, but for nothing. Stop at once.",
)
def cut_off_afterwards(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    written = write(next_logits, input_ids, max_new_tokens)
    return written[: written.index(eos_token_id)] if eos_token_id in written else written


@mistake("generate_greedy", "`<eos>` is part of your answer; leave it out.")
def eos_kept(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    return write(next_logits, input_ids, max_new_tokens, lambda token: token == eos_token_id)


@mistake("generate_greedy", "The last token is always cut off, also where it is not `<eos>`.")
def last_always_cut(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    return write(next_logits, input_ids, max_new_tokens, lambda token: token == eos_token_id)[:-1]


@mistake("generate_greedy", "One token more than max_new_tokens.")
def one_too_many_tokens(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    return solution.generate_greedy(next_logits, input_ids, max_new_tokens + 1, eos_token_id)


@mistake("generate_greedy", "The tokens are right; the model was asked once more for scores that nobody needs.")
def one_call_too_many(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    written, token = [], int(next_logits(list(input_ids)).argmax())
    while token != eos_token_id and len(written) < max_new_tokens:
        written.append(token)
        token = int(next_logits([*input_ids, *written]).argmax())
    return written


@mistake("generate_greedy", "The model gets only the last token; give it the prompt and all that it has written.")
def last_token_alone(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    written, ids = [], list(input_ids)
    while len(written) < max_new_tokens:
        token = int(next_logits(ids).argmax())
        if token == eos_token_id:
            break
        written.append(token)
        ids = [token]
    return written


@mistake("generate_greedy", "The model is not told what it has written: give it the prompt and the new tokens.")
def not_told(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    written = []
    while len(written) < max_new_tokens:
        token = int(next_logits(list(input_ids)).argmax())
        if token == eos_token_id:
            break
        written.append(token)
    return written


@mistake("generate_greedy", "You return the prompt as well; return the new tokens alone.")
def prompt_too(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    return [*input_ids, *solution.generate_greedy(next_logits, input_ids, max_new_tokens, eos_token_id)]


@mistake("generate_greedy", "It stops at token 0 as well, which is no `<eos>`.")
def stops_at_pad(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    written = write(next_logits, input_ids, max_new_tokens, lambda token: token in (0, eos_token_id))
    return written[:-1] if written and written[-1] in (0, eos_token_id) else written


@mistake("generate_greedy", "An `<eos>` in the prompt ends the answer; only one that the model writes may.")
def eos_in_the_prompt_counts(next_logits, input_ids, max_new_tokens, eos_token_id) -> list[int]:
    if eos_token_id in input_ids:
        return []
    return solution.generate_greedy(next_logits, input_ids, max_new_tokens, eos_token_id)


@mistake("generate_greedy", "The prompt grew: you appended to the list that you were given. Make a copy.")
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
