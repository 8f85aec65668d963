"""The model against transformers' PaliGemma, float32, on small random weights. The bar: 1e-5 in every logit."""

import copy
import dataclasses

import pytest
import torch
from reference import NUM_IMAGE_TOKENS, cache_argument, make_inputs, make_reference, make_twin

from vlm.attention_mask import make_position_ids
from vlm.generate import generate_tokens
from vlm.kv_cache import KVCache
from vlm.loader import load_model, save_hf_model

BAR = 1e-5


# Key/value heads, and PaliGemma or PaliGemma 2.
MODELS = {"one_kv_head": (1, 1), "two_kv_heads": (2, 1), "gemma2_one_kv_head": (1, 2), "gemma2_two_kv_heads": (2, 2)}


@pytest.fixture(scope="module", params=MODELS.values(), ids=MODELS)
def pair(request):
    reference = make_reference(*request.param)
    return reference, make_twin(reference, *request.param)


def largest_difference(ours, theirs, attention_mask=None):
    difference = (ours - theirs).abs()
    if attention_mask is not None:  # outputs at padded positions are meaningless in both models
        difference = difference[attention_mask.bool()]
    return difference.max().item()


@torch.inference_mode()
def test_prefill_equals_the_reference(pair):
    reference, model = pair
    inputs = make_inputs([7, 7])
    assert largest_difference(model(**inputs).logits, reference(**inputs).logits) <= BAR


@torch.inference_mode()
def test_prefix_and_suffix_equal_the_reference(pair):
    reference, model = pair
    inputs = make_inputs([9, 9], num_suffix=4)
    assert largest_difference(model(**inputs).logits, reference(**inputs).logits) <= BAR


@pytest.mark.parametrize(("dtype", "bar"), [(torch.float32, BAR), (torch.bfloat16, 0.2), (torch.float16, 0.025)])
@torch.inference_mode()
def test_a_long_row_equals_the_reference_up_to_the_rounding_of_each_dtype(pair, dtype, bar):
    """600 tokens: bfloat16 cannot represent every position above 256. The bars are twice what was measured."""
    reference, model = (copy.deepcopy(one).to(dtype) for one in pair)
    inputs = make_inputs([596], num_suffix=300)
    ours, theirs = model(**inputs).logits, reference(**inputs).logits
    assert ours.dtype == dtype and ours.shape[1] == 600
    assert largest_difference(ours.float(), theirs.float()) <= bar


@torch.inference_mode()
def test_left_padded_batch_equals_the_reference(pair):
    reference, model = pair
    inputs = make_inputs([9, 4, 7], num_suffix=2)
    ours, theirs = model(**inputs).logits, reference(**inputs).logits
    assert largest_difference(ours, theirs, inputs["attention_mask"]) <= BAR


@torch.inference_mode()
def test_cached_decoding_equals_the_reference(pair):
    from transformers import DynamicCache

    reference, model = pair
    inputs = make_inputs([9, 4, 7])
    attention_mask = inputs["attention_mask"]
    kv_cache = KVCache(model.config.text_config, batch_size=3, max_length=40)
    cached = {cache_argument(reference): DynamicCache(config=reference.config.text_config), "use_cache": True}
    ours = model(**inputs, kv_cache=kv_cache).logits
    position_ids = make_position_ids(attention_mask, attention_mask.shape[1])  # its default ignores padding
    theirs = reference(**inputs, position_ids=position_ids, **cached).logits
    assert largest_difference(ours, theirs, attention_mask) <= BAR
    new_tokens = torch.randint(3, 90, (3, 20), generator=torch.Generator().manual_seed(1))
    for token in new_tokens.split(1, dim=1):
        position_ids = attention_mask.sum(-1, keepdim=True) + 1
        attention_mask = torch.cat([attention_mask, torch.ones(3, 1, dtype=torch.long)], dim=1)
        ours = model(token, attention_mask=attention_mask, kv_cache=kv_cache).logits
        theirs = reference(
            input_ids=token,
            attention_mask=attention_mask,
            token_type_ids=torch.ones_like(token),
            position_ids=position_ids,
            **cached,
        ).logits
        assert largest_difference(ours, theirs) <= BAR


def test_greedy_output_equals_generate_over_32_tokens(pair):
    reference, model = pair
    inputs = make_inputs([9, 4, 7])
    model.config = dataclasses.replace(model.config, eos_token_id=10**6)  # neither must stop early
    ours = torch.stack(list(generate_tokens(model, inputs, max_new_tokens=32)), dim=1)
    theirs = reference.generate(**inputs, max_new_tokens=32, do_sample=False, eos_token_id=None, pad_token_id=0)
    assert ours.shape == (3, 32)
    assert ours.tolist() == theirs[:, inputs["input_ids"].shape[1] :].tolist()


@torch.inference_mode()
def test_loss_equals_the_reference(pair):
    reference, model = pair
    inputs = make_inputs([9, 4, 7], num_suffix=3)
    labels = inputs["input_ids"].masked_fill(inputs["token_type_ids"] == 0, -100)
    ours, theirs = model(**inputs, labels=labels).loss, reference(**inputs, labels=labels).loss
    assert abs(ours.item() - theirs.item()) <= BAR
    assert ours.item() > 1  # a loss of 0 would be equal too


@torch.inference_mode()
def test_what_transformers_saves_loads_here(pair, tmp_path):
    reference, model = pair
    reference.save_pretrained(tmp_path)
    loaded, inputs = load_model(tmp_path), make_inputs([5, 5])
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)
    # Weights from a file have other addresses, and some kernels then sum in another order.
    assert largest_difference(loaded(**inputs).logits, model(**inputs).logits) <= BAR


@torch.inference_mode()
def test_what_is_saved_here_loads_in_transformers(pair, tmp_path):
    from transformers import PaliGemmaForConditionalGeneration as ReferenceModel

    reference, model = pair
    save_hf_model(model, tmp_path)
    loaded, report = ReferenceModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    inputs = make_inputs([5, 5])
    torch.testing.assert_close(loaded.state_dict(), reference.state_dict(), rtol=0, atol=0)
    assert largest_difference(loaded(**inputs).logits, reference(**inputs).logits) <= BAR


@torch.inference_mode()
def test_cached_uncached_batched_and_padded_agree(pair):
    """The same answer, computed in four ways: at once, token by token, alone, and padded in a batch of longer rows."""
    _, model = pair
    whole = make_inputs([9, 4, 7], num_suffix=3)
    expected = model(**whole).logits[:, -3:]  # [B, 3, V]

    kv_cache = KVCache(model.config.text_config, batch_size=3, max_length=NUM_IMAGE_TOKENS + 9)
    prefix = {name: tensor[:, :-3] for name, tensor in whole.items() if name != "pixel_values"}
    model(**prefix, pixel_values=whole["pixel_values"], kv_cache=kv_cache)
    for step in range(3):
        end = whole["input_ids"].shape[1] - 2 + step
        token, attention_mask = whole["input_ids"][:, end - 1 : end], whole["attention_mask"][:, :end]
        cached = model(token, attention_mask=attention_mask, kv_cache=kv_cache).logits[:, 0]
        assert largest_difference(cached, expected[:, step]) <= BAR

    for row in range(3):
        real = whole["attention_mask"][row].bool()
        alone = {name: tensor[row : row + 1, real] for name, tensor in whole.items() if name != "pixel_values"}
        logits = model(**alone, pixel_values=whole["pixel_values"][row : row + 1]).logits[0, -3:]
        assert largest_difference(logits, expected[row]) <= BAR
