"""Wide cases for chapter 24, several processes."""

from collections.abc import Iterator

import torch

from grader.exercise import Case, Random
from tools.holes.wide import Wide, checks_of

CHECKS = checks_of("ch24_distributed")


def matrices(random: Random) -> Iterator[Case]:
    for num_processes, hidden, width in [(1, 1, 1), (5, 1, 5), (2, 3, 4), (3, 7, 9), (6, 2, 12), (2, 8, 8)]:
        for dtype in (torch.float32, torch.float64):
            yield {
                "gate": random.normal(width, hidden, dtype=dtype),
                "up": random.normal(width, hidden, dtype=dtype),
                "down": random.normal(hidden, width, dtype=dtype),
                "num_processes": num_processes,
            }


def call_split_mlp(submission, case: Case) -> list:
    """The shapes of the pieces, and each hidden unit's part of the result, in an order of its own."""
    pieces = submission.split_mlp(**case)
    units = [
        (float(g.sum()), float(u.sum()), float(d.sum()))
        for gate, up, down in pieces
        for g, u, d in zip(gate, up, down.T, strict=True)
    ]
    return [[[list(part.shape), str(part.dtype)] for part in piece] for piece in pieces] + [sorted(units)]


def split_mlps(random: Random) -> Iterator[Case]:
    for num_processes, batch, length, hidden, units in [
        (1, 1, 1, 1, 1),
        (2, 3, 1, 2, 1),
        (5, 1, 4, 3, 2),
        (3, 2, 3, 5, 7),
    ]:
        for scale in (0.1, 1.0, 5.0):
            pieces = [
                (random.normal(units, hidden), random.normal(units, hidden), random.normal(hidden, units))
                for _ in range(num_processes)
            ]
            yield {"hidden_states": random.normal(batch, length, hidden, scale=scale), "pieces": pieces}


def places(random: Random) -> Iterator[Case]:
    for heads in (1, 2, 4, 6, 8, 12):
        for key_value_heads in (n for n in range(1, heads + 1) if heads % n == 0):
            for processes in (1, 2, 3, 4, 6, 8, 12):
                fits = key_value_heads % processes == 0 or processes % key_value_heads == 0
                if fits or heads % processes:
                    for rank in range(processes):
                        yield {
                            "rank": rank,
                            "num_processes": processes,
                            "num_attention_heads": heads,
                            "num_key_value_heads": key_value_heads,
                        }


def found_gradients(random: Random) -> Iterator[Case]:
    for num_rows, missing in [
        ([1], []),
        ([1, 1], [(0, 0)]),
        ([1, 100], [(1, 0), (0, 1)]),
        ([2, 3, 4, 5], [(0, 0), (1, 0), (2, 0), (3, 1), (0, 1)]),
        ([7, 1, 1], [(0, 0), (0, 1)]),
    ]:
        for shapes in (((), (1,)), ((2, 3), (4,)), ((1, 2, 2), (3, 1))):
            gradients = [[random.normal(*shape) for shape in shapes] for _ in num_rows]
            for rank, parameter in missing:
                gradients[rank][parameter] = None
            yield {"gradients": gradients, "num_rows": num_rows}
    yield {"gradients": [[torch.zeros(2)], [torch.zeros(2)]], "num_rows": [3, 5]}


def split_models(random: Random) -> Iterator[Case]:
    for layers in (0, 1, 26):
        for hidden_size, vocab_size, num_processes in [(1, 1, 1), (3, 4, 2), (2304, 257216, 8), (5, 9, 3)]:
            for size in (1, 2, 4):
                yield {
                    "num_hidden_layers": layers,
                    "hidden_size": hidden_size,
                    "vocab_size": vocab_size,
                    "num_processes": num_processes,
                    "bytes_per_number": size,
                }


def trainings(random: Random) -> Iterator[Case]:
    for num_parameters in (0, 1, 6, 3_000_000_000):
        for num_processes in (1, 2, 3, 6):
            for sharded in (False, True):
                yield {
                    "num_parameters": num_parameters * num_processes,
                    "num_processes": num_processes,
                    "sharded": sharded,
                }


WIDE = [
    Wide("split_mlp", matrices, {"call": call_split_mlp}),
    Wide("run_mlp", split_mlps, {"tolerance": 1e-4}),
    Wide("heads_of", places),
    Wide("average_gradients", found_gradients),
    Wide("bytes_sent_per_token", split_models),
    Wide("training_bytes_per_process", trainings),
]
