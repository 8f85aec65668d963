"""Test cases for exercises/ch03_attention.py; the correct answers come from solutions/ch03_attention.py."""

from collections.abc import Iterator

import pytest
import torch

from grader import Case, Exercise, Random
from grader.modules import call_module, load_weights, random_weights
from vlm import siglip
from vlm.config import SiglipVisionConfig

# (B, N, A, E)
SIZES = [(2, 6, 2, 4), (1, 5, 4, 3), (3, 1, 1, 8)]


def states_and_heads(random: Random) -> Iterator[Case]:
    for batch, length, heads, head_dim in SIZES:
        yield {"states": random.normal(batch, length, heads * head_dim), "num_heads": heads}
    yield {"states": random.normal(2, 4, 12, dtype=torch.float64), "num_heads": 3}
    yield {"states": torch.empty(2, 4, 12, device="meta"), "num_heads": 3}


def queries_keys_values(random: Random) -> Iterator[Case]:
    for shape in [(2, 2, 6, 4), (1, 3, 5, 8), (2, 1, 1, 4)]:
        names = ("query", "key", "value")
        yield {name: random.normal(*shape) for name in names} | {"scaling": 0.1 + random.integer(1, 9) / 10}
    # Scores in the hundreds: a plain exp would overflow.
    yield {name: random.normal(1, 1, 4, 4, scale=20.0) for name in names} | {"scaling": 1.0}


def small_config(heads: int, head_dim: int, layers: int = 1) -> SiglipVisionConfig:
    return SiglipVisionConfig(
        hidden_size=heads * head_dim,
        intermediate_size=3 * heads * head_dim + 1,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        patch_size=2,
        image_size=6,
    )


def modules(kind: type, scales: tuple[float, ...]):
    """Cases for a class of the package, with inputs of these scales: small inputs reveal a wrong eps."""

    def make_cases(random: Random) -> Iterator[Case]:
        for scale in scales:
            for batch, length, heads, head_dim in SIZES[:2]:
                config = small_config(heads, head_dim)
                yield {
                    "config": config,
                    "weights": random_weights(kind(config), random),
                    "hidden_states": random.normal(batch, length, config.hidden_size, scale=scale),
                }

    return make_cases


def towers(random: Random) -> Iterator[Case]:
    for layers in (2, 3):
        config = small_config(2, 4, layers)
        yield {
            "config": config,
            "weights": random_weights(siglip.SiglipVisionModel(config), random),
            "pixel_values": random.normal(2, 3, config.image_size, config.image_size),
        }


def call_hidden_states_of(submission, case: Case) -> list[torch.Tensor]:
    tower = siglip.SiglipVisionModel(case["config"])
    load_weights(tower, case["weights"])
    with torch.no_grad():
        return submission.hidden_states_of(tower, case["pixel_values"])


FINISHED_ATTENTION = (
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.MultiheadAttention",
    "vlm.attention.attention",
    "vlm.siglip.attention",
)
EXERCISES = [
    Exercise("split_heads", "A slice of each vector for each head", states_and_heads, section="Multi-head attention"),
    Exercise(
        "attend",
        "Scaled dot-product attention",
        queries_keys_values,
        points=2,
        forbidden=FINISHED_ATTENTION,
        section="Scaled dot-product attention: scores, weights, weighted sum",
    ),
    Exercise(
        "SiglipAttention",
        "The attention layer",
        modules(siglip.SiglipAttention, (1.0,)),
        points=2,
        call=call_module("SiglipAttention"),
        forbidden=(*FINISHED_ATTENTION[:2], "vlm.siglip.SiglipAttention"),
        section="Multi-head attention",
    ),
    Exercise(
        "SiglipMLP",
        "The MLP",
        modules(siglip.SiglipMLP, (1.0,)),
        call=call_module("SiglipMLP"),
        forbidden=("vlm.siglip.SiglipMLP",),
        section="The MLP and its nonlinearity, GELU",
    ),
    Exercise(
        "SiglipEncoderLayer",
        "The transformer block",
        modules(siglip.SiglipEncoderLayer, (1.0, 2e-3)),
        points=2,
        call=call_module("SiglipEncoderLayer"),
        forbidden=("vlm.siglip.SiglipEncoderLayer",),
        section="The transformer block: residual connections and LayerNorm",
    ),
    Exercise(
        "hidden_states_of",
        "The vision tower, step by step",
        towers,
        call=call_hidden_states_of,
        section="The vision tower: the whole SigLIP encoder",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
