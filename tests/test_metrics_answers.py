"""Answers that people would call the same, and how far people agree."""

import pytest

from vlm.metrics.answers import is_exact_match, normalize_answer, vqa_accuracy


@pytest.mark.parametrize(
    ("answer", "normalized"),
    [
        ("  Two cats, on the grass. ", "2 cats on grass"),
        ("YES!", "yes"),
        ("A bird and an apple", "bird and apple"),
        ("1,000 birds", "1000 birds"),
        ("2.5", "2.5"),
        ("2.", "2"),
        ("top-left", "top left"),
        ("it's a cat", "it's cat"),
        ("another theory", "another theory"),  # no article is taken out of a word
        ("someone", "someone"),
        ("", ""),
        ("the", ""),
    ],
)
def test_what_does_not_matter_is_taken_out(answer, normalized):
    assert normalize_answer(answer) == normalized


def test_exact_match_is_of_the_normalized_answers():
    assert is_exact_match("Two dogs.", "2 dogs")
    assert not is_exact_match("two dog", "two dogs")


@pytest.mark.parametrize(("agreeing", "accuracy"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)])
def test_vqa_accuracy_by_how_many_of_ten_people_agree(agreeing, accuracy):
    humans = ["Red."] * agreeing + ["blue"] * (10 - agreeing)
    assert vqa_accuracy("red", humans) == pytest.approx(accuracy)
