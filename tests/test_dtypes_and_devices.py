"""Tensors that the core creates (masks, positions, caches, scales) have the model's device and dtype."""

import pytest
import torch
from reference import make_inputs, make_reference, make_twin, tiny_config
from torch import nn

from vlm.attention_mask import make_position_ids, make_prefix_lm_mask
from vlm.config import PaliGemmaConfig
from vlm.gemma import GemmaRMSNorm
from vlm.kv_cache import KVCache
from vlm.paligemma import PaliGemmaForConditionalGeneration, merge_image_features


@pytest.mark.parametrize("generation", [1, 2])
def test_a_language_model_on_another_device_creates_nothing_on_the_cpu(generation):
    """The meta device stands for a GPU: an operation that mixes it with the CPU raises an error."""
    config = PaliGemmaConfig.from_dict(tiny_config(generation=generation))
    with torch.device("meta"):
        language_model = PaliGemmaForConditionalGeneration(config).language_model
    kv_cache = KVCache(config.text_config, 2, 8, device="meta")
    attention_mask, token_type_ids = torch.ones(2, 5, device="meta"), torch.zeros(2, 5, device="meta").long()
    mask = make_prefix_lm_mask(attention_mask, token_type_ids, torch.float32)
    logits = language_model(
        torch.zeros(2, 5, 32, device="meta"),
        make_position_ids(attention_mask, 5),
        language_model.make_layer_masks(mask, token_type_ids),
        kv_cache,
    )
    assert {logits.device.type, kv_cache.keys[0].device.type, kv_cache.values[0].device.type} == {"meta"}


def test_masks_caches_scales_and_merged_features_have_the_requested_dtype():
    dtype, text_config = torch.bfloat16, PaliGemmaConfig.from_dict(tiny_config()).text_config
    kv_cache = KVCache(text_config, 1, 4, dtype)
    assert {tensor.dtype for tensor in (*kv_cache.keys, *kv_cache.values)} == {dtype}
    mask = make_prefix_lm_mask(torch.ones(1, 3), torch.zeros(1, 3).long(), dtype)
    assert mask.dtype == dtype
    merged = merge_image_features(torch.zeros(1, 2, 3, dtype=dtype), torch.ones(1, 1, 3), torch.tensor([[True, False]]))
    assert merged.dtype == dtype and merged[0, 0].tolist() == [1, 1, 1]


def test_the_embedding_scale_is_rounded_to_the_dtype_of_the_weights():
    model = make_twin(make_reference()).bfloat16().language_model.model
    ids = torch.arange(90)[None]
    scale = torch.tensor(32**0.5).bfloat16()  # 5.65625, where the root is 5.65685
    assert torch.equal(model.embed(ids), model.embed_tokens(ids) * scale)


@pytest.mark.parametrize("generation", [1, 2])
def test_every_norm_has_the_epsilon_of_the_config(generation):
    values = tiny_config(generation=generation)
    values["vision_config"]["layer_norm_eps"], values["text_config"]["rms_norm_eps"] = 0.25, 0.125
    model = PaliGemmaForConditionalGeneration(PaliGemmaConfig.from_dict(values))
    assert {module.eps for module in model.modules() if isinstance(module, nn.LayerNorm)} == {0.25}
    assert {module.eps for module in model.modules() if isinstance(module, GemmaRMSNorm)} == {0.125}


@pytest.mark.parametrize("generation", [1, 2])
@torch.inference_mode()
def test_a_language_model_gives_the_logits_of_all_positions_unless_fewer_are_requested(generation):
    model = make_twin(make_reference(generation=generation), generation=generation)
    language_model, inputs = model.language_model, make_inputs([3])
    embeds = model.embed_inputs(inputs["input_ids"], model.get_image_features(inputs["pixel_values"]))
    length = embeds.shape[1]
    mask = make_prefix_lm_mask(torch.ones(1, length), torch.zeros(1, length).long(), torch.float32)
    masks = language_model.make_layer_masks(mask, torch.zeros(1, length).long())
    positions = torch.arange(1, length + 1)[None]
    everything = language_model(embeds, positions, masks)
    assert everything.shape[1] == length
    last = language_model(embeds, positions, masks, logits_to_keep=2)
    # A product of another shape may be summed in another order: equal up to rounding.
    torch.testing.assert_close(last, everything[:, -2:], rtol=1e-5, atol=1e-6)
