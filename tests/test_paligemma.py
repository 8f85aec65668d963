"""The whole model: the merge, the loss, and what must not depend on what."""

import pytest
import torch
from reference import NUM_IMAGE_TOKENS, make_inputs, make_reference, make_twin

from vlm.kv_cache import KVCache
from vlm.paligemma import merge_image_features, next_token_loss


@pytest.fixture(scope="module")
def model():
    return make_twin(make_reference())


def test_merge_keeps_two_images_in_order():
    features = torch.arange(8.0).view(2, 2, 2)
    mask = torch.tensor([[True, True, False, True, True]])
    merged = merge_image_features(torch.full((1, 5, 2), -1.0), features, mask)
    assert merged[0].tolist() == [[0, 1], [2, 3], [-1, -1], [4, 5], [6, 7]]


@pytest.mark.parametrize("num_tokens", [1, 3])
def test_merge_refuses_a_wrong_number_of_image_tokens(num_tokens):
    mask = torch.arange(5)[None] < num_tokens
    with pytest.raises(ValueError, match=f"{num_tokens} image tokens and the images give 2 features"):
        merge_image_features(torch.zeros(1, 5, 2), torch.zeros(1, 2, 2), mask)


def test_a_missing_image_is_reported(model):
    inputs = make_inputs([3])
    del inputs["pixel_values"]
    with pytest.raises(ValueError, match="has image tokens, but there is no image"):
        model(**inputs)


@torch.inference_mode()
def test_a_text_without_image_tokens_needs_no_image(model):
    assert model(torch.tensor([[2, 11, 12]])).logits.shape == (1, 3, 128)


def test_a_mask_of_another_length_is_refused_with_both_shapes(model):
    kv_cache = KVCache(model.config.text_config, 1, 20)
    model(torch.tensor([[2, 11, 12]]), kv_cache=kv_cache)
    with pytest.raises(ValueError, match=r"has shape \[1, 1\]: expected \[1, 4\], for 3 cached and 1 new tokens"):
        model(torch.tensor([[13]]), attention_mask=torch.ones(1, 1), kv_cache=kv_cache)


def test_an_image_given_again_with_a_later_token_is_refused(model):
    inputs = make_inputs([3])
    kv_cache = KVCache(model.config.text_config, 1, 20)
    model(**inputs, kv_cache=kv_cache)
    with pytest.raises(ValueError, match=r"among the 1 input_ids of each row: pixel_values belong to the first pass"):
        model(torch.tensor([[5]]), inputs["pixel_values"], kv_cache=kv_cache)


def test_loss_is_the_mean_over_labels_predicted_one_position_earlier():
    logits = torch.zeros(1, 3, 4)
    logits[0, 1, 2] = 5.0  # predicts the label at position 2
    loss = next_token_loss(logits, torch.tensor([[-100, 1, 2]]))
    at_zero, at_one = torch.log(torch.tensor(4.0)), torch.log(torch.tensor(3.0) + torch.exp(torch.tensor(5.0))) - 5
    torch.testing.assert_close(loss, (at_zero + at_one) / 2)


def test_the_loss_of_bfloat16_logits_is_computed_in_float32():
    logits = torch.randn(2, 40, 5000, generator=torch.Generator().manual_seed(0)).bfloat16()
    labels = torch.arange(80).view(2, 40)
    loss = next_token_loss(logits, labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, next_token_loss(logits.double(), labels).float(), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_suffix_token_changes_nothing_before_it(model):
    inputs = make_inputs([9], num_suffix=3)
    before = model(**inputs).logits
    inputs["input_ids"][0, -1] += 1
    after = model(**inputs).logits
    assert torch.equal(before[:, :-1], after[:, :-1]) and not torch.equal(before[:, -1], after[:, -1])


@torch.inference_mode()
def test_the_image_attends_to_the_prompt(model):
    inputs = make_inputs([9])
    before = model(**inputs).logits
    inputs["input_ids"][0, -1] += 1
    assert (before - model(**inputs).logits)[:, :NUM_IMAGE_TOKENS].abs().max() > 1e-3


@torch.inference_mode()
def test_precomputed_image_features_replace_the_image(model):
    inputs = make_inputs([7, 7])
    expected = model(**inputs).logits
    features = model.get_image_features(inputs.pop("pixel_values"))
    assert torch.equal(model(**inputs, image_features=features).logits, expected)


@torch.inference_mode()
def test_logits_to_keep_gives_only_the_last_positions(model):
    inputs = make_inputs([7, 7])
    torch.testing.assert_close(model(**inputs, logits_to_keep=2).logits, model(**inputs).logits[:, -2:])


def test_an_attention_mask_of_another_length_is_refused(model):
    inputs = make_inputs([7])
    inputs["attention_mask"] = inputs["attention_mask"][:, 1:]
    with pytest.raises(ValueError, match="attention_mask has shape"):
        model(**inputs)


def test_an_image_of_another_size_is_refused(model):
    inputs = make_inputs([7])
    inputs["pixel_values"] = torch.zeros(1, 3, 30, 28)
    with pytest.raises(ValueError, match=r"\[1, 3, 30, 28\]: expected \[batch, 3, 28, 28\]"):
        model(**inputs)
