"""Gemma's parts, with numbers that show the small mistakes."""

import torch

from vlm.gemma import GemmaRMSNorm, apply_rotary_pos_emb, repeat_kv, rotary_cos_sin


def test_rms_norm_scales_by_one_plus_weight_with_the_small_eps():
    norm = GemmaRMSNorm(4, eps=1e-6)
    norm.weight.data = torch.tensor([0.0, 0.5, -0.25, 1.0])
    states = torch.tensor([[1e-3, -2e-3, 0.0, 1e-3]])  # mean of squares 1.5e-6: eps counts
    expected = states / (1.5e-6 + 1e-6) ** 0.5 * torch.tensor([1.0, 1.5, 0.75, 2.0])
    torch.testing.assert_close(norm(states), expected, atol=1e-6, rtol=1e-5)


def test_key_value_heads_are_repeated_in_neighbouring_groups_not_tiled():
    states = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    assert repeat_kv(states, 2).flatten().tolist() == [1, 1, 2, 2]


def test_rotation_turns_pairs_of_halves_by_the_position():
    cos, sin = rotary_cos_sin(torch.tensor([[2]]), head_dim=4, theta=100.0, dtype=torch.float32)
    angles = torch.tensor([2.0, 0.2])  # theta^0 and theta^-1/2
    turned = apply_rotary_pos_emb(torch.tensor([1.0, 0.0, 0.0, 1.0]).view(1, 1, 1, 4), cos, sin).flatten()
    expected = torch.stack([angles[0].cos(), -angles[1].sin(), angles[0].sin(), angles[1].cos()])
    torch.testing.assert_close(turned, expected)


def test_scores_depend_on_the_distance_of_positions_alone():
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, 1, 1, 8, generator=generator)

    def score(query_at: int, key_at: int) -> float:
        turned = [
            apply_rotary_pos_emb(states, *rotary_cos_sin(torch.tensor([[at]]), 8, 10000.0, torch.float32))
            for states, at in ((query, query_at), (key, key_at))
        ]
        return (turned[0] * turned[1]).sum().item()

    assert abs(score(7, 3) - score(107, 103)) < 1e-5
    assert abs(score(7, 3) - score(7, 4)) > 1e-2


def test_angles_stay_float32_in_a_bfloat16_model():
    cos, _ = rotary_cos_sin(torch.tensor([[300]]), 8, 10000.0, torch.bfloat16)
    exact, _ = rotary_cos_sin(torch.tensor([[300]]), 8, 10000.0, torch.float32)
    assert cos.dtype == torch.bfloat16
    torch.testing.assert_close(cos.float(), exact, atol=4e-3, rtol=0)  # rounded once, at the end
