"""Exercises of chapter 11, "The KV cache". Grade: pytest exercises/test_ch11_kv_cache.py

Shapes: B batch, K key/value heads, S new tokens, T all tokens so far (cached and new), D hidden
size, E head dimension, V vocabulary size.
"""

import torch
from torch import Tensor

from vlm import kv_cache
from vlm.gemma import GemmaAttention
from vlm.paligemma import PaliGemmaForConditionalGeneration


class KVCache:
    """Store the keys and values of all layers in preallocated memory.

    `__init__` allocates memory for `max_length` tokens. After that, `update` writes in place
    and returns views, and `reset` allocates nothing. The grader measures allocations. (In
    `update`, a temporary copy of the new keys and values is allowed.)

    A forward pass calls `update` once in each layer, with the same number of new tokens, and
    `advance` once, after the last layer. So within one pass, all layers write to the same
    slots: the ones after the tokens of earlier passes.

    Example with max_length 6: a pass over 3 tokens writes slots 0, 1, 2 of every layer; a pass
    over one more token writes slot 3.
    """

    def __init__(
        self,
        num_layers: int,
        batch_size: int,
        num_key_value_heads: int,
        max_length: int,
        head_dim: int,
        dtype: torch.dtype,
    ):
        """Allocate the memory, in the given dtype. The cache is empty."""
        raise NotImplementedError

    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write the keys and values of the new tokens of one layer after the cached ones.

        Args:
            layer_idx: the layer, from 0.
            key, value: [B, K, S, E], of the new tokens.

        Returns:
            All keys and all values of that layer so far, including the new ones: two tensors
            [B, K, T, E].

        Raises:
            ValueError: the cached and the new tokens together are more than max_length. Nothing
                is written.
        """
        raise NotImplementedError

    def advance(self, new: int):
        """Add `new` to the number of cached tokens, at the end of a forward pass."""
        raise NotImplementedError

    def reset(self):
        """Empty the cache for other sequences, without allocating memory."""
        raise NotImplementedError


def attend(
    attention: GemmaAttention,
    hidden_states: Tensor,
    position_ids: Tensor,
    mask: Tensor,
    cache: kv_cache.KVCache,
) -> Tensor:
    """Compute attention from the new tokens to all tokens, using the KV cache.

    You may use `rotary_cos_sin(position_ids, head_dim, theta, dtype)`,
    `apply_rotary_pos_emb(states, cos, sin)` and `repeat_kv(states, num_groups)` of `vlm.gemma`,
    and `vlm.attention.attention(query, key, value, scaling, mask)`, which returns the weighted
    sums of the values and the weights. theta is 10000.

    Args:
        attention: the layer, with `q_proj`, `k_proj`, `v_proj`, `o_proj`, `head_dim`,
            `num_groups`, `scaling`, `layer_idx`, and `split_heads`, which takes
            [B, S, heads * E] to [B, heads, S, E].
        hidden_states: [B, S, D], of the new tokens.
        position_ids: [B, S], of the new tokens.
        mask: [B, 1, S, T], added to the attention scores.
        cache: the package's KV cache. Call `cache.update(layer_idx, key, value)`, but not
            `cache.advance`: the model calls that after the last layer.

    Returns:
        The output of the layer for the new tokens, [B, S, D].
    """
    raise NotImplementedError


def generate_cached(
    model: PaliGemmaForConditionalGeneration,
    input_ids: Tensor,
    pixel_values: Tensor,
    max_new_tokens: int,
) -> Tensor:
    """Generate the most likely tokens one by one, and compute nothing twice.

    The first pass (prefill) processes the image and the prompt. Each further pass (decode)
    processes one token, the newest. Generate exactly `max_new_tokens` tokens, and do not stop
    at `<eos>`. The last generated token is not processed, so there are `max_new_tokens` passes.
    There is no padding.

    `model(input_ids, pixel_values, kv_cache=cache)` returns an output with `.logits`,
    [B, S, V]. Pass None as `pixel_values` after the first pass. The model derives the positions
    and the mask from the cache, and advances it. Create the cache with
    `vlm.kv_cache.KVCache(model.config.text_config, batch_size, max_length)`.

    Args:
        model: the model.
        input_ids: [B, S], image tokens and prompt.
        pixel_values: [B, C, H, W], one image for each row.
        max_new_tokens: the number of tokens to generate, at least 1.

    Returns:
        The new tokens, int64 [B, max_new_tokens].
    """
    raise NotImplementedError
