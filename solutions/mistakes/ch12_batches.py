"""Common mistakes in the exercises of chapter 12, and other right answers."""

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch12_batches as solution


@mistake("pad_left", "The padding is on the right. Put it on the left, so that all rows end in the last column.")
def padded_on_the_right(rows: list[list[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    length = max(len(row) for row in rows)
    ids = [row + [pad_token_id] * (length - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (length - len(row)) for row in rows]
    return torch.tensor(ids), torch.tensor(mask)


@mistake("pad_left", "The mask has 0 and 1 swapped: 1 marks real tokens, 0 padding.")
def mask_exchanged(rows: list[list[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    ids, mask = solution.pad_left(rows, pad_token_id)
    return ids, 1 - mask


@mistake(
    "pad_left", "You derive the mask from the ids, but a real token may equal the pad token. Use the rows' lengths."
)
def mask_from_ids(rows: list[list[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    ids, _ = solution.pad_left(rows, pad_token_id)
    return ids, (ids != pad_token_id).long()


@mistake("pad_left", "You truncated all rows to the shortest one. Pad to the longest one instead.")
def cut_to_the_shortest(rows: list[list[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    length = min(len(row) for row in rows)
    return solution.pad_left([row[-length:] for row in rows], pad_token_id)


@mistake("pad_left", "You padded with 0 instead of pad_token_id.")
def padded_with_zero(rows: list[list[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    return solution.pad_left(rows, 0)


@mistake(
    "pad_left", "The rows come out in a different order. Keep their order, or the answers go to the wrong questions."
)
def sorted_by_length(rows: list[list[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    return solution.pad_left(sorted(rows, key=len), pad_token_id)


@mistake("pad_left", "All rows are one column too long. The longest row needs no padding.")
def one_column_more(rows: list[list[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    ids, mask = solution.pad_left(rows, pad_token_id)
    pad = torch.nn.functional.pad
    return pad(ids, (1, 0), value=pad_token_id), pad(mask, (1, 0))


@variant("pad_left")
def written_into_tensors(rows: list[list[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    shape = (len(rows), max(map(len, rows)))
    ids, mask = torch.full(shape, pad_token_id), torch.zeros(shape, dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, shape[1] - len(row) :] = torch.tensor(row)
        mask[index, shape[1] - len(row) :] = 1
    return ids, mask


@variant("pad_left")
def padded_by_torch(rows: list[list[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    pad = torch.nn.utils.rnn.pad_sequence
    ids = pad([torch.tensor(row) for row in rows], True, pad_token_id, padding_side="left")
    mask = pad([torch.ones(len(row), dtype=torch.long) for row in rows], True, 0, padding_side="left")
    return ids, mask


@mistake("count_positions", "For a new token you return the shape [1, B]. It should be [B, num_new] = [B, 1].")
def one_row_of_positions(attention_mask: Tensor, num_new: int) -> Tensor:
    positions = solution.count_positions(attention_mask, num_new)
    return positions.T if num_new == 1 else positions


@mistake(
    "count_positions",
    "You count columns, padding included: padding after a prompt leaves a gap before the answer. Count real tokens.",
)
def columns_counted(attention_mask: Tensor, num_new: int) -> Tensor:
    batch_size, total = attention_mask.shape
    return torch.arange(1, total + 1).expand(batch_size, -1)[:, -num_new:]


@mistake(
    "count_positions", "You count real tokens in the prompt, but columns for new tokens. Count real tokens in both."
)
def columns_counted_for_new_tokens(attention_mask: Tensor, num_new: int) -> Tensor:
    if num_new == 1:
        return torch.full((len(attention_mask), 1), attention_mask.shape[1])
    return solution.count_positions(attention_mask, num_new)


@mistake("count_positions", "New tokens start again at 1. They should continue where the row's prompt ended.")
def new_tokens_start_again(attention_mask: Tensor, num_new: int) -> Tensor:
    if num_new == 1:
        return torch.ones(len(attention_mask), 1, dtype=torch.long)
    return solution.count_positions(attention_mask, num_new)


@mistake("count_positions", "A new token gets the position of the token before it: off by one.")
def new_tokens_one_early(attention_mask: Tensor, num_new: int) -> Tensor:
    return solution.count_positions(attention_mask, num_new) - int(num_new == 1)


@mistake("count_positions", "All rows get the positions of the first row. Count each row separately.")
def positions_of_the_first_row(attention_mask: Tensor, num_new: int) -> Tensor:
    return solution.count_positions(attention_mask[:1], num_new).expand(len(attention_mask), -1)


@mistake("count_positions", "You return the mask itself. Positions are its cumulative sum along the row.")
def mask_returned(attention_mask: Tensor, num_new: int) -> Tensor:
    return attention_mask[:, -num_new:]


@variant("count_positions")
def counted_from_zero(attention_mask: Tensor, num_new: int) -> Tensor:
    positions = attention_mask.cumsum(-1) - 1
    return positions.masked_fill(attention_mask == 0, 1)[:, -num_new:]


@variant("count_positions")
def counted_one_by_one(attention_mask: Tensor, num_new: int) -> Tensor:
    rows = []
    for row in attention_mask.tolist():
        count, positions = 10, []
        for is_real in row:
            count += is_real
            positions.append(count)
        rows.append(positions[len(row) - num_new :])
    return torch.tensor(rows)


@mistake("last_real_logits", "You took the last column. If a row is padded on the right, its last column is padding.")
def last_column(logits: Tensor, attention_mask: Tensor) -> Tensor:
    return logits[:, -1]


@mistake(
    "last_real_logits", "The number of real tokens minus 1 is the last one's index only if the padding is on the right."
)
def by_count(logits: Tensor, attention_mask: Tensor) -> Tensor:
    return logits[torch.arange(len(logits)), attention_mask.sum(-1) - 1]


@mistake("last_real_logits", "These are the logits of each row's first real token; you need its last.")
def first_real(logits: Tensor, attention_mask: Tensor) -> Tensor:
    return logits[torch.arange(len(logits)), attention_mask.argmax(-1)]


@mistake(
    "last_real_logits",
    "You averaged the logits over the real tokens. Only those at the last real token predict the next one.",
)
def mean_of_real(logits: Tensor, attention_mask: Tensor) -> Tensor:
    weights = attention_mask[..., None].float()
    return (logits * weights).sum(1) / weights.sum(1)


@mistake("last_real_logits", "You used the first row's last index for all rows. Find it for each row.")
def end_of_the_first_row(logits: Tensor, attention_mask: Tensor) -> Tensor:
    return logits[:, int(attention_mask[0].nonzero().max())]


@variant("last_real_logits")
def row_by_row(logits: Tensor, attention_mask: Tensor) -> Tensor:
    return torch.stack([row[mask.bool()][-1] for row, mask in zip(logits, attention_mask, strict=True)])


@variant("last_real_logits")
def by_running_sum(logits: Tensor, attention_mask: Tensor) -> Tensor:
    counts = attention_mask.cumsum(-1)
    is_last = (counts == counts[:, -1:]) & attention_mask.bool()
    return logits[is_last]


@mistake("masked_softmax", "A row with nothing visible becomes NaN (0 / 0). Its weights should be 0.")
def nan_rows(scores: Tensor, visible: Tensor) -> Tensor:
    return torch.softmax(scores.masked_fill(~visible, -torch.inf), dim=-1)


@mistake("masked_softmax", "A row with nothing visible gets uniform weights. They should all be 0.")
def uniform_rows(scores: Tensor, visible: Tensor) -> Tensor:
    return torch.softmax(scores.masked_fill(~visible, torch.finfo(scores.dtype).min), dim=-1)


@mistake(
    "masked_softmax", "The visible weights do not sum to 1, as you masked after the softmax. Mask the scores before it."
)
def hidden_after_softmax(scores: Tensor, visible: Tensor) -> Tensor:
    return torch.softmax(scores, dim=-1) * visible


@mistake("masked_softmax", "You set hidden scores to 0, which is an ordinary score. Fill in the dtype's lowest number.")
def hidden_by_zero(scores: Tensor, visible: Tensor) -> Tensor:
    return torch.softmax(scores * visible, dim=-1)


@mistake("masked_softmax", "Visible and hidden are swapped: True means visible.")
def visible_and_hidden_swapped(scores: Tensor, visible: Tensor) -> Tensor:
    return solution.masked_softmax(scores, ~visible)


@mistake(
    "masked_softmax", "You add the mask, 0 or 1, to the scores. Hidden scores must become far lower than all others."
)
def zero_or_one_added(scores: Tensor, visible: Tensor) -> Tensor:
    weights = torch.softmax(scores + visible, dim=-1)
    return weights.masked_fill(~visible.any(-1, keepdim=True), 0)


@mistake("masked_softmax", "-100 is not low enough: visible scores can be lower. Fill in the dtype's lowest number.")
def minus_a_hundred(scores: Tensor, visible: Tensor) -> Tensor:
    return torch.softmax(scores.masked_fill(~visible, -100.0), dim=-1) * visible


@mistake("masked_softmax", "exp of a large score overflows. Subtract the row's maximum first, or use torch.softmax.")
def exponentials_overflow(scores: Tensor, visible: Tensor) -> Tensor:
    weights = scores.exp() * visible
    return (weights / weights.sum(-1, keepdim=True)).nan_to_num(0)


@mistake(
    "masked_softmax",
    "Adding the lowest number to a negative score can give -inf. Replace the score (masked_fill) instead.",
)
def lowest_added(scores: Tensor, visible: Tensor) -> Tensor:
    return torch.softmax(scores + (~visible) * torch.finfo(scores.dtype).min, dim=-1) * visible


@variant("masked_softmax")
def nan_replaced(scores: Tensor, visible: Tensor) -> Tensor:
    return torch.softmax(scores.masked_fill(~visible, -torch.inf), dim=-1).nan_to_num(0)


@variant("masked_softmax")
def by_exponentials(scores: Tensor, visible: Tensor) -> Tensor:
    largest = scores.float().masked_fill(~visible, -1e30).amax(-1, keepdim=True)
    weights = (scores.float() - largest).masked_fill(~visible, -1e30).exp() * visible
    return (weights / weights.sum(-1, keepdim=True).clamp(min=1e-30)).to(scores.dtype)


def write(next_logits, input_ids, attention_mask, max_new_tokens, eos, pad, after_end, stop, grow=1) -> Tensor:
    """The solution with other rules: for rows that have ended, for stopping, and for the mask of a new token."""
    length, ended = input_ids.shape[1], torch.zeros(len(input_ids), dtype=torch.bool)
    for _ in range(max_new_tokens):
        token = after_end(next_logits(input_ids, attention_mask).argmax(-1), ended)
        ended = ended | (token == eos)
        input_ids = torch.cat([input_ids, token[:, None]], dim=1)
        attention_mask = torch.nn.functional.pad(attention_mask, (0, 1), value=grow)
        if stop(ended):
            break
    return input_ids[:, length:]


@mistake("generate_batch", "Rows continue after their `<eos>`. From then on they should get the pad token.")
def talks_on(next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id) -> Tensor:
    arguments = (next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id)
    return write(*arguments, lambda token, ended: token, lambda ended: ended.all())


@mistake("generate_batch", "The loop continues after all rows have ended. Stop at once.")
def stops_late(next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id) -> Tensor:
    arguments = (next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id)
    return write(*arguments, lambda token, ended: token.masked_fill(ended, pad_token_id), lambda ended: False)


@mistake(
    "generate_batch", "The loop stops when the first row ends, which cuts off the others. Stop when all have ended."
)
def stops_with_the_first(next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id) -> Tensor:
    arguments = (next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id)
    return write(*arguments, lambda token, ended: token.masked_fill(ended, pad_token_id), lambda ended: ended.any())


@mistake(
    "generate_batch",
    "The loop stops only if all rows generate `<eos>` in the same step. Remember which rows have ended.",
)
def only_together(next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id) -> Tensor:
    length = input_ids.shape[1]
    for _ in range(max_new_tokens):
        token = next_logits(input_ids, attention_mask).argmax(-1)
        input_ids = torch.cat([input_ids, token[:, None]], dim=1)
        attention_mask = torch.nn.functional.pad(attention_mask, (0, 1), value=1)
        if (token == eos_token_id).all():
            break
    return input_ids[:, length:]


@mistake("generate_batch", "New tokens have mask 0, so later tokens cannot attend to them. Append ones to the mask.")
def new_tokens_hidden(next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id) -> Tensor:
    arguments = (next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id)
    return write(
        *arguments, lambda token, ended: token.masked_fill(ended, pad_token_id), lambda ended: ended.all(), grow=0
    )


@mistake(
    "generate_batch",
    "After the first step the prompt's padding has mask 1. Keep the mask you were given and append ones.",
)
def padding_forgotten(next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id) -> Tensor:
    def told_all_is_real(ids: Tensor, mask: Tensor) -> Tensor:
        return next_logits(ids, mask if ids.shape == input_ids.shape else torch.ones_like(ids))

    arguments = (input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id)
    return solution.generate_batch(told_all_is_real, *arguments)


@mistake("generate_batch", "You pass only the new token. There is no cache here: pass the prompt and all new tokens.")
def new_token_alone(next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id) -> Tensor:
    def told_the_last(ids: Tensor, mask: Tensor) -> Tensor:
        return next_logits(ids, mask) if ids.shape == input_ids.shape else next_logits(ids[:, -1:], mask)

    arguments = (input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id)
    return solution.generate_batch(told_the_last, *arguments)


@mistake("generate_batch", "In rows that have ended, new tokens have mask 0. Their mask should be 1 too.")
def ended_rows_masked(next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id) -> Tensor:
    length = input_ids.shape[1]

    def told_which_have_ended(ids: Tensor, mask: Tensor) -> Tensor:
        said_eos = (ids[:, length:] == eos_token_id).long()
        mask = torch.cat([mask[:, :length], 1 - (said_eos.cumsum(-1) - said_eos).clamp(max=1)], dim=1)
        return next_logits(ids, mask)

    arguments = (input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id)
    return solution.generate_batch(told_which_have_ended, *arguments)


@mistake(
    "generate_batch",
    "You derive the mask from the ids, but a real token may equal the pad token. Extend the given mask.",
)
def mask_from_new_ids(next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id) -> Tensor:
    def told_by_ids(ids: Tensor, mask: Tensor) -> Tensor:
        return next_logits(ids, (ids != pad_token_id).long())

    arguments = (input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id)
    return solution.generate_batch(told_by_ids, *arguments)


@mistake("generate_batch", "An `<eos>` in the prompt ends the row. Only one that the model generates should.")
def eos_of_the_prompt_counts(
    next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id
) -> Tensor:
    new = solution.generate_batch(
        next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id
    ).clone()
    new[(input_ids == eos_token_id).any(-1)] = pad_token_id
    return new


@mistake("generate_batch", "A pad token that the model generates ends the row. Only `<eos>` should.")
def pad_ends_a_row(next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id) -> Tensor:
    length, ended = input_ids.shape[1], torch.zeros(len(input_ids), dtype=torch.bool)
    for _ in range(max_new_tokens):
        token = next_logits(input_ids, attention_mask).argmax(-1).masked_fill(ended, pad_token_id)
        ended = ended | (token == eos_token_id) | (token == pad_token_id)
        input_ids = torch.cat([input_ids, token[:, None]], dim=1)
        attention_mask = torch.nn.functional.pad(attention_mask, (0, 1), value=1)
        if ended.all():
            break
    return input_ids[:, length:]


@mistake("generate_batch", "You replace `<eos>` itself by the pad token. It stays, as the last token of its row.")
def eos_replaced(next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id) -> Tensor:
    arguments = (next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id)
    new = solution.generate_batch(*arguments)
    return new.masked_fill(new == eos_token_id, pad_token_id)


@mistake("generate_batch", "Rows that have ended repeat `<eos>`. They should get the pad token.")
def eos_repeated(next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id) -> Tensor:
    arguments = (next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id)
    return write(*arguments, lambda token, ended: token.masked_fill(ended, eos_token_id), lambda ended: ended.all())


@mistake("generate_batch", "You return the prompt too. Return the new tokens only.")
def prompt_too(next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id) -> Tensor:
    arguments = (next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id)
    return torch.cat([input_ids, solution.generate_batch(*arguments)], dim=1)


@variant("generate_batch")
def with_a_list(next_logits, input_ids, attention_mask, max_new_tokens, eos_token_id, pad_token_id) -> Tensor:
    steps, open_rows = [], set(range(len(input_ids)))
    while open_rows and len(steps) < max_new_tokens:
        new = torch.stack(steps, dim=1) if steps else input_ids[:, :0]
        ids = torch.cat([input_ids, new], dim=1)
        mask = torch.cat([attention_mask, torch.ones_like(new)], dim=1)
        best = next_logits(ids, mask).argmax(-1).tolist()
        steps.append(torch.tensor([best[row] if row in open_rows else pad_token_id for row in range(len(ids))]))
        open_rows = {row for row in open_rows if best[row] != eos_token_id}
    return torch.stack(steps, dim=1)
