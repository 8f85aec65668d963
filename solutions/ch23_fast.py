"""Solutions of chapter 23, "Making it fast".

Shapes: B batch, A heads, K key/value heads, G = A / K heads that share a key, S new tokens, T all tokens so far,
E head_dim, V vocabulary, R rows, I numbers in, O numbers out.
"""

import torch
from torch import Tensor

import vlm.attention
from vlm.config import GemmaConfig


def tokens_per_second_limit(config: GemmaConfig, bytes_per_weight: float, gigabytes_per_second: float) -> float:
    """Compute how many tokens a second a machine can write at most, one row at a time."""
    heads = 2 * config.num_attention_heads + 2 * config.num_key_value_heads  # of queries, outputs, keys and values
    layer = config.hidden_size * (heads * config.head_dim + 3 * config.intermediate_size)
    weights = config.num_hidden_layers * layer + config.vocab_size * config.hidden_size
    return gigabytes_per_second * 1e9 / (weights * bytes_per_weight)


def attend_grouped(query: Tensor, key: Tensor, value: Tensor, scaling: float, mask: Tensor | None) -> Tensor:
    """Attention in which heads share keys, and no key is copied for them."""
    (batch_size, num_heads, _, head_dim), shared = query.shape, key.shape[1]
    rows = query.reshape(batch_size, shared, -1, head_dim)  # [B, K, G S, E]
    if mask is not None:
        mask = mask.repeat(1, 1, num_heads // shared, 1)  # [B, 1, G S, T]: all new tokens of one head, then the next
    mixed, _ = vlm.attention.attention(rows, key, value, scaling, mask)  # [B, K, G S, E]
    return mixed.reshape(query.shape)


class StaticCache:
    """Keep the keys and values of all layers in memory that never moves, so that a compiled step can write into it."""

    def __init__(self, num_layers: int, batch_size: int, num_key_value_heads: int, max_length: int, head_dim: int):
        shape = (batch_size, num_key_value_heads, max_length, head_dim)
        self.keys = [torch.zeros(shape) for _ in range(num_layers)]
        self.values = [torch.zeros(shape) for _ in range(num_layers)]

    def write(self, layer_idx: int, places: Tensor, key: Tensor, value: Tensor, length: int) -> tuple[Tensor, Tensor]:
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        keys.index_copy_(2, places, key)
        values.index_copy_(2, places, value)
        return keys[:, :, :length], values[:, :, :length]


def next_token(logits: Tensor, ended: Tensor, eos_token_id: int, pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Choose the likeliest token of each row, in a way that can be compiled as one program."""
    token = logits.argmax(dim=-1).masked_fill(ended, pad_token_id)  # [B]
    return token, ended | (token == eos_token_id)


def quantize_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Round numbers to 8 bits, with one scale for each row."""
    scale = values.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12) / 127
    return (values / scale).round().to(torch.int8), scale


def int8_linear(hidden_states: Tensor, weight: Tensor) -> Tensor:
    """Multiply by a matrix in whole numbers: `hidden_states @ weight^T`, nearly."""
    rounded, scale = quantize_rows(hidden_states)  # [R, I], [R, 1]
    rounded_weight, weight_scale = quantize_rows(weight)  # [O, I], [O, 1]
    products = rounded.int() @ rounded_weight.int().T  # int32 [R, O]
    return products * scale * weight_scale.T
