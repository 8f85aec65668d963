"""Solutions of chapter 12, "How do you answer many questions at once?".

Shapes: B rows, S tokens of the longest row, T all tokens so far, V vocabulary.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def pad_left(rows: list[list[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Make a batch of rows of different lengths: padding in front, so that all rows end in the last column."""
    length = max(len(row) for row in rows)
    input_ids = [[pad_token_id] * (length - len(row)) + row for row in rows]
    attention_mask = [[0] * (length - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(input_ids), torch.tensor(attention_mask)


def count_positions(attention_mask: Tensor, num_new: int) -> Tensor:
    """Positions of the newest tokens: the real tokens of each row are counted."""
    return attention_mask.cumsum(-1).clamp(min=1)[:, -num_new:]  # [B, num_new]


def last_real_logits(logits: Tensor, attention_mask: Tensor) -> Tensor:
    """The scores from which the next token of each row is chosen: those at its last real token."""
    batch_size, length = attention_mask.shape
    columns = torch.arange(length).expand(batch_size, -1)
    last = columns.masked_fill(attention_mask == 0, -1).max(-1).values  # [B]
    return logits[torch.arange(batch_size), last]


def masked_softmax(scores: Tensor, visible: Tensor) -> Tensor:
    """Softmax over what is visible; the rest gets the weight 0."""
    lowest = torch.finfo(scores.dtype).min
    weights = torch.softmax(scores.masked_fill(~visible, lowest), dim=-1)
    return weights.masked_fill(~visible, 0)  # only a row of which nothing is visible has anything to lose here


def generate_batch(
    next_logits: Callable[[Tensor, Tensor], Tensor],
    input_ids: Tensor,
    attention_mask: Tensor,
    max_new_tokens: int,
    eos_token_id: int,
    pad_token_id: int,
) -> Tensor:
    """Write the likeliest tokens of all rows, side by side."""
    length = input_ids.shape[1]
    ended = torch.zeros(len(input_ids), dtype=torch.bool)  # [B]
    for _ in range(max_new_tokens):
        token = next_logits(input_ids, attention_mask).argmax(-1).masked_fill(ended, pad_token_id)  # [B]
        ended = ended | (token == eos_token_id)
        input_ids = torch.cat([input_ids, token[:, None]], dim=1)
        attention_mask = torch.nn.functional.pad(attention_mask, (0, 1), value=1)
        if ended.all():
            break
    return input_ids[:, length:]
