"""Wide cases for chapter 16, sizes and speeds of the real models."""

from collections.abc import Iterator

from grader.exercise import Case, Random
from tools.holes.wide import Wide
from vlm.config import GemmaConfig


def models(random: Random) -> Iterator[Case]:
    for layers, heads, key_value_heads, head_dim, hidden_size in [
        (1, 1, 1, 2, 1),
        (18, 8, 1, 256, 2048),
        (26, 8, 4, 256, 2304),
        (3, 6, 6, 4, 100),
    ]:
        for num_parameters, size, batch_size, num_tokens in [(0, 2, 1, 1), (3_000_000_000, 4, 1, 300), (1, 8, 64, 0)]:
            yield {
                "config": GemmaConfig(
                    hidden_size=hidden_size,
                    intermediate_size=7,
                    num_hidden_layers=layers,
                    num_attention_heads=heads,
                    num_key_value_heads=key_value_heads,
                    vocab_size=11,
                    head_dim=head_dim,
                ),
                "num_parameters": num_parameters,
                "bytes_per_number": size,
                "batch_size": batch_size,
                "num_tokens": num_tokens,
            }


def machines(random: Random) -> Iterator[Case]:
    for num_parameters, num_vision_parameters in [(10, 0), (3_000_000_000, 400_000_000), (7, 6)]:
        for size in (1, 2, 4, 8):
            for cache_bytes in (0, 1, 10**9):
                for speed in (1.0, 5e10, 3.35e12, 7):
                    yield {
                        "num_parameters": num_parameters,
                        "num_vision_parameters": num_vision_parameters,
                        "bytes_per_number": size,
                        "cache_bytes": cache_bytes,
                        "bytes_per_second": speed,
                    }


WIDE = [Wide("memory_needed", models), Wide("most_tokens_per_second", machines)]
