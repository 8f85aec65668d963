"""Masks, as literal matrices: 1 where the row may look at the column."""

import torch

from vlm.masks import make_position_ids, make_prefix_lm_mask


def visible(attention_mask: list[int], token_type_ids: list[int]) -> list[list[int]]:
    mask = make_prefix_lm_mask(torch.tensor([attention_mask]), torch.tensor([token_type_ids]), torch.float32)
    assert mask.shape == (1, 1, len(token_type_ids), len(attention_mask))
    assert set(mask.unique().tolist()) <= {0.0, torch.finfo(torch.float32).min}
    return (mask[0, 0] == 0).int().tolist()


def test_prefix_sees_itself_in_full_and_the_suffix_is_a_staircase():
    assert visible([1, 1, 1, 1], [0, 0, 1, 1]) == [
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 1],
    ]


def test_padding_is_seen_by_nobody_and_no_row_is_empty():
    assert visible([0, 1, 1, 1], [0, 0, 0, 1]) == [
        [0, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 1, 1, 1],
    ]


def test_new_tokens_see_all_that_is_cached_but_its_padding():
    assert visible([0, 1, 1, 1, 1], [1, 1]) == [
        [0, 1, 1, 1, 0],
        [0, 1, 1, 1, 1],
    ]


def test_positions_count_real_tokens_from_one():
    assert make_position_ids(torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]), 5).tolist() == [
        [1, 1, 1, 2, 3],
        [1, 2, 3, 4, 5],
    ]
    assert make_position_ids(torch.tensor([[0, 0, 1, 1, 1]]), 1).tolist() == [[3]]
