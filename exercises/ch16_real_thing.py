"""Exercises of chapter 16, "What does it take to run the real thing?".

Grade them with: pytest exercises/test_ch16_real_thing.py

Letters: B rows, T tokens of a row, L layers of the language model, D hidden size, K key/value heads, E head_dim.
"""

from vlm.config import GemmaConfig


def memory_needed(
    config: GemmaConfig, num_parameters: int, bytes_per_number: int, batch_size: int, num_tokens: int
) -> int:
    """Bytes for the weights, and for the keys and values of a batch.

    Each of the L layers keeps a key and a value, K * E numbers each, for each token of each row.

    Args:
        config: of the language model.
        num_parameters: of the whole model; a tied head is counted once.
        bytes_per_number: 4 for float32, 2 for bfloat16, of weights and cache alike.
        batch_size: B.
        num_tokens: T, picture, prompt and answer together.
    """
    raise NotImplementedError


def most_tokens_per_second(
    num_parameters: int, num_vision_parameters: int, bytes_per_number: int, cache_bytes: int, bytes_per_second: float
) -> float:
    """The speed that memory allows when one row is written: every byte that a token needs is fetched once.

    What a token needs: the weights of the language model, its head among them (which is the embedding, tied and so
    counted once), and the keys and values so far. The tower and the projector have done their work before.

    Args:
        num_parameters: of the whole model.
        num_vision_parameters: of the tower and the projector, which are part of it.
        bytes_per_number: of a weight.
        cache_bytes: of all keys and values so far.
        bytes_per_second: that the machine can fetch.

    Returns:
        Tokens for each second.
    """
    raise NotImplementedError
