"""Checks of exercises/ch23_fast.py: cases for each exercise. What is right, the solutions know."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from grader import Case, Exercise, Random
from grader.allocations import AllocationCounter
from grader.sandbox import asks_for_numbers
from vlm.config import GemmaConfig


def machines(random: Random) -> Iterator[Case]:
    for (width, mlp, layers, heads, shared, head_dim, vocabulary), bytes_per_weight in (
        ((2048, 16384, 18, 8, 1, 256, 257216), 2),  # PaliGemma 3B
        ((2304, 9216, 26, 8, 4, 256, 257216), 1),  # PaliGemma 2 3B: all heads together are narrower than a vector
        ((160, 640, 5, 4, 2, 40, 1200), 4),
        ((96, 512, 3, 6, 3, 24, 3000), 0.5),
    ):
        config = GemmaConfig(
            hidden_size=width,
            intermediate_size=mlp,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=shared,
            vocab_size=vocabulary,
            head_dim=head_dim,
        )
        yield {
            "config": config,
            "bytes_per_weight": bytes_per_weight,
            "gigabytes_per_second": random.integer(200, 1000) / 10,
        }


def show_machine(case: Case) -> Case:
    config = case["config"]
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    sizes = {name: getattr(config, name) for name in (*names, "head_dim", "vocab_size")}
    return sizes | {name: case[name] for name in ("bytes_per_weight", "gigabytes_per_second")}


def shared_keys(random: Random) -> Iterator[Case]:
    for (batch, heads, shared, new, total, head_dim), with_mask in (
        ((1, 4, 2, 1, 5, 6), False),
        ((2, 6, 2, 3, 5, 4), True),
        ((2, 4, 1, 3, 3, 4), True),
        ((1, 6, 3, 2, 4, 4), False),
        ((2, 3, 3, 2, 4, 6), True),
        ((1, 16, 2, 2, 160, 64), True),  # long enough to count memory
    ):
        mask = -3 * random.uniform(batch, 1, new, total)  # a mask may also discourage, and not forbid
        mask[..., 1:] = mask[..., 1:].masked_fill(random.uniform(batch, 1, new, total - 1) < 0.3, -1e9)
        yield {
            "query": random.normal(batch, heads, new, head_dim),
            "key": random.normal(batch, shared, total, head_dim),
            "value": random.normal(batch, shared, total, head_dim),
            "scaling": 0.3 + random.integer(0, 4) / 10,
            "mask": mask if with_mask else None,
        }


def call_attend_grouped(submission, case: Case) -> Tensor | dict:
    key = case["key"]
    with AllocationCounter() as counter:
        mixed = submission.attend_grouped(**case)
    if key.shape[2] < 100:  # where all is small, scores are as large as keys
        return mixed
    repeated = key.nbytes * case["query"].shape[1] // key.shape[1]
    return {"the result": mixed, "it asks for as much memory as repeated keys": counter.bytes >= repeated}


def writings(random: Random) -> Iterator[Case]:
    """Where each pass writes, and how far it reads. Everything that is read has been written before."""
    for sizes, passes in (
        ((3, 2, 2, 16, 8), [([0, 1, 2, 3], 4), *(([place], place + 1) for place in range(4, 13))]),
        (
            (2, 1, 2, 10, 4),
            [([0, 1, 2, 3, 4], 5), ([5, 6, 7], 8), ([6], 7), ([7, 8], 9), ([3, 4], 9), ([1], 3), ([9], 10)],
        ),  # back
        ((2, 2, 1, 9, 4), [([3, 0, 2, 1], 4), ([5, 4], 6), ([1], 6), ([6, 2, 0], 7)]),  # in any order
    ):
        layers, batch, heads, _, head_dim = sizes
        case = {"sizes": sizes, "places": [torch.tensor(places) for places, _ in passes]}
        for name in ("keys", "values"):
            case[name] = [random.normal(layers, batch, heads, len(places), head_dim) for places, _ in passes]
        yield case | {"lengths": [length for _, length in passes]}


def call_static_cache(submission, case: Case) -> dict:
    """What `write` returns, and who asks for memory."""
    with AllocationCounter() as at_first:
        cache = submission.StaticCache(*case["sizes"])
    returned, written, counter = [], 0, AllocationCounter()
    for places, keys, values, length in zip(case["places"], case["keys"], case["values"], case["lengths"], strict=True):
        for layer_idx, (key, value) in enumerate(zip(keys, values, strict=True)):
            with counter:
                all_keys, all_values = cache.write(layer_idx, places, key, value, length)
            written += key.nbytes + value.nbytes
            returned.append((all_keys.clone(), all_values.clone()))
    # Places for each number, as scatter wants them, are twice as large as the numbers.
    return {
        "returned": returned,
        "__init__ asks for all memory": at_first.bytes >= 2 * 4 * math.prod(case["sizes"]),
        "write asks for memory": counter.bytes > 3 * written,
    }


def last_scores(random: Random) -> Iterator[Case]:
    for batch, vocabulary, eos, pad in ((5, 12, 1, 0), (6, 9, 4, 7), (4, 30, 29, 0), (1, 8, 1, 0)):
        chosen = random.integers(0, vocabulary, batch)
        ended = torch.zeros(batch, dtype=torch.bool)
        if batch > 1:  # one of each kind: ends now, has ended (and would go on), says the pad token, goes on
            chosen[:4] = torch.tensor([eos, (eos + 3) % vocabulary, pad, (pad + 2) % vocabulary])
            chosen[4:5] = eos  # has ended, and would say <eos> once more
            ended[1], ended[4:5] = True, True
        order = torch.randperm(batch, generator=random.generator)
        logits = random.normal(batch, vocabulary)
        logits[torch.arange(batch), chosen] = 6.0
        yield {"logits": logits[order], "ended": ended[order], "eos_token_id": eos, "pad_token_id": pad}
    logits = random.normal(3, 10)
    logits[:, 5] = 6.0
    yield {"logits": logits, "ended": torch.ones(3, dtype=torch.bool), "eos_token_id": 1, "pad_token_id": 0}


class ReadCounter(TorchDispatchMode):
    """While the `with` block runs, counts how often Python asks a tensor for a number, as `if` and `int` do."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def read_numbers(function, case: Case, count: int) -> str:
    """How often a function reads numbers out of tensors; `count` is what a ReadCounter saw."""
    if count:
        return "once" if count == 1 else "several times"
    try:
        function(**case | {name: case[name].to("meta") for name in ("logits", "ended")})
    except Exception as error:  # it has no numbers to give to .tolist() or .numpy(), which no counter sees
        if asks_for_numbers(error):
            return "a whole tensor"
    return "never"


def call_next_token(submission, case: Case) -> dict:
    """The values, and whether Python looked at numbers."""
    ended = case["ended"].clone()
    with ReadCounter() as counter:
        token, ended_now = submission.next_token(**case | {"ended": ended})
    reads = read_numbers(submission.next_token, case, counter.count)
    return {
        "tokens": token,
        "ended now": ended_now.clone() if isinstance(ended_now, Tensor) else ended_now,
        "`ended` is left as it was": torch.equal(ended, case["ended"]),
        "numbers are read out of tensors": reads,
    }


def uneven_rows(random: Random, rows: int, width: int, zeros: bool = False) -> Tensor:
    """Rows of different sizes, [rows, width], with no number so near to a half that it may be rounded either way."""
    whole = random.integers(-120, 121, rows, width)
    largest = random.integers(0, width, rows)
    whole[torch.arange(rows), largest] = 127 * (2 * random.integers(0, 2, rows) - 1)
    whole[0, largest[0]] = -127
    values = whole + random.uniform(rows, width, low=-0.4, high=0.4).where(whole.abs() < 127, 0)
    values = values * random.uniform(rows, 1, low=0.01, high=0.1)
    if zeros:
        values[-1] = 0
    return values


def rows_to_round(random: Random) -> Iterator[Case]:
    for rows, width, zeros in ((1, 8, False), (3, 10, False), (6, 6, False), (4, 7, True)):
        yield {"values": uneven_rows(random, rows, width, zeros)}


def call_quantize_rows(submission, case: Case) -> dict:
    """Of a row of zeros the scale may be any number above 0."""
    result = submission.quantize_rows(**case)
    if not isinstance(result, (tuple, list)) or len(result) != 2 or not all(isinstance(x, Tensor) for x in result):
        raise TypeError(f"expected two tensors, got a {type(result).__name__}")
    rounded, scale = result
    answer = {"rounded": rounded, "scale": scale, "the scale of a row of zeros is above 0": True}
    zeros = ~case["values"].any(dim=-1, keepdim=True)  # [R, 1]
    if scale.shape == zeros.shape:
        answer["scale"] = torch.where(zeros, 1.0, scale)
        answer["the scale of a row of zeros is above 0"] = bool((scale[zeros] > 0).all())
    return answer


def matrices(random: Random) -> Iterator[Case]:
    for rows, width, high, zeros in ((1, 16, 5, False), (4, 24, 7, False), (6, 6, 6, False), (3, 9, 4, True)):
        yield {
            "hidden_states": uneven_rows(random, rows, width, zeros),
            "weight": uneven_rows(random, high, width, zeros),
        }


EXERCISES = [
    Exercise(
        "tokens_per_second_limit", "How fast it can be", machines, show=show_machine, section="What the machine allows"
    ),
    Exercise(
        "attend_grouped",
        "Rows instead of copies",
        shared_keys,
        points=2,
        call=call_attend_grouped,
        forbidden=("torch.nn.functional.scaled_dot_product_attention", "torch.nn.MultiheadAttention"),
        section="Step 3: fewer and larger calls",
    ),
    Exercise(
        "StaticCache",
        "Memory that never moves",
        writings,
        points=2,
        call=call_static_cache,
        forbidden=("vlm.kv_cache.KVCache",),
        show=lambda case: {
            "sizes": case["sizes"],
            "places": [places.tolist() for places in case["places"]],
            "lengths": case["lengths"],
        },
        section="Step 2: room that does not move",
    ),
    Exercise("next_token", "One program", last_scores, points=2, call=call_next_token, section="Step 4: one program"),
    Exercise(
        "quantize_rows",
        "Eight bits and a scale",
        rows_to_round,
        points=2,
        call=call_quantize_rows,
        forbidden=("vlm.fast.linear.quantize_rows",),
        section="Step 5: bytes",
    ),
    Exercise(
        "int8_linear",
        "Whole numbers multiplied",
        matrices,
        points=2,
        forbidden=("vlm.fast.linear.quantize_rows", "vlm.fast.linear.Int8Linear"),
        tolerance=1e-4,
        section="Step 5: bytes",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
