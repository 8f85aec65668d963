"""Test cases for exercises/ch09_merge.py; the correct answers come from solutions/ch09_merge.py."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from grader import Case, Exercise, Random
from grader.modules import load_weights, random_weights
from vlm.config import GemmaConfig, PaliGemmaConfig, SiglipVisionConfig
from vlm.paligemma import PaliGemmaForConditionalGeneration

IMAGE_TOKEN = 3


def make_config(vision_size: int, text_size: int, vocab_size: int = 20) -> PaliGemmaConfig:
    vision = SiglipVisionConfig(
        hidden_size=vision_size,
        intermediate_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        patch_size=2,
        image_size=4,
    )
    text = GemmaConfig(
        hidden_size=text_size,
        intermediate_size=12,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=vocab_size,
        head_dim=4,
    )
    return PaliGemmaConfig(vision, text, image_token_index=IMAGE_TOKEN)


def tokens(random: Random) -> Iterator[Case]:
    for vision_size, text_size, dtype in [(8, 6, torch.float32), (4, 10, torch.float32), (12, 7, torch.bfloat16)]:
        yield {
            "input_ids": random.integers(0, 20, 2, 5),
            "weight": random.normal(20, text_size, dtype=dtype),
            "config": make_config(vision_size, text_size),
        }


def image_positions(random: Random, batch: int, length: int, count: int) -> Tensor:
    """A mask [B, S] with `count` True in each row, at random positions."""
    order = random.uniform(batch, length).argsort(-1)
    return order < count


def embeddings_and_features(random: Random) -> Iterator[Case]:
    for batch, length, count, size in [(2, 7, 4, 3), (1, 5, 2, 6), (3, 6, 3, 4)]:
        yield {
            "inputs_embeds": random.normal(batch, length, size),
            "image_features": random.normal(batch, count, size),
            "image_mask": image_positions(random, batch, length, count),
        }
    # Two images in one row, and a language model in bfloat16 after a projector in float32.
    yield {
        "inputs_embeds": random.normal(1, 9, 4, dtype=torch.bfloat16),
        "image_features": random.normal(2, 3, 4),
        "image_mask": image_positions(random, 1, 9, 6),
    }
    for extra in (1, -1):  # one vector too many, one too few
        yield {
            "inputs_embeds": random.normal(1, 6, 4),
            "image_features": random.normal(1, 3 + extra, 4),
            "image_mask": image_positions(random, 1, 6, 3),
        }


def rows(pads: list[int], prefixes: list[int], suffixes: list[int]) -> Case:
    """Rows of equal length, from the numbers of padding positions, prefix tokens and suffix tokens in each."""
    counts = list(zip(pads, prefixes, suffixes, strict=True))
    return {
        "attention_mask": torch.tensor([[0] * pad + [1] * (prefix + suffix) for pad, prefix, suffix in counts]),
        "token_type_ids": torch.tensor([[0] * (pad + prefix) + [1] * suffix for pad, prefix, suffix in counts]),
    }


def masks(random: Random) -> Iterator[Case]:
    more = random.integer(1, 4)
    yield rows([0], [3], [2 + more])
    yield rows([0, 2, 1], [4, 3, 5], [3, 2, 1])
    yield rows([0, 1], [3 + more, 2 + more], [0, 0])
    decoding = rows([0, 2], [4, 2], [3, 3])
    yield decoding | {"token_type_ids": decoding["token_type_ids"][:, -1:]}  # one new token, the others are cached
    yield decoding | {"token_type_ids": decoding["token_type_ids"][:, -2:]}


def call_may_attend(submission, case: Case) -> Tensor:
    """The mask, without the rows of padding positions, which are not graded."""
    visible = submission.may_attend(case["attention_mask"], case["token_type_ids"])
    is_real = case["attention_mask"][:, -case["token_type_ids"].shape[1] :].bool()  # [B, S]
    return visible & is_real[..., None] if visible.shape[:2] == is_real.shape else visible


def whole_models(random: Random) -> Iterator[Case]:
    for pads, prompts, suffixes in [([0], [2], [2]), ([0, 2], [3, 1], [2, 2]), ([1, 0], [2, 3], [0, 0])]:
        config = make_config(8, 6)
        case = rows(pads, [4 + prompt for prompt in prompts], suffixes)
        batch, length = case["attention_mask"].shape
        input_ids = random.integers(4, 20, batch, length)
        for row, pad in enumerate(pads):
            input_ids[row, :pad] = 0
            input_ids[row, pad : pad + 4] = IMAGE_TOKEN
        model = PaliGemmaForConditionalGeneration(config)
        yield case | {
            "config": config,
            "weights": random_weights(model, random, scale=0.4),
            "input_ids": input_ids,
            "pixel_values": random.normal(batch, 3, 4, 4),
        }


def call_run_paligemma(submission, case: Case) -> Tensor:
    """Logits at the real tokens."""
    model = PaliGemmaForConditionalGeneration(case["config"])
    weights = case["weights"] | {
        "language_model.lm_head.weight": case["weights"]["language_model.model.embed_tokens.weight"]
    }
    load_weights(model, weights)
    with torch.no_grad():
        logits = submission.run_paligemma(
            model, case["input_ids"], case["pixel_values"], case["attention_mask"], case["token_type_ids"]
        )
    return torch.where(case["attention_mask"][..., None] == 1, logits, 0)


EXERCISES = [
    Exercise("embed_tokens", "Scaled token embeddings", tokens, section="Embedding scale: Gemma multiplies text by √D"),
    Exercise(
        "merge_image_features",
        "Merge image features into the text",
        embeddings_and_features,
        points=2,
        forbidden=("vlm.paligemma.merge_image_features",),
        raises=(ValueError,),
        section="Merging image features into the text",
    ),
    Exercise(
        "may_attend",
        "The prefix-LM mask",
        masks,
        points=3,
        call=call_may_attend,
        forbidden=("vlm.attention_mask.make_prefix_lm_mask", "vlm.paligemma.make_prefix_lm_mask"),
        section="The prefix-LM mask: two rules in one",
    ),
    Exercise(
        "run_paligemma",
        "The whole forward pass",
        whole_models,
        points=3,
        call=call_run_paligemma,
        forbidden=(
            "vlm.paligemma.PaliGemmaForConditionalGeneration.forward",
            "vlm.paligemma.PaliGemmaForConditionalGeneration.embed_inputs",
            "vlm.paligemma.PaliGemmaForConditionalGeneration.get_image_features",
        ),
        tolerance=1e-4,
        section="The whole forward pass",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
