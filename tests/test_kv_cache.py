"""The cache: preallocated once, filled from the left, reusable."""

import pytest
import torch
from reference import make_inputs, make_reference, make_twin, tiny_config

from vlm.config import PaliGemmaConfig
from vlm.kv_cache import KVCache

TEXT_CONFIG = PaliGemmaConfig.from_dict(tiny_config()).text_config


def test_update_returns_everything_so_far_without_allocating():
    cache = KVCache(TEXT_CONFIG, batch_size=2, max_length=5)
    address = cache.keys[1].data_ptr()
    first, second = torch.randn(2, 2, 3, 10), torch.randn(2, 2, 2, 10)
    cache.update(1, first, first)
    cache.advance(3)
    keys, values = cache.update(1, second, 2 * second)
    assert torch.equal(keys, torch.cat([first, second], dim=2))
    assert torch.equal(values, torch.cat([first, 2 * second], dim=2))
    assert cache.keys[1].data_ptr() == address == keys.data_ptr()


def test_a_full_cache_says_how_much_does_not_fit():
    cache = KVCache(TEXT_CONFIG, batch_size=1, max_length=2)
    with pytest.raises(ValueError, match="holds 2 tokens: 0 are in it and 3 more do not fit"):
        cache.update(0, torch.zeros(1, 2, 3, 10), torch.zeros(1, 2, 3, 10))


def test_another_batch_size_is_refused():
    cache = KVCache(TEXT_CONFIG, batch_size=1, max_length=9)
    with pytest.raises(ValueError, match="batch of 1: got 2 rows"):
        cache.update(0, torch.zeros(2, 2, 3, 10), torch.zeros(2, 2, 3, 10))


@torch.inference_mode()
def test_a_reset_cache_gives_the_same_logits_as_a_new_one():
    model = make_twin(make_reference())
    used, fresh = (KVCache(model.config.text_config, 2, max_length=30) for _ in range(2))
    model(**make_inputs([12, 9], seed=1), kv_cache=used)
    used.reset()
    inputs = make_inputs([6, 8], seed=2)
    assert torch.equal(model(**inputs, kv_cache=used).logits, model(**inputs, kv_cache=fresh).logits)
    assert used.length == fresh.length == inputs["input_ids"].shape[1]
