"""Wide cases for chapter 3, attention over patches."""

from collections.abc import Callable, Iterator

import torch

from grader.exercise import Case, Random
from grader.modules import load_weights, random_weights
from tools.holes.training import call_trained, call_with_gradients
from tools.holes.wide import Wide
from vlm import siglip
from vlm.config import SiglipVisionConfig

# (B, N, A, E)
SIZES = [(1, 1, 1, 1), (1, 1, 3, 2), (4, 2, 1, 5), (3, 7, 5, 1), (2, 9, 2, 16), (5, 3, 4, 4)]


def states_and_heads(random: Random) -> Iterator[Case]:
    for batch, places, heads, head_dim in SIZES:
        for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
            yield {"states": random.normal(batch, places, heads * head_dim, dtype=dtype), "num_heads": heads}


def queries_keys_values(random: Random) -> Iterator[Case]:
    names = ("query", "key", "value")
    for batch, places, heads, head_dim in SIZES:
        for scale, scaling in ((1.0, head_dim**-0.5), (1.0, 1), (0.01, 3.0), (4.0, 0.01), (0.0, 1.0)):
            shape = (batch, heads, places, head_dim)
            yield {name: random.normal(*shape, scale=scale) for name in names} | {"scaling": scaling}
    # Scores of thousands, whole numbers so that rounding is no matter, and values that differ in size.
    whole = {name: random.integers(-60, 60, 2, 2, 5, 4).float() for name in names}
    yield whole | {"scaling": 1.0}
    yield whole | {"value": random.normal(2, 2, 5, 4, scale=1e4), "scaling": 0.5}


def make_config(heads: int, head_dim: int, layers: int = 1, **fields) -> SiglipVisionConfig:
    sizes = {"intermediate_size": 2 * heads * head_dim + 3, "patch_size": 2, "image_size": 6}
    return SiglipVisionConfig(
        hidden_size=heads * head_dim, num_hidden_layers=layers, num_attention_heads=heads, **(sizes | fields)
    )


def layers(kind: type) -> Callable[[Random], Iterator[Case]]:
    """Cases for a class of the package: other sizes, large and small numbers, other eps."""

    def make_cases(random: Random) -> Iterator[Case]:
        for batch, places, heads, head_dim in SIZES:
            for scale, eps, width in ((1.0, 1e-6, 7), (0.01, 1e-3, 1), (5.0, 1e-12, 4), (0.5, 1e-5, 3)):
                config = make_config(heads, head_dim, layer_norm_eps=eps, intermediate_size=width)
                yield {
                    "config": config,
                    "weights": random_weights(kind(config), random, scale=0.3),
                    "hidden_states": random.normal(batch, places, config.hidden_size, scale=scale),
                }

    return make_cases


def towers(random: Random) -> Iterator[Case]:
    for batch, depth, fields in [
        (1, 1, {}),
        (3, 4, {"image_size": 2}),
        (1, 2, {"patch_size": 3, "layer_norm_eps": 1e-2}),
        (2, 1, {"num_channels": 1}),
    ]:
        config = make_config(3, 2, depth, **fields)
        side = config.image_size
        yield {
            "config": config,
            "weights": random_weights(siglip.SiglipVisionModel(config), random, scale=0.3),
            "pixel_values": random.normal(batch, config.num_channels, side, side),
        }


def call_tower(submission, case: Case) -> dict:
    """The states, what comes back to the picture, and whether the tower still works as before."""
    tower = siglip.SiglipVisionModel(case["config"])
    load_weights(tower, case["weights"])
    pixel_values = case["pixel_values"].clone().requires_grad_()
    states = submission.hidden_states_of(tower, pixel_values)
    sum(state.square().sum() for state in states).backward()
    kept = [state.detach().clone() for state in states]
    with torch.no_grad():
        after = tower(case["pixel_values"])
    return {"states": kept, "gradient": pixel_values.grad, "the tower afterwards": after}


WIDE = [
    Wide("split_heads", states_and_heads),
    Wide("attend", queries_keys_values, {"tolerance": 1e-4}),
    Wide("attend", queries_keys_values, {"call": call_with_gradients("attend"), "tolerance": 1e-3}),
    *(
        Wide(name, layers(getattr(siglip, name)), {"call": call_trained(name, "hidden_states"), "tolerance": 1e-3})
        for name in ("SiglipAttention", "SiglipMLP", "SiglipEncoderLayer")
    ),
    Wide("hidden_states_of", towers, {"call": call_tower, "tolerance": 1e-3}),
]
