"""Answers that run in circles, or never end, are told from those that only repeat what may be repeated."""

import pytest
import torch
from transformers import AutoTokenizer

from toybox import CHECKPOINT_DIRECTORY
from vlm.metrics.degenerate import is_degenerate

BOX = ["<loc0100>", "<loc0100>", "<loc0600>", "<loc0700>"]
MASK = [*BOX, *[f"<seg{code:03d}>" for code in range(16)], "▁cat"]


@pytest.mark.parametrize(
    "tokens",
    [
        ["<eos>"],
        ["two", "▁cats", "▁on", "▁grass", "<eos>"],
        ["1", "0", "0", "0", "<eos>"],
        ["▁1", "▁1", "▁1", "<eos>"],
        ["a", "a", "b", "a", "a", "<eos>"],
        [*MASK, "▁;", *MASK, "<eos>"],
        [*BOX, *["<seg005>"] * 16, "▁cat", "<eos>"],
    ],
)
def test_an_answer_that_ends_and_moves_on_is_fine(tokens):
    assert not is_degenerate(tokens)


@pytest.mark.parametrize(
    "tokens",
    [
        ["four", "four", "four", "<eos>"],
        ["a", "▁cat", "▁cat", "▁cat", "▁cat", "▁on", "<eos>"],
        [*["<loc0512>"] * 3, "<loc0600>", "▁cat", "<eos>"],
        [*MASK[:-1], "<seg001>", "▁cat", "<eos>"],
        [*BOX, *["<seg005>"] * 17, "▁cat", "<eos>"],
    ],
)
def test_a_token_three_times_in_a_row_and_a_mask_too_long_are_not(tokens):
    assert is_degenerate(tokens)


def test_three_times_means_one_after_another():
    assert is_degenerate(["x", "y", "y", "y", "<eos>"])
    assert not is_degenerate(["y", "x", "y", "x", "y", "y", "<eos>"])


@pytest.mark.parametrize("tokens", [[], ["two", "▁cats"], ["<pad>"], ["1", "2"]])
def test_an_answer_without_an_end_is_not(tokens):
    assert is_degenerate(tokens)


def test_what_comes_after_the_end_is_not_read():
    assert not is_degenerate(["yes", "<eos>", "<pad>", "<pad>", "<pad>", "<pad>"])
    assert not is_degenerate(["yes", "</s>", "<eos>", "<eos>", "<eos>"], eos_token="</s>")
    assert is_degenerate(["yes", "<eos>"], eos_token="</s>")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("fourfourfour", True), ("four four four", True), ("two cats and four dogs", False), ("1111", False)],
)
def test_with_the_tokens_of_the_toybox(text, expected):
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT_DIRECTORY)
    ids = torch.tensor([*tokenizer.encode(text), tokenizer.eos_token_id]).tolist()
    assert is_degenerate(tokenizer.convert_ids_to_tokens(ids), tokenizer.eos_token) is expected
