"""Exercises of chapter 16, "Running the real PaliGemma".

Grade them with: pytest exercises/test_ch16_real_thing.py

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
    """The memory, in bytes, that the weights and the KV cache of a batch take.

    Each of the L layers caches a key and a value, of K * E numbers each, for every token of
    every row.

    Args:
        config: of the language model: num_hidden_layers (L), num_key_value_heads (K), head_dim
            (E).
        num_parameters: of the whole model; a tied head is counted once.
        bytes_per_number: of weights and cache alike: 4 for float32, 2 for bfloat16.
        batch_size: B.
        num_tokens: T, the tokens of the image, the prompt and the answer together.
    """
    raise NotImplementedError


def max_tokens_per_second(
    num_parameters: int,
    num_vision_parameters: int,
    bytes_per_number: int,
    cache_bytes: int,
    bytes_per_second: float,
) -> float:
    """The upper limit that memory bandwidth sets on decoding, for a batch of one row.

    For each new token, every byte that the language model needs is read from memory once: its
    weights, including the head (which is tied to the embedding and so counted once), and all
    cached keys and values. The vision tower and the projector are not read; they ran during the
    prefill.

    Args:
        num_parameters: of the whole model.
        num_vision_parameters: of the tower and the projector; they are part of num_parameters.
        bytes_per_number: the size of a weight.
        cache_bytes: the size of all cached keys and values.
        bytes_per_second: the memory bandwidth.

    Returns:
        Tokens per second, not rounded.
    """
    raise NotImplementedError
