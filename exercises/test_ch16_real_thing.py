"""Checks of exercises/ch16_real_thing.py: test cases for each exercise. The solutions define what is right."""

from collections.abc import Iterator

import pytest

from grader import Case, Exercise, Random
from vlm.config import GemmaConfig


def models(random: Random) -> Iterator[Case]:
    for heads, key_value_heads, head_dim, hidden_size, size in (
        (8, 1, 32, 48, 4),
        (6, 3, 10, 36, 1),
        (4, 2, 12, 20, 2),
    ):
        yield {
            "config": GemmaConfig(
                hidden_size=hidden_size,
                intermediate_size=random.integer(20, 90),
                num_hidden_layers=random.integer(3, 12),
                num_attention_heads=heads,
                num_key_value_heads=key_value_heads,
                vocab_size=100,
                head_dim=head_dim,
            ),
            "num_parameters": random.integer(10_000, 90_000),
            "bytes_per_number": size,
            "batch_size": random.integer(2, 9),
            "num_tokens": random.integer(100, 900),
        }


def machines(random: Random) -> Iterator[Case]:
    for size in (2, 4, 2):
        num_parameters = random.integer(2_000_000, 9_000_000)
        yield {
            "num_parameters": num_parameters,
            "num_vision_parameters": num_parameters // random.integer(4, 9),
            "bytes_per_number": size,
            "cache_bytes": random.integer(100_000, 900_000),
            "bytes_per_second": 1e9 * random.integer(10, 99),
        }


EXERCISES = [
    Exercise("memory_needed", "Memory for weights and KV cache", models, section="Memory: weights and KV cache"),
    Exercise(
        "max_tokens_per_second",
        "The bandwidth limit of decoding",
        machines,
        points=2,
        section="Speed: decoding is memory-bound",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
