"""Exercises of chapter 11, "What need not be computed twice?".

Grade them with: pytest exercises/test_ch11_kv_cache.py

Shapes: B batch, K key/value heads, S new tokens, T all tokens so far, D hidden size, E head_dim, V vocabulary.
"""

import torch
from torch import Tensor

from vlm import kv_cache
from vlm.gemma import GemmaAttention
from vlm.paligemma import PaliGemmaForConditionalGeneration


class KVCache:
    """Keep the keys and values of all layers.

    All memory is asked for in `__init__`, for `max_length` tokens; after that only numbers are written into it. The
    grader counts.

    A forward pass calls `update` once in each layer, with the same number of new tokens, and `advance` after the last
    layer. So in one pass all layers write at the same place: behind the tokens that earlier passes wrote.

    Example: max_length 6. A pass over 3 tokens writes places 0, 1, 2 of every layer, a pass over one token place 3.
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
        """Set memory aside. Nothing is in the cache yet."""
        raise NotImplementedError

    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new keys and values of one layer behind the old ones.

        Args:
            key, value: [B, K, S, E].

        Returns:
            All keys and all values of that layer so far, the new ones included: two tensors [B, K, T, E].

        Raises:
            ValueError: the new tokens do not fit into max_length. Nothing is written then.
        """
        raise NotImplementedError

    def advance(self, new: int):
        """Count the new tokens of a pass, when all layers have written them."""
        raise NotImplementedError

    def reset(self):
        """Forget everything, so that other sequences can be read. No memory is asked for."""
        raise NotImplementedError


def attend(
    attention: GemmaAttention, hidden_states: Tensor, position_ids: Tensor, mask: Tensor, cache: kv_cache.KVCache
) -> Tensor:
    """Attention of the new tokens to all tokens, with a cache.

    You may use `rotary_cos_sin(position_ids, head_dim, theta, dtype)`, `apply_rotary_pos_emb` and `repeat_kv` of
    `vlm.gemma`, and `vlm.attention.attention(query, key, value, scaling, mask)`, which gives the mixed values and the
    weights. theta is 10000. The module has `q_proj`, `k_proj`, `v_proj`, `o_proj`, `head_dim`, `num_groups`, `scaling`,
    `layer_idx` and `split_heads`.

    Args:
        attention: the weights.
        hidden_states: of the new tokens, [B, S, D].
        position_ids: of the new tokens, [B, S].
        mask: [B, 1, S, T], added to the scores.
        cache: the package's. `cache.update(layer_idx, key, value)` is yours to call, `cache.advance` is not.

    Returns:
        [B, S, D].
    """
    raise NotImplementedError


def generate_cached(
    model: PaliGemmaForConditionalGeneration, input_ids: Tensor, pixel_values: Tensor, max_new_tokens: int
) -> Tensor:
    """Write the likeliest tokens, one after the other, and compute nothing twice.

    The first pass reads the prompt with its picture. Each further pass reads one token: the one just written. Exactly
    `max_new_tokens` tokens are written, whatever they are. There is no padding.

    `model(input_ids, pixel_values, kv_cache=cache)` gives an output with `.logits`, [B, S, V]. It takes the positions
    and the mask from what is in the cache. `vlm.kv_cache.KVCache(model.config.text_config, batch_size, max_length)`
    makes one.

    Args:
        input_ids: picture and prompt, [B, S].
        pixel_values: [B, C, H, W].

    Returns:
        The new tokens, [B, max_new_tokens].
    """
    raise NotImplementedError
