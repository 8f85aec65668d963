"""Solutions of chapter 23, "Fast inference".

Shapes: B batch, A query heads, K key/value heads, G = A / K query heads per key/value head,
S new tokens, T tokens so far, E head_dim, V vocabulary size, R rows, I input size, O output
size.
"""

import torch
from torch import Tensor

import vlm.attention
from vlm.config import GemmaConfig


def tokens_per_second_limit(
    config: GemmaConfig,
    bytes_per_weight: float,
    gigabytes_per_second: float,
) -> float:
    """The limit that memory bandwidth sets on decoding one row, in tokens per second."""
    # Queries and outputs have A heads each, keys and values K heads each.
    heads = 2 * config.num_attention_heads + 2 * config.num_key_value_heads
    layer = config.hidden_size * (heads * config.head_dim + 3 * config.intermediate_size)
    weights = config.num_hidden_layers * layer + config.vocab_size * config.hidden_size
    return gigabytes_per_second * 1e9 / (weights * bytes_per_weight)


def attend_grouped(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float,
    mask: Tensor | None,
) -> Tensor:
    """Grouped-query attention without copying keys or values for the heads that share them."""
    (batch_size, num_heads, _, head_dim), num_kv_heads = query.shape, key.shape[1]
    rows = query.reshape(batch_size, num_kv_heads, -1, head_dim)  # [B, K, G S, E]
    if mask is not None:
        # [B, 1, G S, T]: all new tokens of one head, then those of the next
        mask = mask.repeat(1, 1, num_heads // num_kv_heads, 1)
    attended, _ = vlm.attention.attention(rows, key, value, scaling, mask)  # [B, K, G S, E]
    return attended.reshape(query.shape)


class StaticCache:
    """A preallocated KV cache that never moves in memory, so a compiled step can use it."""

    def __init__(
        self,
        num_layers: int,
        batch_size: int,
        num_key_value_heads: int,
        max_length: int,
        head_dim: int,
    ):
        shape = (batch_size, num_key_value_heads, max_length, head_dim)
        self.keys = [torch.zeros(shape) for _ in range(num_layers)]
        self.values = [torch.zeros(shape) for _ in range(num_layers)]

    def write(
        self,
        layer_idx: int,
        slots: Tensor,
        key: Tensor,
        value: Tensor,
        length: int,
    ) -> tuple[Tensor, Tensor]:
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        keys.index_copy_(2, slots, key)
        values.index_copy_(2, slots, value)
        return keys[:, :, :length], values[:, :, :length]


def next_token(
    logits: Tensor,
    ended: Tensor,
    eos_token_id: int,
    pad_token_id: int,
) -> tuple[Tensor, Tensor]:
    """Greedy choice of the next token of each row, without a graph break if compiled."""
    token = logits.argmax(dim=-1).masked_fill(ended, pad_token_id)  # [B]
    return token, ended | (token == eos_token_id)


def quantize_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Quantize a matrix to int8, with one scale per row."""
    scale = values.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12) / 127
    return (values / scale).round().to(torch.int8), scale


def int8_linear(hidden_states: Tensor, weight: Tensor) -> Tensor:
    """Multiply by a matrix in integers: approximately `hidden_states @ weight.T`."""
    rounded, scale = quantize_rows(hidden_states)  # [R, I], [R, 1]
    rounded_weight, weight_scale = quantize_rows(weight)  # [O, I], [O, 1]
    products = rounded.int() @ rounded_weight.int().T  # int32 [R, O]
    return products * scale * weight_scale.T
