"""Checks of exercises/ch12_batches.py: test cases for each exercise. The solutions define what is right."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from grader import Case, Exercise, Random

PAD, EOS, VOCABULARY = 0, 1, 16


def texts(random: Random) -> Iterator[Case]:
    for lengths, pad in (([4, 2, 5], PAD), ([1, 6], 3), ([3, 3], PAD)):
        rows = [random.integers(4, VOCABULARY, length).tolist() for length in lengths]
        rows[0][random.integer(0, len(rows[0]))] = pad  # a real token with the id of the pad token
        yield {"rows": rows, "pad_token_id": pad}


def padded(pads: list[int], reals: list[int], after: list[int]) -> Tensor:
    """Attention masks: for each row, the number of pads on the left, of real tokens, and of pads on the right."""
    return torch.tensor([[0] * a + [1] * b + [0] * c for a, b, c in zip(pads, reals, after, strict=True)])


def prompts(random: Random) -> Iterator[Case]:
    for on_the_left, on_the_right in ((True, False), (False, True), (True, True)):
        length = random.integer(8, 14)
        left = [0, random.integer(1, 4) * on_the_left, random.integer(1, 4) * on_the_left]
        right = [random.integer(1, 3) * on_the_right, random.integer(1, 4) * on_the_right, 0]
        reals = [length - a - c for a, c in zip(left, right)]
        yield {"attention_mask": padded(left, reals, right), "new_tokens": 2}


def call_count_positions(submission, case: Case) -> dict:
    """The shapes, and for each real token its position minus that of the one before it; -1 where there is none."""
    mask = case["attention_mask"]
    positions = [submission.count_positions(mask, mask.shape[1])]
    for _ in range(case["new_tokens"]):
        mask = torch.nn.functional.pad(mask, (0, 1), value=1)
        positions.append(submission.count_positions(mask, 1))
    shapes = [list(found.shape) for found in positions]
    steps = torch.full(mask.shape, -1)
    if all(len(shape) == 2 for shape in shapes) and [len(mask)] * len(shapes) == [shape[0] for shape in shapes]:
        whole = torch.cat(positions, dim=1)  # [B, T]
        for row in range(len(whole)):
            columns = mask[row].nonzero()[:, 0]
            steps[row, columns[1:]] = whole[row, columns[1:]] - whole[row, columns[:-1]]
    return {"shapes": shapes, "position of each real token minus that of the one before": steps}


def logits_of_rows(random: Random) -> Iterator[Case]:
    for mask in (
        padded([0, 2], [5, 3], [0, 0]),
        padded([0, 0, 0], [6, 2, 4], [0, 4, 2]),
        padded([1, 0], [2, 4], [1, 0]),
    ):
        yield {"logits": random.normal(*mask.shape, 7), "attention_mask": mask}


def score_matrices(random: Random) -> Iterator[Case]:
    # Scores far below 0, far above 0, and far apart: the fill value must be lower still, and nothing may overflow.
    for shape, dtype, size, middle in (
        ((2, 4, 5), torch.float32, 3.0, 0.0),
        ((1, 2, 3, 6), torch.float32, 3.0, 0.0),
        ((3, 4), torch.float16, 3.0, 0.0),
        ((3, 4), torch.float32, 3.0, -300.0),
        ((3, 5), torch.float16, 1.0, 40.0),
        ((3, 5), torch.float16, 1.0, -40.0),
    ):
        visible = random.uniform(*shape) < 0.6
        visible[..., 0, :] = False
        visible[..., 1, 0], visible[..., 1, 1] = True, False
        yield {"scores": (middle + random.normal(*shape, scale=size)).to(dtype), "visible": visible}


def scripts(random: Random) -> Iterator[Case]:
    for lengths, max_new_tokens in (([2, 5, 3], 8), ([1, 1], 6), ([4, 9], 5), ([0, 3], 7)):
        said = [[*random.integers(3, VOCABULARY, length).tolist(), EOS] for length in lengths]
        pads = [random.integer(0, 3) for _ in lengths]
        mask = padded(pads, [5 - pad for pad in pads], [0] * len(pads))
        ids = random.integers(3, VOCABULARY, *mask.shape) * mask
        ids[0, -1], ids[-1, -2] = EOS, PAD  # in a prompt they are ordinary tokens
        said[-1][:-2] = [PAD for _ in said[-1][:-2]]  # and the model may generate the pad token
        yield {"input_ids": ids, "attention_mask": mask, "said": said, "max_new_tokens": max_new_tokens}


def call_generate(submission, case: Case) -> dict:
    """Run it with a fake model that follows the case's script and records every wrong argument it is given."""
    length, calls, problems = case["input_ids"].shape[1], [], set()

    def next_logits(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        step = input_ids.shape[1] - length
        calls.append(step)
        if not torch.equal(input_ids[:, :length], case["input_ids"]):
            problems.add("input_ids do not begin with the prompt")
        if attention_mask.shape != input_ids.shape:
            problems.add("attention_mask and input_ids differ in shape")
        elif not torch.equal(attention_mask[:, :length], case["attention_mask"]):
            problems.add("the prompt's part of attention_mask was changed")
        elif not (attention_mask[:, length:] == 1).all():
            problems.add("the attention_mask of a new token is not 1")
        logits = torch.zeros(len(input_ids), VOCABULARY)
        for row, said in enumerate(case["said"]):
            right_mask = torch.nn.functional.pad(case["attention_mask"][row], (0, step), value=1)
            told = input_ids[row, length:].tolist() == said[:step] and torch.equal(attention_mask[row], right_mask)
            # After the end of its script, or after wrong arguments, it generates nonsense.
            logits[row, said[step] if told and step < len(said) else 2] = 5.0
        return logits

    new = submission.generate_batch(
        next_logits, case["input_ids"], case["attention_mask"], case["max_new_tokens"], EOS, PAD
    )
    return {"wrong arguments of next_logits": sorted(problems), "calls of next_logits": len(calls), "new tokens": new}


EXERCISES = [
    Exercise("pad_left", "Padding rows to one length", texts, section="Left padding"),
    Exercise(
        "count_positions",
        "Position ids",
        prompts,
        points=2,
        call=call_count_positions,
        forbidden=("vlm.attention_mask.make_position_ids",),
        section="Position ids: each row counts its own tokens",
    ),
    Exercise("last_real_logits", "Logits at the last real token", logits_of_rows, section="Left padding"),
    Exercise(
        "masked_softmax",
        "Softmax with fully masked rows",
        score_matrices,
        points=2,
        tolerance=1e-3,
        section="Masking the padding, in the cache too",
    ),
    Exercise(
        "generate_batch",
        "Batched greedy decoding",
        scripts,
        points=3,
        call=call_generate,
        show=lambda case: {"input_ids": case["input_ids"], "max_new_tokens": case["max_new_tokens"]},
        section="Each row ends with its own `<eos>`",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
