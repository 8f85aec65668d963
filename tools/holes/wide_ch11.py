"""Wide cases for chapter 11, the cache of keys and values."""

import contextlib
from collections.abc import Iterator

import torch

from grader.allocations import AllocationCounter
from grader.exercise import Case, Random
from grader.modules import load_weights, random_weights
from tools.holes.wide import Wide, checks_of
from vlm.attention_mask import make_prefix_lm_mask
from vlm.config import GemmaConfig, PaliGemmaConfig
from vlm.gemma import GemmaAttention
from vlm.kv_cache import KVCache
from vlm.paligemma import PaliGemmaForConditionalGeneration

CHECKS = checks_of("ch11_kv_cache")
# (layers, batch, K, E), and the passes of each sequence; a pass that does not fit is refused, and the next ones go on.
PASSES = [
    ((1, 1, 1, 1), 1, [[1]]),
    ((1, 1, 1, 1), 1, [[1, 1], [1]]),
    ((2, 3, 2, 5), 4, [[4], [1, 3], [2, 2]]),
    ((3, 1, 4, 2), 6, [[3, 4, 3], [5, 2, 1]]),  # refused: more than is left, while something is
    ((2, 2, 1, 3), 5, [[6, 5], [9, 1, 4]]),  # refused: more than there ever is
    ((2, 2, 1, 3), 5, [[5, 1, 1, 2]]),  # refused: it is full
    ((2, 1, 3, 2), 7, [[2, 3, 1, 1], [7], [1, 1]]),
]


def passes(random: Random) -> Iterator[Case]:
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        for (layers, batch, heads, head_dim), max_length, sequences in PASSES:
            total = max(sum(sequence) for sequence in sequences)
            shape = (len(sequences), layers, batch, heads, total, head_dim)
            yield {
                "sizes": (layers, batch, heads, max_length, head_dim),
                "sequences": sequences,
                "keys": random.normal(*shape).to(dtype),
                "values": random.normal(*shape).to(dtype),
            }


def call_cache(submission, case: Case) -> dict:
    """What `update` returns or refuses, in which layer; where memory is allocated; and a second cache beside it."""
    keys, values, layers = case["keys"], case["values"], case["sizes"][0]
    counters = {name: AllocationCounter() for name in ("making it", "updates", "resets")}
    with counters["making it"]:
        cache = submission.KVCache(*case["sizes"], keys.dtype)
    other = submission.KVCache(*case["sizes"], keys.dtype)
    needed = 2 * torch.Size(case["sizes"]).numel() * keys.element_size()
    reports, written = [], 0
    for number, sequence in enumerate(case["sequences"]):
        if number:
            with counters["resets"]:
                cache.reset()
        start = 0
        for new in sequence:
            report = []
            for layer_idx in reversed(range(layers)):  # any order is one
                part = (number, layer_idx, slice(None), slice(None), slice(start, start + new))
                key, value = keys[part], values[part]
                with contextlib.suppress(ValueError):
                    with counters["updates"]:
                        all_states = cache.update(layer_idx, key, value)
                    report.append([states.clone() for states in all_states])
                    written += key.nbytes + value.nbytes
            reports.append(report)
            if report:
                cache.advance(new)
                start += new
    fresh = other.update(0, keys[0, 0, :, :, :1], values[0, 0, :, :, :1])
    return {
        "returned": reports,
        "of another cache": [states.clone() for states in fresh],
        "memory is allocated when it is made": counters["making it"].bytes >= needed,
        "updates allocate more": counters["updates"].bytes > 2 * written + 256,  # where to write may take some
        "resets allocate": counters["resets"].bytes > needed // 8 and needed > 64,
    }


def turns(random: Random) -> Iterator[Case]:
    for heads, key_value_heads, head_dim in [(1, 1, 2), (4, 1, 8), (2, 2, 4)]:
        for pads, news in [([0], [1, 1, 1]), ([0, 3, 1], [5, 1, 1, 1]), ([2, 0], [3, 4, 1])]:
            batch, total = len(pads), sum(news)
            attention_mask = torch.tensor([[0] * pad + [1] * (total - pad) for pad in pads])
            types = torch.tensor([[0] * news[0] + [1] * (total - news[0])] * batch)
            config = GemmaConfig(
                hidden_size=7,
                intermediate_size=2,
                num_hidden_layers=3,
                num_attention_heads=heads,
                num_key_value_heads=key_value_heads,
                vocab_size=5,
                head_dim=head_dim,
            )
            case = {"config": config, "hidden_states": [], "position_ids": [], "masks": []}
            first = torch.tensor([[random.integer(0, 40)] for _ in pads])
            for number, new in enumerate(news):
                end = sum(news[: number + 1])
                case["hidden_states"].append(random.normal(batch, new, 7))
                case["position_ids"].append((first + attention_mask.cumsum(-1).clamp(min=1))[:, end - new : end])
                mask = make_prefix_lm_mask(attention_mask[:, :end], types[:, end - new : end], torch.float32)
                case["masks"].append(mask - 0.5 * random.uniform(*mask.shape) * (mask == 0))
            weights = [random_weights(GemmaAttention(config, 0), random) for _ in range(3)]
            yield case | {"weights": weights}


def call_attend(submission, case: Case) -> list:
    """Three layers that share a cache. Nothing but keys and values is written into it."""
    layers = [GemmaAttention(case["config"], layer_idx) for layer_idx in range(3)]
    for layer, weights in zip(layers, case["weights"], strict=True):
        load_weights(layer, weights)
    batch = case["hidden_states"][0].shape[0]
    length = sum(states.shape[1] for states in case["hidden_states"])
    cache, outputs = KVCache(case["config"], batch, length), []
    with torch.no_grad():
        for states, positions, mask in zip(case["hidden_states"], case["position_ids"], case["masks"], strict=True):
            outputs += [submission.attend(layer, states, positions, mask, cache) for layer in layers]
            cache.advance(states.shape[1])
    return outputs


def prompts(random: Random) -> Iterator[Case]:
    config = PaliGemmaConfig(CHECKS.VISION, CHECKS.TEXT, image_token_index=CHECKS.IMAGE_TOKEN)
    for batch, max_new_tokens, lengths in [(1, 1, (1, 2)), (3, 2, (2, 6)), (1, 9, (4, 1)), (2, 5, (3,))]:
        model = PaliGemmaForConditionalGeneration(config).eval()
        weights = random_weights(model, random, scale=0.5)
        weights["language_model.lm_head.weight"] = weights["language_model.model.embed_tokens.weight"]
        image = torch.full((batch, 4), CHECKS.IMAGE_TOKEN)
        yield {
            "weights": weights,
            "eos_token_id": 1,
            "input_ids": [torch.cat([image, random.integers(4, 40, batch, n)], dim=1) for n in lengths],
            "pixel_values": [random.normal(batch, 3, 4, 4) for _ in lengths],
            "max_new_tokens": max_new_tokens,
        }


WIDE = [
    Wide("KVCache", passes, {"call": call_cache}),
    Wide("attend", turns, {"call": call_attend}),
    Wide("generate_cached", prompts),
]
