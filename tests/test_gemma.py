"""Gemma's parts, with numbers that expose small mistakes."""

import dataclasses

import torch
from reference import tiny_config

from vlm.config import PaliGemmaConfig
from vlm.gemma import GemmaForCausalLM, GemmaRMSNorm, apply_rotary_pos_emb, repeat_kv, rotary_cos_sin


def test_rms_norm_scales_by_one_plus_weight_with_the_small_eps():
    norm = GemmaRMSNorm(4, eps=1e-6)
    norm.weight.data = torch.tensor([0.0, 0.5, -0.25, 1.0])
    states = torch.tensor([[1e-3, -2e-3, 0.0, 1e-3]])  # mean of squares 1.5e-6: eps counts
    expected = states / (1.5e-6 + 1e-6) ** 0.5 * torch.tensor([1.0, 1.5, 0.75, 2.0])
    torch.testing.assert_close(norm(states), expected, atol=1e-6, rtol=1e-5)


def test_key_value_heads_are_repeated_for_neighbors_not_tiled():
    states = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    assert repeat_kv(states, 2).flatten().tolist() == [1, 1, 2, 2]


def test_pairs_across_the_halves_are_rotated_by_the_position():
    cos, sin = rotary_cos_sin(torch.tensor([[2]]), head_dim=4, theta=100.0, dtype=torch.float32)
    angles = torch.tensor([2.0, 0.2])  # theta^0 and theta^-1/2
    rotated = apply_rotary_pos_emb(torch.tensor([1.0, 0.0, 0.0, 1.0]).view(1, 1, 1, 4), cos, sin).flatten()
    expected = torch.stack([angles[0].cos(), -angles[1].sin(), angles[0].sin(), angles[1].cos()])
    torch.testing.assert_close(rotated, expected)


def test_scores_depend_only_on_the_relative_position():
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, 1, 1, 8, generator=generator)

    def score(query_at: int, key_at: int) -> float:
        rotated = [
            apply_rotary_pos_emb(states, *rotary_cos_sin(torch.tensor([[at]]), 8, 10000.0, torch.float32))
            for states, at in ((query, query_at), (key, key_at))
        ]
        return (rotated[0] * rotated[1]).sum().item()

    assert abs(score(7, 3) - score(107, 103)) < 1e-5
    assert abs(score(7, 3) - score(7, 4)) > 1e-2


def test_angles_stay_float32_in_a_bfloat16_model():
    position = torch.tensor([[301]])  # bfloat16 has 300 and 302, but nothing in between
    cos, _ = rotary_cos_sin(position, 8, 10000.0, torch.bfloat16)
    exact, _ = rotary_cos_sin(position, 8, 10000.0, torch.float32)
    assert cos.dtype == torch.bfloat16
    torch.testing.assert_close(cos.float(), exact, atol=4e-3, rtol=0)  # rounded once, at the end


@torch.inference_mode()
def test_logits_of_the_last_position_do_not_copy_the_head():
    """In inference mode PyTorch multiplies a slice by an expanded weight, unless the slice is contiguous."""
    config = dataclasses.replace(PaliGemmaConfig.from_dict(tiny_config()).text_config, vocab_size=20_011)
    model = GemmaForCausalLM(config).bfloat16()
    states, mask = torch.randn(1, 12, 32).bfloat16(), torch.zeros(1, 1, 12, 12).bfloat16()
    with torch.profiler.profile(record_shapes=True) as profile:
        model(states, torch.arange(1, 13)[None], mask, logits_to_keep=1)
    copied = [shape for event in profile.events() if event.name == "aten::copy_" for shape in event.input_shapes]
    assert copied
    assert not any(20_011 in shape and 32 in shape for shape in copied)
