"""Checks of exercises/ch23_fast.py: test cases for each exercise. The solutions define what is right."""

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
    for (width, mlp, layers, heads, kv_heads, head_dim, vocabulary), bytes_per_weight in (
        ((2048, 16384, 18, 8, 1, 256, 257216), 2),  # PaliGemma 3B
        ((2304, 9216, 26, 8, 4, 256, 257216), 1),  # PaliGemma 2 3B: all heads together are narrower than hidden_size
        ((160, 640, 5, 4, 2, 40, 1200), 4),
        ((96, 512, 3, 6, 3, 24, 3000), 0.5),
    ):
        config = GemmaConfig(
            hidden_size=width,
            intermediate_size=mlp,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
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
    for (batch, heads, kv_heads, new, total, head_dim), with_mask in (
        ((1, 4, 2, 1, 5, 6), False),
        ((2, 6, 2, 3, 5, 4), True),
        ((2, 4, 1, 3, 3, 4), True),
        ((1, 6, 3, 2, 4, 4), False),
        ((2, 3, 3, 2, 4, 6), True),
        ((1, 16, 2, 2, 160, 64), True),  # large enough to measure memory
    ):
        mask = -3 * random.uniform(batch, 1, new, total)  # an additive mask may also just lower scores
        mask[..., 1:] = mask[..., 1:].masked_fill(random.uniform(batch, 1, new, total - 1) < 0.3, -1e9)
        yield {
            "query": random.normal(batch, heads, new, head_dim),
            "key": random.normal(batch, kv_heads, total, head_dim),
            "value": random.normal(batch, kv_heads, total, head_dim),
            "scaling": 0.3 + random.integer(0, 4) / 10,
            "mask": mask if with_mask else None,
        }


def call_attend_grouped(submission, case: Case) -> Tensor | dict:
    key = case["key"]
    with AllocationCounter() as counter:
        attended = submission.attend_grouped(**case)
    if key.shape[2] < 100:  # in small cases the scores are as large as the keys
        return attended
    repeated = key.nbytes * case["query"].shape[1] // key.shape[1]
    return {"result": attended, "allocates as much memory as repeated keys": counter.bytes >= repeated}


def writings(random: Random) -> Iterator[Case]:
    """For each pass the slots to write and the length to read. Everything that is read was written before."""
    for sizes, passes in (
        ((3, 2, 2, 16, 8), [([0, 1, 2, 3], 4), *(([slot], slot + 1) for slot in range(4, 13))]),
        (
            (2, 1, 2, 10, 4),
            [([0, 1, 2, 3, 4], 5), ([5, 6, 7], 8), ([6], 7), ([7, 8], 9), ([3, 4], 9), ([1], 3), ([9], 10)],
        ),  # rewinding
        ((2, 2, 1, 9, 4), [([3, 0, 2, 1], 4), ([5, 4], 6), ([1], 6), ([6, 2, 0], 7)]),  # in any order
    ):
        layers, batch, heads, _, head_dim = sizes
        case = {"sizes": sizes, "slots": [torch.tensor(slots) for slots, _ in passes]}
        for name in ("keys", "values"):
            case[name] = [random.normal(layers, batch, heads, len(slots), head_dim) for slots, _ in passes]
        yield case | {"lengths": [length for _, length in passes]}


def call_static_cache(submission, case: Case) -> dict:
    """What `write` returns, and what `__init__` and `write` allocate."""
    with AllocationCounter() as at_first:
        cache = submission.StaticCache(*case["sizes"])
    returned, written, counter = [], 0, AllocationCounter()
    for slots, keys, values, length in zip(case["slots"], case["keys"], case["values"], case["lengths"], strict=True):
        for layer_idx, (key, value) in enumerate(zip(keys, values, strict=True)):
            with counter:
                all_keys, all_values = cache.write(layer_idx, slots, key, value, length)
            written += key.nbytes + value.nbytes
            returned.append((all_keys.clone(), all_values.clone()))
    # An int64 index for each float32 number, as scatter needs it, is twice as large as the numbers.
    return {
        "returned": returned,
        "__init__ allocates all memory": at_first.bytes >= 2 * 4 * math.prod(case["sizes"]),
        "write allocates memory": counter.bytes > 3 * written,
    }


def last_logits(random: Random) -> Iterator[Case]:
    for batch, vocabulary, eos, pad in ((5, 12, 1, 0), (6, 9, 4, 7), (4, 30, 29, 0), (1, 8, 1, 0)):
        chosen = random.integers(0, vocabulary, batch)
        ended = torch.zeros(batch, dtype=torch.bool)
        if batch > 1:  # one of each kind: ends now, ended before (and would go on), gets the pad token, goes on
            chosen[:4] = torch.tensor([eos, (eos + 3) % vocabulary, pad, (pad + 2) % vocabulary])
            chosen[4:5] = eos  # ended before, and would generate <eos> again
            ended[1], ended[4:5] = True, True
        order = torch.randperm(batch, generator=random.generator)
        logits = random.normal(batch, vocabulary)
        logits[torch.arange(batch), chosen] = 6.0
        yield {"logits": logits[order], "ended": ended[order], "eos_token_id": eos, "pad_token_id": pad}
    logits = random.normal(3, 10)
    logits[:, 5] = 6.0
    yield {"logits": logits, "ended": torch.ones(3, dtype=torch.bool), "eos_token_id": 1, "pad_token_id": 0}


class ReadCounter(TorchDispatchMode):
    """Counts how often Python reads a value from a tensor, as `if` and `int` do, inside a `with` block."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def read_numbers(function, case: Case, count: int) -> str:
    """How often a function reads values from tensors; `count` is what a ReadCounter counted."""
    if count:
        return "once" if count == 1 else "several times"
    try:
        function(**case | {name: case[name].to("meta") for name in ("logits", "ended")})
    except Exception as error:  # a meta tensor has no values for .tolist() or .numpy(), which the counter misses
        if asks_for_numbers(error):
            return "a whole tensor"
    return "never"


def call_next_token(submission, case: Case) -> dict:
    """The result, and whether Python read values from tensors."""
    ended = case["ended"].clone()
    with ReadCounter() as counter:
        token, ended_now = submission.next_token(**case | {"ended": ended})
    reads = read_numbers(submission.next_token, case, counter.count)
    return {
        "tokens": token,
        "ended now": ended_now.clone() if isinstance(ended_now, Tensor) else ended_now,
        "`ended` is unchanged": torch.equal(ended, case["ended"]),
        "Python reads values from tensors": reads,
    }


def uneven_rows(random: Random, rows: int, width: int, zeros: bool = False) -> Tensor:
    """Rows of different magnitudes, [rows, width], with no value close to a rounding tie."""
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
    """Run it; the scale of a row of zeros may be any number above 0."""
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
    for rows, width, size_out, zeros in ((1, 16, 5, False), (4, 24, 7, False), (6, 6, 6, False), (3, 9, 4, True)):
        yield {
            "hidden_states": uneven_rows(random, rows, width, zeros),
            "weight": uneven_rows(random, size_out, width, zeros),
        }


EXERCISES = [
    Exercise(
        "tokens_per_second_limit",
        "The bandwidth limit",
        machines,
        show=show_machine,
        section="Memory bandwidth: the limit on tokens per second",
    ),
    Exercise(
        "attend_grouped",
        "Grouped-query attention without copies",
        shared_keys,
        points=2,
        call=call_attend_grouped,
        forbidden=("torch.nn.functional.scaled_dot_product_attention", "torch.nn.MultiheadAttention"),
        section="Step 3: Fewer and larger calls, grouped heads, flash attention",
    ),
    Exercise(
        "StaticCache",
        "A preallocated KV cache",
        writings,
        points=2,
        call=call_static_cache,
        forbidden=("vlm.kv_cache.KVCache",),
        show=lambda case: {
            "sizes": case["sizes"],
            "slots": [slots.tolist() for slots in case["slots"]],
            "lengths": case["lengths"],
        },
        section="Step 2: A preallocated KV cache, one tensor per layer",
    ),
    Exercise(
        "next_token",
        "The next token without graph breaks",
        last_logits,
        points=2,
        call=call_next_token,
        section="Step 4: `torch.compile`, one program per step",
    ),
    Exercise(
        "quantize_rows",
        "Int8 quantization by rows",
        rows_to_round,
        points=2,
        call=call_quantize_rows,
        forbidden=("vlm.fast.linear.quantize_rows",),
        section="Step 5: Fewer bytes, with packed weights and int8 quantization",
    ),
    Exercise(
        "int8_linear",
        "An int8 matrix product",
        matrices,
        points=2,
        forbidden=("vlm.fast.linear.quantize_rows", "vlm.fast.linear.Int8Linear"),
        tolerance=1e-4,
        section="Step 5: Fewer bytes, with packed weights and int8 quantization",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
