"""Attention weights as a running model has them: all of them, and only while we look."""

import pytest
import torch
from reference import NUM_IMAGE_TOKENS, make_inputs, randomize, tiny_config

from vlm.config import PaliGemmaConfig
from vlm.generate import generate_tokens
from vlm.inside.recording import record_attention
from vlm.paligemma import PaliGemmaForConditionalGeneration

VISION = [f"vision_tower.vision_model.encoder.layers.{i}.self_attn" for i in range(2)]
TEXT = [f"language_model.model.layers.{i}.self_attn" for i in range(3)]


@pytest.fixture(scope="module")
def model() -> PaliGemmaForConditionalGeneration:
    model = PaliGemmaForConditionalGeneration(PaliGemmaConfig.from_dict(tiny_config())).eval()
    randomize(model)
    return model


def num_hooks(model: torch.nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_each_attention_layer_is_kept_under_its_name_with_its_shape(model):
    inputs = make_inputs([7, 5])
    with record_attention(model) as weights:
        model(**inputs)
    assert list(weights) == VISION + TEXT
    length = NUM_IMAGE_TOKENS + 7
    assert [[tuple(tensor.shape) for tensor in kept] for kept in weights.values()] == (
        2 * [[(2, 3, NUM_IMAGE_TOKENS, NUM_IMAGE_TOKENS)]] + 3 * [[(2, 4, length, length)]]
    )


def test_rows_sum_to_one_and_no_weight_is_negative(model):
    with record_attention(model) as weights:
        model(**make_inputs([7, 5], num_suffix=2))
    for kept in weights.values():
        assert (kept[0] >= 0).all()
        torch.testing.assert_close(kept[0].sum(-1), torch.ones(kept[0].shape[:-1]))


def test_padding_and_later_tokens_get_no_weight(model):
    with record_attention(model) as weights:
        model(**make_inputs([7, 5], num_suffix=2))
    for name in TEXT:
        kept = weights[name][0]
        assert (kept[1, :, :, :2] == 0).all()  # the second row begins with two pads
        assert (kept[:, :, -2, -1] == 0).all()  # the last suffix token is hidden from the one before
        assert (kept[:, :, -1, 2:] > 0).all()


def test_the_weights_are_those_of_the_softmax(model):
    """Recomputed by hand for the first layer of the tower."""
    inputs = make_inputs([5])
    tower = model.vision_tower.vision_model
    with record_attention(model) as weights, torch.no_grad():
        model(**inputs)
        layer = tower.encoder.layers[0]
        states = layer.layer_norm1(tower.embeddings(inputs["pixel_values"]))
        query, key = layer.self_attn.q_proj(states)[0], layer.self_attn.k_proj(states)[0]
    second_head = slice(8, 16)
    by_hand = torch.softmax(query[:, second_head] @ key[:, second_head].T / 8**0.5, dim=-1)
    torch.testing.assert_close(weights[VISION[0]][0][0, 1], by_hand, atol=1e-6, rtol=0)


def test_recording_does_not_change_the_result(model):
    inputs = make_inputs([7, 5])
    with torch.no_grad():
        expected = model(**inputs).logits
        with record_attention(model):
            recorded = model(**inputs).logits
    assert torch.equal(recorded, expected)


def test_nothing_is_kept_after_the_block(model):
    inputs = make_inputs([5])
    with record_attention(model) as weights:
        model(**inputs)
    model(**inputs)
    assert all(len(kept) == 1 for kept in weights.values())
    assert num_hooks(model) == 0


def test_the_hooks_are_removed_when_the_block_fails(model):
    with pytest.raises(ZeroDivisionError), record_attention(model) as weights:
        assert num_hooks(model) == 5
        model(**make_inputs([5]))
        raise ZeroDivisionError
    assert num_hooks(model) == 0
    assert len(weights[TEXT[0]]) == 1  # what was seen until then can still be looked at


def test_hooks_of_others_stay(model):
    other = model.vision_tower.register_forward_hook(lambda *_: None)
    with record_attention(model):
        pass
    assert num_hooks(model) == 1
    other.remove()


def test_each_decode_step_is_recorded(model):
    inputs = make_inputs([6])
    with record_attention(model) as weights:
        steps = list(generate_tokens(model, inputs, max_new_tokens=4))
    assert len(steps) == 4
    prompt = NUM_IMAGE_TOKENS + 6
    assert [len(weights[name]) for name in VISION] == [1, 1]  # the picture is looked at once
    for name in TEXT:
        shapes = [tuple(kept.shape[2:]) for kept in weights[name]]
        assert shapes == [(prompt, prompt), (1, prompt + 1), (1, prompt + 2), (1, prompt + 3)]
        for kept in weights[name]:
            torch.testing.assert_close(kept.sum(-1), torch.ones(kept.shape[:-1]))


def test_what_is_kept_is_cut_from_the_graph(model):
    with record_attention(model) as weights:
        assert model(**make_inputs([5])).logits.requires_grad
    assert not any(tensor.requires_grad for kept in weights.values() for tensor in kept)


def test_a_part_of_the_model_can_be_recorded_alone(model):
    with record_attention(model.vision_tower) as weights:
        model(**make_inputs([5]))
    assert list(weights) == [name.removeprefix("vision_tower.") for name in VISION]
