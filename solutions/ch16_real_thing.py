"""Solutions of chapter 16, "What does it take to run the real thing?".

Letters: B rows, T tokens of a row, L layers of the language model, D hidden size, K key/value heads, E head_dim.
"""

from vlm.config import GemmaConfig


def memory_needed(
    config: GemmaConfig, num_parameters: int, bytes_per_number: int, batch_size: int, num_tokens: int
) -> int:
    """Bytes for the weights, and for the keys and values of a batch."""
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    return (num_parameters + per_token * batch_size * num_tokens) * bytes_per_number


def most_tokens_per_second(
    num_parameters: int, num_vision_parameters: int, bytes_per_number: int, cache_bytes: int, bytes_per_second: float
) -> float:
    """The speed that memory allows when one row is written: every byte that a token needs is fetched once."""
    weights = (num_parameters - num_vision_parameters) * bytes_per_number
    return bytes_per_second / (weights + cache_bytes)
