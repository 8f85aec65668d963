"""The KV cache: stores the keys and values of earlier tokens, so that a step processes only the new token.

Shapes: B batch, K key/value heads, E head_dim.
"""

import torch
from torch import Tensor

from vlm.config import GemmaConfig


class KVCache:
    """Keys and values of `max_length` tokens per layer, in preallocated buffers.

    All layers write to the same slots during one forward pass, so the length grows only when the pass is
    over: `GemmaModel` calls `advance` after its last layer.

    Args:
        config: of the language model.
        batch_size: rows B.
        max_length: the maximum number of tokens of a row: image, prompt, answer and padding together.
    """

    def __init__(
        self,
        config: GemmaConfig,
        batch_size: int,
        max_length: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        shape = (batch_size, config.num_key_value_heads, max_length, config.head_dim)
        layers = range(config.num_hidden_layers)
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in layers]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in layers]
        self.max_length = max_length
        self.length = 0

    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append the new keys and values [B, K, new, E] of one layer.

        Returns:
            All keys and all values of that layer so far, [B, K, length + new, E]: views, not copies.

        Raises:
            ValueError: the tokens don't fit, or the cache was made for another batch size.
        """
        batch_size, new = key.shape[0], key.shape[2]
        end = self.length + new
        keys, values = self.keys[layer_idx], self.values[layer_idx]  # [B, K, max_length, E]
        if batch_size != keys.shape[0]:
            raise ValueError(f"the cache was made for a batch of {keys.shape[0]}: got {batch_size} rows")
        if end > self.max_length:
            raise ValueError(
                f"the cache holds {self.max_length} tokens: {self.length} are in it and {new} more do not fit; "
                "make it with a larger max_length"
            )
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]

    def advance(self, new: int):
        """Add the new tokens to the length, once all layers have written them."""
        self.length += new

    def reset(self):
        """Empty the cache, so that other sequences can use it.

        Nothing is erased, because nothing reads past `length`.
        """
        self.length = 0
