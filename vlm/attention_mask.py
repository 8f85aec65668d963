"""Which token may attend to which: the prefix-LM mask, and the position ids that go with it.

Shapes: B batch, S new tokens, T all tokens so far, the cached ones included.
"""

import torch
from torch import Tensor


def make_prefix_lm_mask(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    """Bidirectional in the prefix; the suffix attends to the prefix, and causally to itself.

    Number the tokens so that each token of the suffix starts a block of its own, and the whole prefix is
    block 0. A query may attend to a key if the key is real (not padding) and its block is not later. For one
    row with a pad (p), two tokens of prefix (a b) and two of suffix (c d):

        token_type_ids  0 0 0 1 1          p a b c d
        block           0 0 0 1 2      p   . x x . .
        attention_mask  0 1 1 1 1      a   . x x . .
                                       b   . x x . .
                                       c   . x x x .
                                       d   . x x x x

    No row is empty: every query, even at a pad, may attend to the prefix.

    Args:
        attention_mask: [B, T], 1 for a real token, 0 for padding; it covers cached and new tokens.
        token_type_ids: [B, S], 0 for the prefix (and padding), 1 for the suffix. Only the new tokens.

    Returns:
        [B, 1, S, T] to add to the attention scores: 0 where a query may attend, the lowest number of `dtype` elsewhere.

    Source: PaliGemma (arXiv 2407.07726), section 3.1 and Figure 2.
    """
    query_blocks = token_type_ids.cumsum(-1)  # [B, S]
    num_cached = attention_mask.shape[1] - token_type_ids.shape[1]
    key_blocks = torch.nn.functional.pad(query_blocks, (num_cached, 0))  # [B, T]: all queries attend to the cache
    visible = (key_blocks[:, None, :] <= query_blocks[:, :, None]) & attention_mask[:, None, :].bool()  # [B, S, T]
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill(~visible, torch.finfo(dtype).min)[:, None]  # [B, 1, S, T]


def limit_to_window(mask: Tensor, token_type_ids: Tensor, sliding_window: int) -> Tensor:
    """Limit how far back the suffix attends; the window includes the token itself.

    The prefix still attends to all of itself, however long it is. With a window of 2, for the row of
    `make_prefix_lm_mask`:

        token_type_ids  0 0 0 1 1          p a b c d
                                       p   . x x . .
                                       a   . x x . .
                                       b   . x x . .
                                       c   . . x x .
                                       d   . . . x x

    Args:
        mask: [B, 1, S, T], from `make_prefix_lm_mask`.
        token_type_ids: [B, S], 0 for the prefix (and padding), 1 for the suffix. Only the new tokens.

    Returns:
        [B, 1, S, T].

    Source: Gemma 2 (arXiv 2408.00118), section 2, and transformers 5.23 for the prefix. big_vision has no window.
    """
    num_new, num_all = mask.shape[-2:]
    keys = torch.arange(num_all, device=mask.device)  # [T]
    queries = keys[-num_new:, None]  # [S, 1]
    is_suffix = token_type_ids.cumsum(-1)[:, None, :, None] > 0  # [B, 1, S, 1]
    return mask.masked_fill((keys <= queries - sliding_window) & is_suffix, torch.finfo(mask.dtype).min)


def make_position_ids(attention_mask: Tensor, num_new: int) -> Tensor:
    """Count the real tokens of each row from 1; left padding gets 1.

    Example: attention_mask [[0, 0, 1, 1, 1]] -> [[1, 1, 1, 2, 3]]. The mask hides the padding, so its position does
    not matter.

    Args:
        attention_mask: [B, T].
        num_new: S, the number of last positions to return.
    """
    return attention_mask.cumsum(-1).clamp(min=1)[:, -num_new:]  # [B, S]
