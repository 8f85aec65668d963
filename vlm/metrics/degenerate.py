"""Degenerate answers, which are right for no question: the model repeats itself or never ends."""

import re
from collections.abc import Sequence

from vlm.regions.boxes import CODES_PER_MASK

_MAX_REPEATS = 2
_DIGIT = re.compile(r"[0-9]")  # a Gemma tokenizer writes numbers digit by digit: "1000" repeats one
_MASK_CODE = re.compile(r"<seg[0-9]{3}>")  # 0.5 % of the Toybox's true masks repeat a code three times


def is_degenerate(tokens: Sequence[str], eos_token: str = "<eos>") -> bool:
    """Whether an answer never ends, repeats a token three times in a row, or has more mask codes in a row than a mask.

    Digits and mask codes may repeat. "four" and "▁four", with a space before it, count as the same.

    Example: ["two", "▁cats", "<eos>"] is fine, ["four", "four", "four", "<eos>"] and ["two", "▁cats"] are not.

    Args:
        tokens: the answer, generated up to a limit that a sensible answer does not reach. Tokens after the first
            `eos_token` are ignored.
    """
    if eos_token not in tokens:
        return True
    answer = tokens[: tokens.index(eos_token)]
    num_repeats, num_codes, before = 0, 0, None
    for token in (token.removeprefix("▁") for token in answer):
        is_code = _MASK_CODE.fullmatch(token) is not None
        num_codes = num_codes + 1 if is_code else 0
        num_repeats = num_repeats + 1 if token == before else 1
        before = token
        may_repeat = is_code or _DIGIT.fullmatch(token) is not None
        if num_codes > CODES_PER_MASK or (num_repeats > _MAX_REPEATS and not may_repeat):
            return True
    return False
