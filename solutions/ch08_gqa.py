"""Solutions of chapter 8, "Why do several queries share a key?".

Shapes: B batch, Q queries, S keys, D hidden size, A query heads, K key/value heads, E head_dim.
"""

import torch
from torch import Tensor, nn

from vlm.config import GemmaConfig
from vlm.gemma import apply_rotary_pos_emb


def repeat_kv(states: Tensor, num_groups: int) -> Tensor:
    """Give each query head the key/value head that it uses. Neighbouring query heads share one."""
    return states.repeat_interleave(num_groups, dim=1)  # [B, A, S, E]


def additive_mask(may_look: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn "may look" into numbers that are added to the scores before the softmax."""
    zeros = torch.zeros(may_look.shape, dtype=dtype, device=may_look.device)
    return zeros.masked_fill(~may_look, torch.finfo(dtype).min)  # [B, 1, Q, S]


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    """Attention with a mask, for a model in any dtype."""
    scores = query @ key.transpose(-2, -1) * scaling + mask  # [B, A, Q, S]
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return weights @ value, weights  # [B, A, Q, E], [B, A, Q, S]


class GemmaAttention(nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, config: GemmaConfig):
        super().__init__()
        self.head_dim = config.head_dim
        self.num_groups = config.num_attention_heads // config.num_key_value_heads
        query_size = config.num_attention_heads * config.head_dim
        key_value_size = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, query_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, key_value_size, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, key_value_size, bias=False)
        self.o_proj = nn.Linear(query_size, config.hidden_size, bias=False)

    def forward(self, hidden_states: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        query = apply_rotary_pos_emb(self.split_heads(self.q_proj(hidden_states)), cos, sin)  # [B, A, S, E]
        key = apply_rotary_pos_emb(self.split_heads(self.k_proj(hidden_states)), cos, sin)  # [B, K, S, E]
        value = self.split_heads(self.v_proj(hidden_states))  # [B, K, S, E]
        key, value = repeat_kv(key, self.num_groups), repeat_kv(value, self.num_groups)  # [B, A, S, E]
        mixed, weights = attend(query, key, value, mask, self.head_dim**-0.5)  # [B, A, S, E], [B, A, S, S]
        return self.o_proj(mixed.transpose(1, 2).flatten(2)), weights  # [B, S, D], [B, A, S, S]

    def split_heads(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # [B, heads, S, E]


def cache_bytes(config: GemmaConfig, batch_size: int, length: int, bytes_per_number: int) -> int:
    """How much memory the keys and values of a text take, in bytes."""
    numbers = 2 * config.num_hidden_layers * batch_size * config.num_key_value_heads * length * config.head_dim
    return numbers * bytes_per_number
