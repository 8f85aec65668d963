"""Metrics of written answers, where the same thing may be written in several ways."""

import re
from collections.abc import Sequence

_ARTICLES = {"a", "an", "the"}
_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {word: str(number) for number, word in enumerate(_NUMBER_WORDS)}
# A comma in a number is removed ("1,000" is "1000"), a point in it stays ("2.5"); other punctuation separates words.
_COMMA_IN_NUMBER = re.compile(r"(?<=\d),(?=\d)")
_SEPARATOR = re.compile(r"(?<!\d)\.|\.(?!\d)|[^\w\s.']")


def normalize_answer(answer: str) -> str:
    """Ignore case, punctuation, articles and extra spaces; write number words as digits.

    Example: "  Two cats, on the grass. " -> "2 cats on grass".

    Source: the rules of the VQA evaluation (arXiv 1505.00468), except its list of contractions, and that it reads
    `none` as 0.
    """
    text = _SEPARATOR.sub(" ", _COMMA_IN_NUMBER.sub("", answer.lower()))
    words = (_DIGITS.get(word, word) for word in text.split())
    return " ".join(word for word in words if word not in _ARTICLES)


def is_exact_match(answer: str, truth: str) -> bool:
    """Whether two answers are the same after `normalize_answer`."""
    return normalize_answer(answer) == normalize_answer(truth)


def vqa_accuracy(answer: str, human_answers: Sequence[str]) -> float:
    """Agreement with people: 1 if three others gave this answer, 1/3 if one did.

    People are measured by the answers of the others; to be fair to them, each person is left out once, and the results
    are averaged. With ten answers, of which k are the same as this one: 0, 0.3, 0.6, 0.9 for k = 0 to 3, 1 from 4 on.

    Args:
        human_answers: to one question, usually ten.

    Source: VQA (arXiv 1505.00468), section 3, and its evaluation code.
    """
    agrees = [is_exact_match(answer, human) for human in human_answers]
    others = [sum(agrees) - own for own in agrees]  # how many of the others agree
    return sum(min(count / 3, 1.0) for count in others) / len(human_answers)
