"""Wide cases for chapter 9, the merge of image and text."""

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from grader.exercise import Case, Random
from grader.modules import load_weights, random_weights
from tools.holes.training import call_with_gradients
from tools.holes.wide import Wide, checks_of
from vlm.paligemma import PaliGemmaForConditionalGeneration

CHECKS = checks_of("ch09_merge")


def tokens(random: Random) -> Iterator[Case]:
    for vision_size, text_size in [(2, 1), (6, 2), (4, 3), (2, 640), (10, 2048)]:
        for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
            for shape in ((1, 1), (3, 2), (1, 9)):
                yield {
                    "input_ids": random.integers(0, 20, *shape),
                    "weight": random.normal(20, text_size, dtype=dtype),
                    "config": CHECKS.make_config(vision_size, text_size),
                }


def call_embedding(submission, case: Case) -> dict:
    """The vectors, and what comes back to the embedding."""
    weight = case["weight"].clone().requires_grad_()
    result = submission.embed_tokens(case["input_ids"], weight, case["config"])
    if result.requires_grad:
        result.float().sum().backward()
    return {"result": result, "gradient": torch.zeros_like(weight) if weight.grad is None else weight.grad}


def embeddings_and_features(random: Random) -> Iterator[Case]:
    for batch, length, images, count, size in [
        (1, 1, 1, 1, 1),
        (1, 4, 1, 4, 2),
        (4, 5, 4, 1, 3),
        (1, 12, 3, 4, 2),
        (2, 9, 6, 2, 5),
        (3, 2, 0, 4, 2),
    ]:
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            mask = torch.zeros(batch * length, dtype=torch.bool)
            mask[random.uniform(batch * length).argsort()[: images * count]] = True  # rows may differ in number
            yield {
                "inputs_embeds": random.normal(batch, length, size, dtype=dtype),
                "image_features": random.normal(images, count, size),
                "image_mask": mask.reshape(batch, length),
            }
    for batch, length, images, count, placed in [(1, 6, 2, 2, 2), (2, 5, 1, 3, 6), (1, 3, 1, 2, 0), (2, 4, 0, 3, 1)]:
        mask = torch.zeros(batch, length, dtype=torch.bool)
        mask.view(-1)[:placed] = True
        yield {
            "inputs_embeds": random.normal(batch, length, 4),
            "image_features": random.normal(images, count, 4),
            "image_mask": mask,
        }
    # As many numbers, but not as many vectors.
    yield {
        "inputs_embeds": random.normal(1, 6, 4),
        "image_features": random.normal(1, 6, 2),
        "image_mask": torch.tensor([[True, True, True, False, False, False]]),
    }


def legal_merges(random: Random) -> Iterator[Case]:
    yield from (
        case for case in embeddings_and_features(random) if fits(case) and case["inputs_embeds"].dtype == torch.float32
    )


def fits(case: Case) -> bool:
    images, count, size = case["image_features"].shape
    return images * count == int(case["image_mask"].sum()) and size == case["inputs_embeds"].shape[-1]


def masks(random: Random) -> Iterator[Case]:
    for pads, prefixes, suffixes in [
        ([0], [1], [0]),
        ([0], [1], [1]),
        ([0], [1], [6]),
        ([3, 0, 1], [1, 2, 4], [1, 3, 0]),
        ([5, 0], [1, 6], [0, 0]),
        ([0, 2], [5, 3], [1, 1]),
    ]:
        whole = CHECKS.rows(pads, prefixes, suffixes)
        length = whole["attention_mask"].shape[1]
        right = {"attention_mask": whole["attention_mask"].flip(1), "token_type_ids": whole["token_type_ids"]}
        for new in {1, 2, length - 1, length} - {0}:
            if new <= length:
                for case in (whole, whole | right):
                    yield case | {"token_type_ids": case["token_type_ids"][:, -new:]}
        yield whole | {"token_type_ids": torch.ones_like(whole["token_type_ids"])}


def whole_models(random: Random) -> Iterator[Case]:
    for pads, prompts, suffixes, image_token in [
        ([0], [0], [1], 3),
        ([3, 0, 1], [1, 4, 2], [1, 1, 2], 19),
        ([0, 0], [2, 2], [0, 0], 7),
    ]:
        for vision_size, text_size in ((4, 10), (2, 3)):
            config = dataclasses.replace(CHECKS.make_config(vision_size, text_size), image_token_index=image_token)
            case = CHECKS.rows(pads, [4 + prompt for prompt in prompts], suffixes)
            batch, length = case["attention_mask"].shape
            input_ids = random.integers(8, 19, batch, length)
            for row, pad in enumerate(pads):
                input_ids[row, :pad] = 0
                input_ids[row, pad : pad + 4] = image_token
            yield case | {
                "config": config,
                "weights": random_weights(PaliGemmaForConditionalGeneration(config), random, scale=0.4),
                "input_ids": input_ids,
                "pixel_values": random.normal(batch, 3, 4, 4),
            }


def call_training(submission, case: Case) -> dict:
    """The logits at real tokens, and what comes back to the picture and to the embedding."""
    model = PaliGemmaForConditionalGeneration(case["config"])
    tied = case["weights"]["language_model.model.embed_tokens.weight"]
    load_weights(model, case["weights"] | {"language_model.lm_head.weight": tied})
    pixel_values = case["pixel_values"].clone().requires_grad_()
    arguments = (case["input_ids"], pixel_values, case["attention_mask"], case["token_type_ids"])
    logits = submission.run_paligemma(model, *arguments)
    real: Tensor = torch.where(case["attention_mask"][..., None] == 1, logits, 0)
    if real.requires_grad:
        real.square().sum().backward()
    gradients = [pixel_values.grad, model.language_model.model.embed_tokens.weight.grad]
    return {"logits": real, "gradients": [torch.zeros(1) if grad is None else grad for grad in gradients]}


WIDE = [
    Wide("embed_tokens", tokens),
    Wide("embed_tokens", tokens, {"call": call_embedding, "tolerance": 2e-2}),
    Wide("merge_image_features", embeddings_and_features),
    Wide("merge_image_features", legal_merges, {"call": call_with_gradients("merge_image_features")}),
    Wide("may_look", masks),
    Wide("run_paligemma", whole_models, {"tolerance": 1e-3}),
    Wide("run_paligemma", whole_models, {"call": call_training, "tolerance": 1e-2}),
]
