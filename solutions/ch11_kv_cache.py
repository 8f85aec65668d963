"""Solutions of chapter 11, "The KV cache".

Shapes: B batch, K key/value heads, S new tokens, T all tokens so far (cached and new), D hidden
size, E head dimension, V vocabulary size.
"""

import torch
from torch import Tensor

import vlm.attention
from vlm import gemma, kv_cache
from vlm.gemma import GemmaAttention
from vlm.paligemma import PaliGemmaForConditionalGeneration


class KVCache:
    """Store the keys and values of all layers in preallocated memory."""

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
            raise ValueError(f"{end} tokens do not fit into a cache for {self.keys.shape[3]}")
        self.keys[layer_idx, :, :, self.length : end] = key
        self.values[layer_idx, :, :, self.length : end] = value
        # Views, not copies.
        return self.keys[layer_idx, :, :, :end], self.values[layer_idx, :, :, :end]

    def advance(self, new: int):
        self.length += new

    def reset(self):
        self.length = 0


def attend(
    attention: GemmaAttention,
    hidden_states: Tensor,
    position_ids: Tensor,
    mask: Tensor,
    cache: kv_cache.KVCache,
) -> Tensor:
    """Compute attention from the new tokens to all tokens, using the KV cache."""
    dtype = hidden_states.dtype
    cos, sin = gemma.rotary_cos_sin(position_ids, attention.head_dim, 10000, dtype)
    query = attention.split_heads(attention.q_proj(hidden_states))  # [B, A, S, E]
    key = attention.split_heads(attention.k_proj(hidden_states))  # [B, K, S, E]
    value = attention.split_heads(attention.v_proj(hidden_states))  # [B, K, S, E]
    query = gemma.apply_rotary_pos_emb(query, cos, sin)
    key = gemma.apply_rotary_pos_emb(key, cos, sin)
    # [B, K, T, E]: the cached keys were rotated when they were new.
    key, value = cache.update(attention.layer_idx, key, value)
    key = gemma.repeat_kv(key, attention.num_groups)  # [B, A, T, E]
    value = gemma.repeat_kv(value, attention.num_groups)  # [B, A, T, E]
    # [B, A, S, E]
    mixed, _ = vlm.attention.attention(query, key, value, attention.scaling, mask)
    return attention.o_proj(mixed.transpose(1, 2).flatten(2))  # [B, S, D]


def generate_cached(
    model: PaliGemmaForConditionalGeneration,
    input_ids: Tensor,
    pixel_values: Tensor,
    max_new_tokens: int,
) -> Tensor:
    """Generate the most likely tokens one by one, and compute nothing twice."""
    batch_size, length = input_ids.shape
    cache = kv_cache.KVCache(model.config.text_config, batch_size, length + max_new_tokens)
    new_tokens = []
    for _ in range(max_new_tokens):
        logits = model(input_ids, pixel_values, kv_cache=cache).logits  # [B, S, V]
        new_tokens.append(logits[:, -1].argmax(-1))
        input_ids, pixel_values = new_tokens[-1][:, None], None  # the rest is in the cache
    return torch.stack(new_tokens, dim=1)
