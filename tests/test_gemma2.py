"""What only Gemma 2 has, part by part. test_parity.py compares the whole model with transformers."""

from dataclasses import replace
from itertools import pairwise
from unittest.mock import patch

import pytest
import torch
from reference import randomize, tiny_config
from torch import nn

from vlm.attention import attention, soft_cap
from vlm.config import PaliGemmaConfig
from vlm.gemma2 import Gemma2DecoderLayer, Gemma2ForCausalLM, LayerMasks
from vlm.kv_cache import KVCache


@pytest.fixture
def config():
    return PaliGemmaConfig.from_dict(tiny_config(generation=2)).text_config


def test_a_soft_cap_keeps_small_values_bounds_large_ones_and_keeps_the_order():
    values = torch.tensor([-500.0, -50.0, 0.0, 1.0, 50.0, 500.0])
    capped = soft_cap(values, 50.0)
    torch.testing.assert_close(capped, torch.tensor([-50.0, -38.08, 0.0, 1.0, 38.08, 50.0]), atol=5e-3, rtol=0)
    assert capped.argsort().tolist() == list(range(6))


def test_scores_are_capped_before_the_mask_so_that_masked_keys_stay_masked():
    query, key, value = (torch.randn(1, 1, 3, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    mask = torch.tensor([[0.0, torch.finfo(torch.float32).min, 0.0]])
    _, weights = attention(100 * query, key, value, 1.0, mask, softcap=2.0)
    assert weights[..., 1].max() == 0
    assert weights[..., 0].min() > 0.01  # capped at 2, the others differ by a factor of at most e^4


def test_the_output_norms_make_a_block_independent_of_the_scale_of_its_sublayers(config):
    layer = Gemma2DecoderLayer(config, layer_idx=1)
    randomize(layer)
    states, masks = torch.randn(1, 5, 32), LayerMasks(*torch.zeros(2, 1, 1, 5, 5))
    cos, sin = torch.ones(1, 1, 5, 10), torch.zeros(1, 1, 5, 10)
    before = layer(states, cos, sin, masks)
    with torch.no_grad():
        layer.self_attn.o_proj.weight.mul_(8)
        layer.mlp.down_proj.weight.mul_(8)
    torch.testing.assert_close(layer(states, cos, sin, masks), before, atol=1e-4, rtol=1e-4)


def test_layers_alternate_between_the_masks(config):
    full, sliding = torch.zeros(2, 1, 1, 4, 4)
    sliding += torch.full((4, 4), torch.finfo(torch.float32).min).triu(1)
    cos, sin = torch.ones(1, 1, 4, 10), torch.zeros(1, 1, 4, 10)
    states = torch.randn(1, 4, 32, generator=torch.Generator().manual_seed(0))
    for layer_idx, is_sliding in ((0, True), (1, False)):
        torch.manual_seed(0)
        layer = Gemma2DecoderLayer(config, layer_idx)
        own = sliding if is_sliding else full
        alone = layer(states, cos, sin, LayerMasks(own, own))
        assert torch.equal(layer(states, cos, sin, LayerMasks(full, sliding)), alone)
        assert not torch.equal(layer(states, cos, sin, LayerMasks(sliding, full)), alone)


def test_logits_stay_within_the_cap_and_the_head_is_tied(config):
    model = Gemma2ForCausalLM(config)
    randomize(model)
    with torch.no_grad():
        model.lm_head.weight.mul_(100)
    masks = LayerMasks(*torch.zeros(2, 1, 1, 5, 5))
    logits = model(torch.randn(1, 5, 32), torch.arange(1, 6)[None], masks)
    assert logits.abs().max() <= config.final_logit_softcapping
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_no_layer_is_built_twice(config):
    with patch.object(nn, "Linear", wraps=nn.Linear) as make_linear:
        model = Gemma2ForCausalLM(config)
    assert make_linear.call_count == sum(isinstance(module, nn.Linear) for module in model.modules())


def test_without_window_and_caps_a_gemma_2_has_one_mask_and_plain_logits(config):
    model = Gemma2ForCausalLM(replace(config, sliding_window=None, final_logit_softcapping=None))
    randomize(model)
    with torch.no_grad():
        model.lm_head.weight.mul_(100)
    mask, token_type_ids = torch.zeros(1, 1, 5, 5), torch.zeros(1, 5).long()
    masks = model.make_layer_masks(mask, token_type_ids)
    assert masks.full is masks.sliding is mask
    assert model(torch.randn(1, 5, 32), torch.arange(1, 6)[None], masks).abs().max() > config.final_logit_softcapping


@torch.inference_mode()
def test_each_layer_fills_its_own_part_of_the_cache(config):
    model, kv_cache = Gemma2ForCausalLM(config), KVCache(config, 1, 5)
    randomize(model)
    masks = LayerMasks(*torch.zeros(2, 1, 1, 5, 5))
    model(torch.randn(1, 5, 32), torch.arange(1, 6)[None], masks, kv_cache)
    assert all(keys.abs().min() > 0 for keys in kv_cache.keys)
    assert not any(torch.equal(a, b) for a, b in pairwise(kv_cache.keys))
