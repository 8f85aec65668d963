"""Solutions of chapter 16, "Running the real PaliGemma".

Letters: B rows, T tokens per row, L layers of the language model, D hidden size, K key/value
heads, E head_dim.
"""

from vlm.config import GemmaConfig


def memory_needed(
    config: GemmaConfig,
    num_parameters: int,
    bytes_per_number: int,
    batch_size: int,
    num_tokens: int,
) -> int:
    """The memory, in bytes, that the weights and the KV cache of a batch take."""
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    return (num_parameters + per_token * batch_size * num_tokens) * bytes_per_number


def max_tokens_per_second(
    num_parameters: int,
    num_vision_parameters: int,
    bytes_per_number: int,
    cache_bytes: int,
    bytes_per_second: float,
) -> float:
    """The upper limit that memory bandwidth sets on decoding, for a batch of one row."""
    weights = (num_parameters - num_vision_parameters) * bytes_per_number
    return bytes_per_second / (weights + cache_bytes)
