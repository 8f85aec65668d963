"""Solutions of chapter 12, "Batched generation".

Shapes: B rows, S tokens in the longest prompt, T tokens so far, V vocabulary size.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def pad_left(rows: list[list[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Make a batch of rows of different lengths by padding on the left."""
    length = max(len(row) for row in rows)
    input_ids = [[pad_token_id] * (length - len(row)) + row for row in rows]
    attention_mask = [[0] * (length - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(input_ids), torch.tensor(attention_mask)


def count_positions(attention_mask: Tensor, num_new: int) -> Tensor:
    """Position ids of the newest tokens: each row counts its own real tokens."""
    return attention_mask.cumsum(-1).clamp(min=1)[:, -num_new:]  # [B, num_new]


def last_real_logits(logits: Tensor, attention_mask: Tensor) -> Tensor:
    """The logits that predict each row's next token: those at its last real token."""
    batch_size, length = attention_mask.shape
    columns = torch.arange(length).expand(batch_size, -1)
    last = columns.masked_fill(attention_mask == 0, -1).max(-1).values  # [B]
    return logits[torch.arange(batch_size), last]


def masked_softmax(scores: Tensor, visible: Tensor) -> Tensor:
    """Softmax over the visible entries of the last axis; hidden entries get weight 0."""
    lowest = torch.finfo(scores.dtype).min
    weights = torch.softmax(scores.masked_fill(~visible, lowest), dim=-1)
    return weights.masked_fill(~visible, 0)  # changes only rows with nothing visible


def generate_batch(
    next_logits: Callable[[Tensor, Tensor], Tensor],
    input_ids: Tensor,
    attention_mask: Tensor,
    max_new_tokens: int,
    eos_token_id: int,
    pad_token_id: int,
) -> Tensor:
    """Greedy decoding of all rows in parallel: each step appends every row's argmax token."""
    length = input_ids.shape[1]
    ended = torch.zeros(len(input_ids), dtype=torch.bool)  # [B]
    for _ in range(max_new_tokens):
        token = next_logits(input_ids, attention_mask).argmax(-1)  # [B]
        token = token.masked_fill(ended, pad_token_id)
        ended = ended | (token == eos_token_id)
        input_ids = torch.cat([input_ids, token[:, None]], dim=1)
        attention_mask = torch.nn.functional.pad(attention_mask, (0, 1), value=1)
        if ended.all():
            break
    return input_ids[:, length:]
