"""Solutions of chapter 8, "Grouped-query attention".

Shapes: B batch, Q query positions, S key positions, D hidden size, A query heads, K key/value
heads, E head dimension.
"""

import torch
from torch import Tensor, nn

from vlm.config import GemmaConfig
from vlm.gemma import apply_rotary_pos_emb


def repeat_kv(states: Tensor, num_groups: int) -> Tensor:
    """Give each query head a copy of its key/value head; consecutive query heads share one."""
    return states.repeat_interleave(num_groups, dim=1)  # [B, A, S, E]


def additive_mask(may_attend: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert a boolean mask to numbers that are added to the scores before the softmax."""
    zeros = torch.zeros(may_attend.shape, dtype=dtype, device=may_attend.device)
    return zeros.masked_fill(~may_attend, torch.finfo(dtype).min)  # [B, 1, Q, S]


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    scaling: float,
) -> tuple[Tensor, Tensor]:
    """Compute masked attention, with the softmax in float32 whatever the dtype of the model."""
    scores = query @ key.transpose(-2, -1) * scaling + mask  # [B, A, Q, S]
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return weights @ value, weights  # [B, A, Q, E], [B, A, Q, S]


class GemmaAttention(nn.Module):
    """Grouped-query attention with rotary position embeddings."""

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

    def forward(
        self,
        hidden_states: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        query = self.split_heads(self.q_proj(hidden_states))  # [B, A, S, E]
        key = self.split_heads(self.k_proj(hidden_states))  # [B, K, S, E]
        value = self.split_heads(self.v_proj(hidden_states))  # [B, K, S, E]
        query, key = apply_rotary_pos_emb(query, cos, sin), apply_rotary_pos_emb(key, cos, sin)
        key = repeat_kv(key, self.num_groups)  # [B, A, S, E]
        value = repeat_kv(value, self.num_groups)  # [B, A, S, E]
        # [B, A, S, E], [B, A, S, S]
        mixed, weights = attend(query, key, value, mask, self.head_dim**-0.5)
        merged = mixed.transpose(1, 2).flatten(2)  # [B, S, A * E]
        return self.o_proj(merged), weights  # [B, S, D], [B, A, S, S]

    def split_heads(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # [B, heads, S, E]


def cache_bytes(
    config: GemmaConfig,
    batch_size: int,
    length: int,
    bytes_per_number: int,
) -> int:
    """Compute the size of a KV cache in bytes."""
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    return batch_size * length * per_token * bytes_per_number
