"""Solutions of chapter 11, "What need not be computed twice?".

Shapes: B batch, K key/value heads, S new tokens, T all tokens so far, D hidden size, E head_dim, V vocabulary.
"""

import torch
from torch import Tensor

import vlm.attention
from vlm import gemma, kv_cache
from vlm.gemma import GemmaAttention
from vlm.paligemma import PaliGemmaForConditionalGeneration


class KVCache:
    """Keep the keys and values of all layers."""

    def __init__(
        self,
        num_layers: int,
        batch_size: int,
        num_key_value_heads: int,
        max_length: int,
        head_dim: int,
        dtype: torch.dtype,
    ):
        shape = (num_layers, batch_size, num_key_value_heads, max_length, head_dim)
        self.keys = torch.zeros(shape, dtype=dtype)
        self.values = torch.zeros(shape, dtype=dtype)
        self.length = 0

    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        end = self.length + key.shape[2]
        if end > self.keys.shape[3]:
            raise ValueError(f"{end} tokens do not fit into {self.keys.shape[3]} places")
        self.keys[layer_idx, :, :, self.length : end] = key
        self.values[layer_idx, :, :, self.length : end] = value
        return self.keys[layer_idx, :, :, :end], self.values[layer_idx, :, :, :end]  # views, not copies

    def advance(self, new: int):
        self.length += new

    def reset(self):
        self.length = 0


def attend(
    attention: GemmaAttention, hidden_states: Tensor, position_ids: Tensor, mask: Tensor, cache: kv_cache.KVCache
) -> Tensor:
    """Attention of the new tokens to all tokens, with a cache."""
    cos, sin = gemma.rotary_cos_sin(position_ids, attention.head_dim, 10000, hidden_states.dtype)
    query = gemma.apply_rotary_pos_emb(attention.split_heads(attention.q_proj(hidden_states)), cos, sin)
    key = gemma.apply_rotary_pos_emb(attention.split_heads(attention.k_proj(hidden_states)), cos, sin)
    value = attention.split_heads(attention.v_proj(hidden_states))  # [B, K, S, E]
    key, value = cache.update(attention.layer_idx, key, value)  # [B, K, T, E], turned when they were new
    key, value = (gemma.repeat_kv(states, attention.num_groups) for states in (key, value))  # [B, A, T, E]
    mixed, _ = vlm.attention.attention(query, key, value, attention.scaling, mask)  # [B, A, S, E]
    return attention.o_proj(mixed.transpose(1, 2).flatten(2))  # [B, S, D]


def generate_cached(
    model: PaliGemmaForConditionalGeneration, input_ids: Tensor, pixel_values: Tensor, max_new_tokens: int
) -> Tensor:
    """Write the likeliest tokens, one after the other, and compute nothing twice."""
    batch_size, length = input_ids.shape
    cache = kv_cache.KVCache(model.config.text_config, batch_size, length + max_new_tokens)
    written = []
    for _ in range(max_new_tokens):
        logits = model(input_ids, pixel_values, kv_cache=cache).logits  # [B, S, V]
        written.append(logits[:, -1].argmax(-1))
        input_ids, pixel_values = written[-1][:, None], None  # the cache knows the rest
    return torch.stack(written, dim=1)
