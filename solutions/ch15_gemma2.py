"""Solutions of chapter 15, "What did PaliGemma 2 change?".

Shapes: B batch, A heads, Q queries, S new tokens, T all tokens so far (the keys), D hidden size, E head_dim.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vlm.config import Gemma2Config


def soft_cap(values: Tensor, cap: float) -> Tensor:
    """Bend numbers smoothly into the range from -cap to cap."""
    return cap * torch.tanh(values / cap)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float, cap: float) -> Tensor:
    """Attention whose scores are soft-capped."""
    scores = soft_cap(query @ key.transpose(-2, -1) * scaling, cap) + mask  # [B, A, Q, T]
    return scores.softmax(-1) @ value


def attention_scaling(config: Gemma2Config) -> float:
    """The factor of the scores: one over the root of `config.query_pre_attn_scalar`."""
    return config.query_pre_attn_scalar**-0.5


def run_block(
    hidden_states: Tensor,
    attention: Callable[[Tensor], Tensor],
    mlp: Callable[[Tensor], Tensor],
    norms: dict[str, Callable[[Tensor], Tensor]],
) -> Tensor:
    """One block of Gemma 2: each of the two steps has a norm on its way in and one on its way out."""
    attended = attention(norms["input_layernorm"](hidden_states))
    hidden_states = hidden_states + norms["post_attention_layernorm"](attended)
    gated = mlp(norms["pre_feedforward_layernorm"](hidden_states))
    return hidden_states + norms["post_feedforward_layernorm"](gated)


def limit_to_window(may_look: Tensor, token_type_ids: Tensor, window: int) -> Tensor:
    """Let the suffix look back only as far as a window; the prefix keeps its full view of itself."""
    num_new, num_all = may_look.shape[1:]
    columns = torch.arange(num_all)
    own_column = columns[-num_new:, None]  # [S, 1]
    is_near = columns > own_column - window  # [S, T]
    return may_look & (is_near | (token_type_ids == 0)[:, :, None])
