"""Wide cases for chapter 12, batched generation."""

from collections.abc import Iterator

import torch
from torch import Tensor

from grader.exercise import Case, Random
from tools.holes.wide import Wide, checks_of

CHECKS = checks_of("ch12_batches")


def texts(random: Random) -> Iterator[Case]:
    for lengths in ([1], [5], [1, 1], [3, 1, 7, 2], [6, 6], [2, 9], [9, 2]):
        for pad in (0, 1, 5, 255):
            rows = [random.integers(0, 300, length).tolist() for length in lengths]
            rows[-1][0] = rows[0][-1] = pad
            yield {"rows": rows, "pad_token_id": pad}
    yield {"rows": [[2], [], [3, 4]], "pad_token_id": 9}


def attention_masks(random: Random) -> Iterator[Case]:
    for left, reals, right in [
        ([0], [1], [0]),
        ([3], [1], [0]),
        ([0], [2], [3]),
        ([2], [5], [4]),
        ([0, 6, 3, 1], [7, 1, 2, 3], [0, 0, 2, 3]),
        ([0, 0], [4, 4], [0, 0]),
        ([5, 0, 2], [1, 1, 1], [0, 5, 3]),
    ]:
        for new_tokens in (0, 1, 6):
            yield {"attention_mask": CHECKS.padded(left, reals, right), "new_tokens": new_tokens}


def several_at_once(random: Random) -> Iterator[Case]:
    for case in attention_masks(random):
        for num_new in {1, 2, case["attention_mask"].shape[1]}:
            if num_new <= case["attention_mask"].shape[1]:
                yield {"attention_mask": case["attention_mask"], "num_new": num_new}


def call_steps(submission, case: Case) -> dict:
    """The form of the answer for any number of columns, and the distances between real tokens that are neighbors."""
    mask, num_new = case["attention_mask"], case["num_new"]
    positions = submission.count_positions(mask, num_new)
    real = mask[:, -num_new:].bool()
    both = real[:, 1:] & real[:, :-1]
    return {"like": torch.zeros_like(positions), "steps": positions.diff(dim=1) * both}


def logits_of_rows(random: Random) -> Iterator[Case]:
    for left, reals, right in [
        ([0], [1], [0]),
        ([4], [1], [0]),
        ([0], [1], [4]),
        ([3, 0, 1, 0], [2, 5, 3, 1], [0, 0, 1, 4]),
        ([1, 2], [2, 1], [2, 2]),
    ]:
        mask = CHECKS.padded(left, reals, right)
        for size in (1, 2, 30):
            yield {"logits": random.normal(*mask.shape, size), "attention_mask": mask}


def score_matrices(random: Random) -> Iterator[Case]:
    for shape in [(1, 1), (2, 5), (4, 1), (2, 3, 4), (2, 2, 3, 7)]:
        for dtype, middle, size in [
            (torch.float32, 0, 1),
            (torch.float32, -20000, 50),
            (torch.float32, 20000, 2),
            (torch.float32, 0, 1e5),
            (torch.float32, -1e9, 1e8),
            (torch.float32, 1e30, 1e29),
            (torch.float16, 0, 1),
            (torch.float16, -60000, 100),
            (torch.float16, 60000, 100),
            (torch.float16, 0, 2e4),
        ]:
            visible = random.uniform(*shape) < 0.5
            scores = (middle + random.normal(*shape, scale=size)).to(dtype)
            if scores.isfinite().all():
                yield {"scores": scores, "visible": visible}
                yield {"scores": scores, "visible": torch.ones_like(visible)}
                yield {"scores": scores, "visible": torch.zeros_like(visible)}
    # The largest score is hidden, and leaves the others nothing of what float32 can hold.
    for hidden in (200.0, 1e4, 3e38):
        scores = torch.tensor([[0.0, 1.0, hidden], [hidden, -2.0, -1.0]])
        yield {"scores": scores, "visible": scores < hidden}


def scripts(random: Random) -> Iterator[Case]:
    for pad, eos, vocabulary in [(0, 1, 16), (7, 3, 9), (2, 0, 5), (3, 4, 5)]:
        others = [token for token in range(vocabulary) if token not in (eos,)]
        for lengths, max_new_tokens in [
            ([0], 1),
            ([3], 1),
            ([2], 2),
            ([3], 3),
            ([0, 0, 0], 4),
            ([4, 0, 2, 1], 9),
            ([1, 5], 5),
            ([5, 1, 5], 6),
            ([20, 1], 7),
        ]:
            for pads in ([0] * len(lengths), [random.integer(0, 4) for _ in lengths]):
                said = [[*(random.choice(others) for _ in range(length)), eos] for length in lengths]
                said[0][:-1] = [pad] * (len(said[0]) - 1)
                mask = CHECKS.padded(pads, [4 - n for n in pads], [0] * len(pads))
                ids = torch.where(mask == 1, random.integers(0, vocabulary, *mask.shape), pad)
                yield {
                    "input_ids": ids,
                    "attention_mask": mask,
                    "said": said,
                    "max_new_tokens": max_new_tokens,
                    "eos_token_id": eos,
                    "pad_token_id": pad,
                    "vocabulary": vocabulary,
                }


def call_generate(submission, case: Case) -> dict:
    """Every call's arguments, and the tokens. A model that goes on talking after it has ended, in low scores."""
    asked, length = [], case["input_ids"].shape[1]

    def next_logits(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        ended = (input_ids[:, length:-1] == case["eos_token_id"]).any(-1) if input_ids.shape[1] > length else None
        asked.append((list(input_ids.shape), attention_mask.long().clone(), ended))
        step = input_ids.shape[1] - length
        logits = torch.full((len(input_ids), case["vocabulary"]), -50.0)
        for row, said in enumerate(case["said"]):
            logits[row, said[step] if step < len(said) else (step * 7 + row) % case["vocabulary"]] = -3.0
        return logits

    arguments = ("input_ids", "attention_mask", "max_new_tokens", "eos_token_id", "pad_token_id")
    new = submission.generate_batch(next_logits, *(case[name] for name in arguments))
    return {"new": new, "shapes and masks": [call[:2] for call in asked], "calls": len(asked)}


WIDE = [
    Wide("pad_left", texts),
    Wide("count_positions", attention_masks),
    Wide("count_positions", several_at_once, {"call": call_steps}),
    Wide("last_real_logits", logits_of_rows),
    Wide("masked_softmax", score_matrices),
    Wide("generate_batch", scripts, {"call": call_generate}),
]
WITHOUT = {"masked_softmax": ("bfloat16", "float64")}
