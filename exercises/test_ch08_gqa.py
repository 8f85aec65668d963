"""Test cases for exercises/ch08_gqa.py; the correct answers come from solutions/ch08_gqa.py."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from grader import Case, Exercise, Random
from grader.modules import load_weights, random_weights
from vlm import gemma
from vlm.config import GemmaConfig

# (B, S, A, K, E, D): A * E is not always D
SIZES = [(2, 5, 4, 2, 6, 16), (1, 4, 6, 2, 4, 10), (2, 3, 2, 1, 4, 8), (1, 3, 3, 3, 2, 6)]
FINISHED_ATTENTION = (
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.MultiheadAttention",
    "vlm.attention.attention",
    "vlm.gemma.attention",
)


def keys_and_groups(random: Random) -> Iterator[Case]:
    for batch, length, heads, key_value_heads, head_dim, _ in SIZES:
        yield {
            "states": random.normal(batch, key_value_heads, length, head_dim),
            "num_groups": heads // key_value_heads,
        }
    yield {"states": torch.empty(2, 2, 3, 4, device="meta"), "num_groups": 2}


def random_mask(random: Random, batch: int, queries: int, keys: int) -> Tensor:
    """A random boolean mask, in which every query may attend to at least one key."""
    may_attend = random.uniform(batch, 1, queries, keys) < 0.6
    may_attend[..., 0] |= ~may_attend.any(-1)
    return may_attend


def boolean_masks(random: Random) -> Iterator[Case]:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        yield {"may_attend": random_mask(random, 2, 4, 6), "dtype": dtype}
        nowhere = random_mask(random, 1, 3, 5)
        nowhere[0, 0, 1] = False
        yield {"may_attend": nowhere, "dtype": dtype}


def call_additive_mask(submission, case: Case) -> dict:
    """The weights that a softmax gives with the mask, since many masks are right."""
    may_attend, dtype = case["may_attend"], case["dtype"]
    mask = submission.additive_mask(may_attend, dtype)
    scores = torch.linspace(-3, 3, mask.numel()).reshape(mask.shape).to(dtype)
    tempting = scores.masked_fill(~may_attend, 300)  # the highest scores are where a query may not attend
    weights, tempted = (torch.softmax((each + mask).float(), dim=-1) for each in (scores, tempting))
    return {
        "the mask": torch.zeros_like(mask),  # its shape and dtype
        "all numbers are finite": bool(mask.isfinite().all()),
        "nan after the softmax": bool(weights.isnan().any()),
        "weights where a query may attend": torch.where(may_attend, weights, 0),
        "the same, with scores of 300 where it may not": torch.where(may_attend, tempted, 0),
    }


def make_tensors(random: Random, dtype: torch.dtype, sizes: tuple[int, ...], scale: float = 1.0) -> Case:
    batch, heads, queries, keys, head_dim = sizes
    mask = -random.uniform(batch, 1, queries, keys).to(dtype)  # a mask may also lower a score without masking it
    mask = mask.masked_fill(~random_mask(random, batch, queries, keys), torch.finfo(dtype).min)
    return {
        "query": random.normal(batch, heads, queries, head_dim, scale=scale).to(dtype),
        "key": random.normal(batch, heads, keys, head_dim, scale=scale).to(dtype),
        "value": random.normal(batch, heads, keys, head_dim).to(dtype),
        "mask": mask,
        "scaling": 0.2 + random.integer(1, 9) / 10,
    }


def queries_keys_values(random: Random) -> Iterator[Case]:
    yield make_tensors(random, torch.float32, (2, 2, 4, 6, 8))
    yield make_tensors(random, torch.float32, (1, 3, 1, 5, 4))
    yield make_tensors(random, torch.float32, (1, 2, 3, 7, 4), scale=20.0)  # exp alone would overflow
    yield make_tensors(random, torch.bfloat16, (1, 2, 3, 7, 4))


def close_enough(answer: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> bool:
    """In bfloat16, an answer computed with more precision must pass too."""
    tolerance = 2e-2 if expected[0].dtype == torch.bfloat16 else 1e-5
    return all(
        torch.allclose(part.float(), other.float(), rtol=tolerance, atol=tolerance)
        for part, other in zip(answer, expected, strict=True)
    )


def make_config(heads: int, key_value_heads: int, head_dim: int, hidden_size: int, layers: int = 1) -> GemmaConfig:
    return GemmaConfig(
        hidden_size=hidden_size,
        intermediate_size=4,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        vocab_size=10,
        head_dim=head_dim,
    )


def attention_layers(random: Random) -> Iterator[Case]:
    for batch, length, heads, key_value_heads, head_dim, hidden_size in SIZES:
        config = make_config(heads, key_value_heads, head_dim, hidden_size)
        position_ids = torch.arange(1, length + 1).expand(batch, length)
        cos, sin = gemma.rotary_cos_sin(position_ids, head_dim, 100.0, torch.float32)
        may_attend = random_mask(random, batch, length, length)
        yield {
            "config": config,
            "weights": random_weights(gemma.GemmaAttention(config, layer_idx=0), random),
            "hidden_states": random.normal(batch, length, hidden_size),
            "cos": cos,
            "sin": sin,
            "mask": (-random.uniform(*may_attend.shape)).masked_fill(~may_attend, torch.finfo(torch.float32).min),
        }


def call_attention(submission, case: Case) -> tuple[Tensor, Tensor]:
    attention = submission.GemmaAttention(case["config"])
    load_weights(attention, case["weights"])
    with torch.no_grad():
        return attention(case["hidden_states"], case["cos"], case["sin"], case["mask"])


def caches(random: Random) -> Iterator[Case]:
    for (_, length, heads, key_value_heads, head_dim, hidden_size), bytes_per_number in zip(SIZES, (4, 1, 2, 4)):
        yield {
            "config": make_config(heads, key_value_heads, head_dim, hidden_size, random.integer(2, 20)),
            "batch_size": random.integer(2, 9),
            "length": length * random.integer(10, 99),
            "bytes_per_number": bytes_per_number,
        }


EXERCISES = [
    Exercise(
        "repeat_kv",
        "Repeat key/value heads",
        keys_and_groups,
        forbidden=("vlm.gemma.repeat_kv",),
        section="Sharing key/value heads",
    ),
    Exercise(
        "additive_mask",
        "From a boolean to an additive mask",
        boolean_masks,
        call=call_additive_mask,
        forbidden=("vlm.attention_mask.make_prefix_lm_mask",),
        section="Masking: the additive attention mask",
    ),
    Exercise(
        "attend",
        "Masked attention",
        queries_keys_values,
        points=2,
        forbidden=FINISHED_ATTENTION,
        equal=close_enough,
        section="Masking: the additive attention mask",
    ),
    Exercise(
        "GemmaAttention",
        "The attention layer",
        attention_layers,
        points=3,
        call=call_attention,
        forbidden=(*FINISHED_ATTENTION[:2], "vlm.gemma.GemmaAttention"),
        section="Gemma's attention layer",
    ),
    Exercise("cache_bytes", "The size of the KV cache", caches, section="What sharing saves: the size of the KV cache"),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
