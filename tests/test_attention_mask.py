"""Masks as literal matrices: 1 where the query (row) may attend to the key (column)."""

import torch

from vlm.attention_mask import limit_to_window, make_position_ids, make_prefix_lm_mask


def visible(attention_mask: list[int], token_type_ids: list[int]) -> list[list[int]]:
    mask = make_prefix_lm_mask(torch.tensor([attention_mask]), torch.tensor([token_type_ids]), torch.float32)
    assert mask.shape == (1, 1, len(token_type_ids), len(attention_mask))
    assert set(mask.unique().tolist()) <= {0.0, torch.finfo(torch.float32).min}
    return (mask[0, 0] == 0).int().tolist()


def test_the_prefix_is_bidirectional_and_the_suffix_is_causal():
    assert visible([1, 1, 1, 1], [0, 0, 1, 1]) == [
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 1],
    ]


def test_padding_is_masked_and_no_row_is_empty():
    assert visible([0, 1, 1, 1], [0, 0, 0, 1]) == [
        [0, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 1, 1, 1],
    ]


def test_new_tokens_attend_to_the_cache_except_its_padding():
    assert visible([0, 1, 1, 1, 1], [1, 1]) == [
        [0, 1, 1, 1, 0],
        [0, 1, 1, 1, 1],
    ]


def visible_in_window(attention_mask: list[int], token_type_ids: list[int], window: int) -> list[list[int]]:
    types = torch.tensor([token_type_ids])
    mask = make_prefix_lm_mask(torch.tensor([attention_mask]), types, torch.float32)
    return (limit_to_window(mask, types, window)[0, 0] == 0).int().tolist()


def test_the_window_limits_the_suffix_and_the_prefix_stays_bidirectional():
    assert visible_in_window([0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1], window=2) == [
        [0, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1, 1],
    ]


def test_the_window_includes_cached_tokens():
    assert visible_in_window([1, 1, 1, 1, 1], [1, 1], window=3) == [
        [0, 1, 1, 1, 0],
        [0, 0, 1, 1, 1],
    ]


def test_positions_count_real_tokens_from_one():
    assert make_position_ids(torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]), 5).tolist() == [
        [1, 1, 1, 2, 3],
        [1, 2, 3, 4, 5],
    ]
    assert make_position_ids(torch.tensor([[0, 0, 1, 1, 1]]), 1).tolist() == [[3]]
