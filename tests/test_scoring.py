"""The probability that the model gives to an answer."""

import math

import pytest
import torch

from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from vlm.generate import generate
from vlm.inside.scoring import score_answers, score_boxes
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor


@pytest.fixture(scope="module")
def toybox():
    model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    return model, PaliGemmaProcessor.for_model(model, tokenizer)


def test_scores_are_what_the_model_says_token_by_token(toybox):
    model, processor = toybox
    prompt, image, answer = "caption en", example_image(4), "a house on sand"
    [scores] = score_answers(model, processor, [prompt], [image], [answer])
    suffix = processor.encode_suffix(answer)
    assert len(scores) == len(suffix)
    for place, token in enumerate(suffix):
        inputs = processor([prompt], [image])
        ids = torch.cat([inputs["input_ids"], torch.tensor([suffix[:place]], dtype=torch.long)], dim=1)
        types = torch.zeros_like(ids)
        types[:, inputs["input_ids"].shape[1] :] = 1
        with torch.inference_mode():
            logits = model(ids, inputs["pixel_values"], token_type_ids=types).logits[0, -1]
        assert scores[place].item() == pytest.approx(logits.log_softmax(-1)[token].item(), abs=1e-4)


def test_a_row_scores_the_same_in_a_batch_as_alone(toybox):
    model, processor = toybox
    prompts, images = ["caption en", "detect house ; turtle"], [example_image(4)] * 2
    answers = generate(model, processor, prompts, images)
    together = score_answers(model, processor, prompts, images, answers)
    for row in range(2):
        [alone] = score_answers(model, processor, prompts[row : row + 1], images[:1], answers[row : row + 1])
        torch.testing.assert_close(together[row], alone, atol=1e-4, rtol=1e-4)


def test_the_answer_that_the_model_gives_is_likelier_than_a_wrong_one(toybox):
    model, processor = toybox
    right, wrong = score_answers(
        model,
        processor,
        ["caption en"] * 2,
        [example_image(4)] * 2,
        ["a house and a turtle on sand", "a house and a turtle on snow"],
    )
    assert right.sum() > wrong.sum() + 2


def test_a_box_scores_the_product_of_its_four_locations():
    tokens = [*(f"<loc{bin:04d}>" for bin in (1, 2, 30, 40)), "▁cat", "▁;", "▁"]
    tokens += [*(f"<loc{bin:04d}>" for bin in (5, 6, 70, 80)), "▁dog", "<eos>"]
    halves = [0.5] * 4 + [0.9] * 3 + [0.25] * 4 + [0.9] * 2
    scores = score_boxes(tokens, torch.tensor(halves).log().tolist())
    assert scores == pytest.approx([0.5**4, 0.25**4])
    split = [*tokens[:2], "\n", *tokens[2:4]]  # a newline within does not end a run
    assert score_boxes(split, [-1.0] * 5) == pytest.approx([math.exp(-4)])


def test_what_is_no_box_has_no_score():
    three = ["<loc0001>", "<loc0002>", "<loc0030>", "▁cat"]
    empty = ["<loc0030>", "<loc0002>", "<loc0001>", "<loc0040>", "▁cat"]
    assert score_boxes(three + empty, [-1.0] * 9) == []
