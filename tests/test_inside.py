"""Rollout by hand, the lens at the last layer, occlusion of a picture whose score is its brightness."""

import numpy as np
import pytest
import torch
from PIL import Image

from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from vlm.inside.logit_lens import logit_lens
from vlm.inside.occlusion import cover, occlusion_map
from vlm.inside.recording import record_attention, record_hidden_states
from vlm.inside.rollout import attention_rollout
from vlm.inside.word_attention import attend_word_by_word
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor


def test_rollout_of_two_layers_by_hand():
    swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    first = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    rollout = attention_rollout([first[None, None], swap[None, None]])
    # (I + first) / 2 = [[1, 0], [1/2, 1/2]] and (I + swap) / 2 = [[1/2, 1/2], [1/2, 1/2]]
    assert rollout[0].tolist() == [[0.75, 0.25], [0.75, 0.25]]


def test_rollout_averages_the_heads_and_its_rows_sum_to_1():
    weights = [torch.rand(2, 3, 5, 5).softmax(-1) for _ in range(4)]
    rollout = attention_rollout(weights)
    torch.testing.assert_close(rollout.sum(-1), torch.ones(2, 5))
    averaged = [layer.mean(1, keepdim=True) for layer in weights]
    torch.testing.assert_close(rollout, attention_rollout(averaged))


def test_lens_at_the_last_layer_is_what_the_model_says():
    model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    inputs = PaliGemmaProcessor.for_model(model, tokenizer)(["caption en"], [example_image(0)])
    with record_hidden_states(model) as states, torch.inference_mode():
        logits = model(**inputs).logits
    last = states[f"language_model.model.layers.{model.config.text_config.num_hidden_layers - 1}"][0]
    torch.testing.assert_close(logit_lens(model.language_model, last), logits, atol=1e-4, rtol=1e-4)


def brightness(pictures: list[Image.Image]) -> np.ndarray:
    return np.array([np.asarray(picture, dtype=float).mean() for picture in pictures])


def test_occlusion_finds_the_square_that_the_score_rests_on():
    pixels = np.full((8, 12, 3), 128, np.uint8)
    pixels[4:8, 8:12] = 200
    fall = occlusion_map(brightness, Image.fromarray(pixels), stride=4, side=4)
    assert fall.shape == (2, 3)
    assert fall[1, 2] == pytest.approx(72 / 6)
    assert np.count_nonzero(fall) == 1


def test_a_square_larger_than_its_cell_has_the_same_middle():
    pixels = np.full((12, 12, 3), 128, np.uint8)
    pixels[5, 5] = 255
    fall = occlusion_map(brightness, Image.fromarray(pixels), stride=2, side=6)
    seen = [(int(y), int(x)) for y, x in np.argwhere(fall > 0)]
    assert seen == [(y, x) for y in (1, 2, 3) for x in (1, 2, 3)]  # the pixel is in cell (2, 2)


def test_covering_paints_the_box_and_leaves_the_original():
    image = Image.new("RGB", (6, 4), "white")
    covered = np.asarray(cover(image, (1, 2, 3, 5), value=7))
    assert (covered[1:3, 2:5] == 7).all()
    assert (covered == 7).sum() == 2 * 3 * 3
    assert (np.asarray(image) == 255).all()


def test_attention_of_a_word_is_that_of_the_place_before_it():
    model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    answer = "a house and a turtle on sand"
    seen = attend_word_by_word(model, processor, "caption en", example_image(4), answer)
    assert seen.tokens == [*tokenizer.tokenize(answer), "<eos>"]
    assert seen.weights.shape == (len(seen.tokens), 4, 4, 64)
    inputs = processor(["caption en"], [example_image(4)], [answer])
    del inputs["labels"]
    with record_attention(model.language_model) as recorded, torch.inference_mode():
        model(**inputs)
    [layer] = recorded["model.layers.1.self_attn"]
    place = inputs["input_ids"].shape[1] - len(seen.tokens) + seen.tokens.index("▁turtle")
    torch.testing.assert_close(seen.weights[seen.tokens.index("▁turtle"), 1], layer[0, :, place - 1, :64])
    assert (seen.weights.sum(-1) < 1).all()


def test_hidden_states_are_kept_by_layer_and_each_is_what_the_next_one_gets():
    model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    inputs = PaliGemmaProcessor.for_model(model, tokenizer)(["caption en"], [example_image(0)])
    received = []
    second = model.language_model.model.layers[1]
    handle = second.register_forward_pre_hook(lambda _module, args: received.append(args[0]))
    with record_hidden_states(model) as states, torch.inference_mode():
        model(**inputs)
    handle.remove()
    assert len(states) == 4 + 4
    assert states["vision_tower.vision_model.encoder.layers.3"][0].shape == (1, 64, 192)
    assert torch.equal(states["language_model.model.layers.0"][0], received[0])
    with torch.inference_mode():
        model(**inputs)
    assert all(len(kept) == 1 for kept in states.values())  # nothing is kept after the block
