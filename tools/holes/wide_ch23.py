"""Wide cases for chapter 23, a fast model."""

from collections.abc import Iterator

import torch

from grader.exercise import Case, Random
from tools.holes.training import call_with_gradients
from tools.holes.wide import Wide, checks_of
from vlm.config import GemmaConfig

CHECKS = checks_of("ch23_fast")


def machines(random: Random) -> Iterator[Case]:
    for width, mlp, layers, heads, shared, head_dim, vocabulary in [
        (1, 1, 1, 1, 1, 2, 1),
        (5, 9, 1, 4, 2, 6, 33),
        (64, 3, 7, 6, 6, 2, 1000),
        (7, 20, 2, 8, 1, 4, 5),
    ]:
        for size, speed in ((0.5, 1), (4, 0.25), (2, 3350.0)):
            config = GemmaConfig(
                hidden_size=width,
                intermediate_size=mlp,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                num_key_value_heads=shared,
                vocab_size=vocabulary,
                head_dim=head_dim,
            )
            yield {"config": config, "bytes_per_weight": size, "gigabytes_per_second": speed}


def shared_keys(random: Random) -> Iterator[Case]:
    for batch, heads, shared, new, total, head_dim in [
        (1, 1, 1, 1, 1, 1),
        (3, 2, 2, 1, 1, 2),
        (2, 8, 2, 1, 7, 4),
        (4, 6, 1, 5, 9, 2),
        (1, 12, 3, 4, 4, 8),
    ]:
        for scale in (0.3, 2.0):
            case = {
                "query": random.normal(batch, heads, new, head_dim, scale=scale),
                "key": random.normal(batch, shared, total, head_dim, scale=scale),
                "value": random.normal(batch, shared, total, head_dim),
                "scaling": random.choice([1.0, 0.1, 2]),
            }
            hidden = random.uniform(batch, 1, new, total) < 0.4
            hidden[..., random.integer(0, total)] = False
            lowest = torch.finfo(torch.float32).min
            for mask in (None, torch.zeros(hidden.shape), torch.zeros(hidden.shape).masked_fill(hidden, lowest)):
                yield case | {"mask": mask}
            yield case | {"mask": random.normal(*hidden.shape, scale=3.0)}


def writings(random: Random) -> Iterator[Case]:
    for sizes, passes in [
        ((1, 1, 1, 1, 1), [([0], 1), ([0], 1)]),
        ((4, 3, 1, 5, 2), [([0, 1, 2, 3, 4], 5), ([4], 5), ([0], 1), ([0, 4], 5)]),
        ((2, 1, 3, 6, 1), [([0], 1), ([2, 1], 3), ([1], 2), ([5, 3, 4], 6), ([0, 5], 6)]),
        ((1, 2, 2, 8, 3), [([7, 6, 5, 4, 3, 2, 1, 0], 8), ([3, 2], 4), ([6], 8)]),
    ]:
        layers, batch, heads, _, head_dim = sizes
        case = {"sizes": sizes, "places": [torch.tensor(places) for places, _ in passes]}
        for name in ("keys", "values"):
            case[name] = [random.normal(layers, batch, heads, len(places), head_dim) for places, _ in passes]
        yield case | {"lengths": [length for _, length in passes]}


def call_static_cache(submission, case: Case) -> dict:
    """Two caches side by side, and whether what is returned is the cache's memory."""
    cache, other = (submission.StaticCache(*case["sizes"]) for _ in range(2))
    returned, shared = [], []
    for number, (places, keys, values, length) in enumerate(
        zip(case["places"], case["keys"], case["values"], case["lengths"], strict=True)
    ):
        for layer_idx in reversed(range(case["sizes"][0])):
            parts = cache.write(layer_idx, places, keys[layer_idx], values[layer_idx], length)
            returned.append([part.clone() for part in parts])
            if number == 0:
                again = cache.write(layer_idx, places, keys[layer_idx], values[layer_idx], length)
                shared += [a.data_ptr() == b.data_ptr() for a, b in zip(parts, again, strict=True)]
                other.write(layer_idx, places, 0 * keys[layer_idx], 0 * values[layer_idx], length)
    return {"returned": returned, "views of its own memory": all(shared)}


def last_scores(random: Random) -> Iterator[Case]:
    for batch, vocabulary, eos, pad in [(1, 2, 0, 1), (1, 3, 2, 2), (7, 4, 3, 0), (4, 5, 0, 0), (3, 40, 9, 11)]:
        for middle in (0.0, -100.0, 1e4):
            for chance in (0.0, 0.5, 1.0):
                yield {
                    "logits": middle + random.normal(batch, vocabulary),
                    "ended": random.uniform(batch) < chance,
                    "eos_token_id": eos,
                    "pad_token_id": pad,
                }


def rows_to_round(random: Random) -> Iterator[Case]:
    for rows, width in [(1, 1), (5, 1), (1, 3), (4, 2), (3, 30)]:
        for zeros in (False, True):
            for size in (1e-8, 1e-3, 1.0, 1e4):
                yield {"values": size * CHECKS.uneven_rows(random, rows, width, zeros)}
    yield {"values": torch.zeros(2, 3)}
    yield {"values": -CHECKS.uneven_rows(random, 3, 4).abs()}


def matrices(random: Random) -> Iterator[Case]:
    for rows, width, high in [(1, 1, 1), (1, 5, 3), (7, 2, 1), (2, 300, 4), (3, 2000, 2)]:
        for zeros in (False, True):
            for size in (1e-4, 1.0, 30.0):
                yield {
                    "hidden_states": size * CHECKS.uneven_rows(random, rows, width, zeros),
                    "weight": CHECKS.uneven_rows(random, high, width, zeros),
                }
    yield {"hidden_states": torch.full((2, 3000), 127.0), "weight": torch.full((2, 3000), 127.0)}


WIDE = [
    Wide("tokens_per_second_limit", machines),
    Wide("attend_grouped", shared_keys, {"tolerance": 1e-4, "call": None}),
    Wide("attend_grouped", shared_keys, {"tolerance": 1e-3, "call": call_with_gradients("attend_grouped")}),
    Wide("StaticCache", writings),
    Wide("StaticCache", writings, {"call": call_static_cache}),
    Wide("next_token", last_scores),
    Wide("quantize_rows", rows_to_round),
    Wide("int8_linear", matrices),
]
WITHOUT = dict.fromkeys(("quantize_rows", "int8_linear", "StaticCache"), ("bfloat16", "float64", "large", "small"))
