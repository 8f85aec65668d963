"""Test cases for exercises/ch11_kv_cache.py; the correct answers come from solutions/ch11_kv_cache.py."""

from collections.abc import Iterator

import pytest
import torch

from grader import Case, Exercise, Random
from grader.allocations import AllocationCounter
from grader.modules import load_weights, random_weights
from vlm.attention_mask import make_prefix_lm_mask
from vlm.config import GemmaConfig, PaliGemmaConfig, SiglipVisionConfig
from vlm.gemma import GemmaAttention
from vlm.kv_cache import KVCache
from vlm.paligemma import PaliGemmaForConditionalGeneration

IMAGE_TOKEN = 3
TEXT = GemmaConfig(
    hidden_size=12,
    intermediate_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    vocab_size=40,
    head_dim=6,
)
VISION = SiglipVisionConfig(
    hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2, patch_size=2, image_size=4
)


def passes(random: Random) -> Iterator[Case]:
    """Sequences, one after the other, each processed in several passes of the given numbers of tokens."""
    for sizes, max_length, sequences in [
        ((2, 1, 1, 4), 12, [[5, 1, 1, 1, 1, 1, 1, 1]]),
        ((3, 2, 2, 3), 14, [[4, 1, 1, 1, 1, 1, 1], [3, 2, 1, 1]]),
        ((1, 1, 2, 2), 5, [[4, 1, 1]]),  # one token too many
    ]:
        layers, batch, heads, head_dim = sizes
        shape = (layers, batch, heads, max_length + 1, head_dim)
        dtype = torch.bfloat16 if len(sequences) > 1 else torch.float32
        yield {
            "sizes": (layers, batch, heads, max_length, head_dim),
            "sequences": sequences,
            "keys": random.normal(*shape, dtype=dtype),
            "values": random.normal(*shape, dtype=dtype),
        }


def call_cache(submission, case: Case) -> dict:
    """What `update` returns, and whether `update` or `reset` allocates memory."""
    keys, values = case["keys"], case["values"]
    cache = submission.KVCache(*case["sizes"], keys.dtype)
    returned, written, counter, reset_counter = [], 0, AllocationCounter(), AllocationCounter()
    for number, sequence in enumerate(case["sequences"]):
        if number:
            with reset_counter:
                cache.reset()
        start = 0
        for new in sequence:
            for layer_idx in range(case["sizes"][0]):
                key, value = (states[layer_idx, :, :, start : start + new] for states in (keys, values))
                with counter:
                    all_keys, all_values = cache.update(layer_idx, key, value)
                written += key.nbytes + value.nbytes
                returned.append((all_keys.clone(), all_values.clone()))
            cache.advance(new)
            start += new
    return {
        "returned": returned,
        "update allocates more than the new tokens need": counter.bytes > written,
        "reset allocates memory": reset_counter.bytes > keys.nbytes // 4,
    }


def attention_passes(random: Random) -> Iterator[Case]:
    """New tokens of several passes, with their positions and masks. Rows may begin with padding."""
    for pads, news in [([0], [4, 1, 1, 1]), ([0, 2], [5, 1, 1]), ([1, 0], [4, 2, 1])]:
        batch, total = len(pads), sum(news)
        attention_mask = torch.tensor([[0] * pad + [1] * (total - pad) for pad in pads])
        types = torch.tensor([[0] * news[0] + [1] * (total - news[0])] * batch)
        case = {"hidden_states": [], "position_ids": [], "masks": []}
        first = random.integer(0, 5)
        for number, new in enumerate(news):
            end = sum(news[: number + 1])
            case["hidden_states"].append(random.normal(batch, new, 12))
            case["position_ids"].append(first + attention_mask.cumsum(-1).clamp(min=1)[:, end - new : end])
            mask = make_prefix_lm_mask(attention_mask[:, :end], types[:, end - new : end], torch.float32)
            case["masks"].append(mask)
        module = GemmaAttention(TEXT, 0)
        yield case | {"weights": [random_weights(module, random) for _ in range(2)]}


def call_attend(submission, case: Case) -> list:
    """Run two layers that share a cache in each pass."""
    layers = [GemmaAttention(TEXT, layer_idx) for layer_idx in range(2)]
    for layer, weights in zip(layers, case["weights"], strict=True):
        load_weights(layer, weights)
    batch = case["hidden_states"][0].shape[0]
    cache, outputs = KVCache(TEXT, batch, sum(states.shape[1] for states in case["hidden_states"])), []
    with torch.no_grad():
        for states, positions, mask in zip(case["hidden_states"], case["position_ids"], case["masks"], strict=True):
            outputs += [submission.attend(layer, states, positions, mask, cache) for layer in layers]
            cache.advance(states.shape[1])
    return outputs


def prompts(random: Random) -> Iterator[Case]:
    config = PaliGemmaConfig(VISION, TEXT, image_token_index=IMAGE_TOKEN)
    for batch, max_new_tokens in [(1, 6), (2, 4)]:
        model = PaliGemmaForConditionalGeneration(config).eval()
        ids = []
        for length in (3, 5):  # two prompts, one after the other
            ids.append(torch.cat([torch.full((batch, 4), IMAGE_TOKEN), random.integers(4, 40, batch, length)], dim=1))
        weights = random_weights(model, random, scale=0.5)
        weights["language_model.lm_head.weight"] = weights["language_model.model.embed_tokens.weight"]
        pixel_values = [random.normal(batch, 3, 4, 4) for _ in ids]
        load_weights(model, weights)
        with torch.no_grad():
            first_token = int(model(ids[0], pixel_values[0]).logits[0, -1].argmax())
        yield {
            "weights": weights,
            "eos_token_id": first_token,  # the model generates it first, and must continue
            "input_ids": ids,
            "pixel_values": pixel_values,
            "max_new_tokens": max_new_tokens,
        }


def call_generate(submission, case: Case) -> list[dict]:
    """The tokens, and what was computed for them."""
    config = PaliGemmaConfig(VISION, TEXT, image_token_index=IMAGE_TOKEN, eos_token_id=case["eos_token_id"])
    model = PaliGemmaForConditionalGeneration(config)
    load_weights(model, case["weights"])
    reports = []
    for input_ids, pixel_values in zip(case["input_ids"], case["pixel_values"], strict=True):
        tower_calls, lengths, logits = [], [], []
        hooks = [
            model.vision_tower.register_forward_hook(lambda *_, tower_calls=tower_calls: tower_calls.append(1)),
            model.language_model.model.register_forward_hook(
                lambda _module, args, output, lengths=lengths: lengths.append(output.shape[1])
            ),
            model.language_model.lm_head.register_forward_hook(
                lambda _module, _args, output, logits=logits: logits.append(output[:, -1].clone())
            ),
        ]
        with torch.no_grad():
            tokens = submission.generate_cached(model, input_ids, pixel_values, case["max_new_tokens"])
        for hook in hooks:
            hook.remove()
        reports.append(
            {
                "calls of the vision tower": len(tower_calls),
                "tokens processed in each pass": lengths,
                "tokens": tokens,
                "logits of the next token": torch.stack(logits),
            }
        )
    return reports


EXERCISES = [
    Exercise(
        "KVCache",
        "The cache for keys and values",
        passes,
        points=3,
        call=call_cache,
        forbidden=("vlm.kv_cache.KVCache",),
        raises=(ValueError,),
        show=lambda case: {"sizes": case["sizes"], "tokens in each pass": case["sequences"]},
        section="Preallocated memory instead of concatenation",
    ),
    Exercise(
        "attend",
        "Attention with a cache",
        attention_passes,
        points=2,
        call=call_attend,
        forbidden=("vlm.gemma.GemmaAttention.forward",),
        tolerance=1e-4,
        section="What the cache stores: values, and keys after RoPE",
    ),
    Exercise(
        "generate_cached",
        "Prefill, then decode step by step",
        prompts,
        points=3,
        call=call_generate,
        forbidden=("vlm.generate.generate_tokens", "vlm.generate.generate"),
        tolerance=1e-3,
        show=lambda case: {
            "input_ids": [list(ids.shape) for ids in case["input_ids"]],
            "max_new_tokens": case["max_new_tokens"],
        },
        section="Prefill and decode",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
