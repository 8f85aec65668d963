"""Solutions of chapter 15, "PaliGemma 2, as a diff".

Shapes: B batch, A heads, Q queries, S new tokens, T tokens so far (the keys), D hidden size,
E head_dim.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vlm.config import Gemma2Config


def soft_cap(values: Tensor, cap: float) -> Tensor:
    """Soft-capping: squash values smoothly into the range from -cap to cap."""
    return cap * torch.tanh(values / cap)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    scaling: float,
    cap: float,
) -> Tensor:
    """Attention with soft-capped scores."""
    scores = soft_cap(query @ key.transpose(-2, -1) * scaling, cap) + mask  # [B, A, Q, T]
    return scores.softmax(-1) @ value


def attention_scaling(config: Gemma2Config) -> float:
    """The factor of the attention scores: 1 / sqrt(config.query_pre_attn_scalar)."""
    return config.query_pre_attn_scalar**-0.5


def run_block(
    hidden_states: Tensor,
    attention: Callable[[Tensor], Tensor],
    mlp: Callable[[Tensor], Tensor],
    norms: dict[str, Callable[[Tensor], Tensor]],
) -> Tensor:
    """One transformer block of Gemma 2, with a norm before and a norm after each sublayer."""
    attended = attention(norms["input_layernorm"](hidden_states))
    hidden_states = hidden_states + norms["post_attention_layernorm"](attended)
    gated = mlp(norms["pre_feedforward_layernorm"](hidden_states))
    return hidden_states + norms["post_feedforward_layernorm"](gated)


def limit_to_window(may_attend: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    """Sliding-window attention for the suffix; the prefix still attends to itself in full."""
    num_new, num_all = may_attend.shape[1:]
    columns = torch.arange(num_all)
    own_column = columns[-num_new:, None]  # [S, 1]
    is_near = columns > own_column - window  # [S, T]
    return may_attend & (is_near | (token_type_ids == 0)[:, :, None])
