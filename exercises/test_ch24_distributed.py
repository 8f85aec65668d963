"""Checks of exercises/ch24_distributed.py: test cases for each exercise. The solutions define what is right."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu, linear

from grader import Case, Exercise, Random


def matrices(random: Random) -> Iterator[Case]:
    # F is never W², so that pieces of W rows are not W pieces; one MLP is square, so that its shape gives no hint.
    for num_processes, hidden, width in ((2, 6, 8), (4, 4, 12), (3, 6, 6), (1, 4, 6)):
        yield {
            "gate": random.normal(width, hidden, scale=0.7),
            "up": random.normal(width, hidden, scale=0.7),
            "down": random.normal(hidden, width, scale=0.7),
            "num_processes": num_processes,
        }


def call_split_mlp(submission, case: Case) -> dict:
    """The shapes of the pieces, and the sum of their outputs; which hidden units a rank holds is free."""
    pieces = submission.split_mlp(**case)
    if not isinstance(pieces, (list, tuple)):
        raise TypeError(f"expected a list with one piece per rank, got a {type(pieces).__name__}")
    hidden_states = torch.linspace(-1.5, 1.5, 5)[:, None] * torch.linspace(1, 2, case["gate"].shape[1]).cos()
    return {
        "shapes of the pieces": [describe_piece(piece) for piece in pieces],
        "sum of the ranks' outputs": sum(
            (run_piece(hidden_states, piece) for piece in pieces), torch.zeros_like(hidden_states)
        ),
    }


def describe_piece(piece: Any) -> str:
    if not is_triple(piece):
        return f"a {type(piece).__name__} that is not three matrices"
    return ", ".join(f"{name} {list(matrix.shape)}" for name, matrix in zip(("gate", "up", "down"), piece))


def is_triple(piece: Any) -> bool:
    is_sequence = isinstance(piece, (list, tuple)) and len(piece) == 3
    return is_sequence and all(isinstance(matrix, Tensor) and matrix.dim() == 2 for matrix in piece)


def run_piece(hidden_states: Tensor, piece: Any) -> Tensor:
    """The output of a rank with its piece; 0 if the shapes do not match."""
    if not is_triple(piece):
        return torch.zeros_like(hidden_states)
    gate, up, down = piece
    if gate.shape[1] != hidden_states.shape[1] or up.shape != gate.shape or down.shape != gate.T.shape:
        return torch.zeros_like(hidden_states)
    return linear(gelu(linear(hidden_states, gate), approximate="tanh") * linear(hidden_states, up), down)


def split_mlps(random: Random) -> Iterator[Case]:
    for num_processes, rows, hidden, width in ((4, 1, 4, 8), (2, 2, 6, 8), (3, 1, 6, 12)):
        units = width // num_processes
        pieces = [
            (
                random.normal(units, hidden, scale=0.8),
                random.normal(units, hidden, scale=0.8),
                random.normal(hidden, units),
            )
            for _ in range(num_processes)
        ]
        yield {"hidden_states": random.normal(rows, 2 * num_processes, hidden), "pieces": pieces}


def call_run_mlp(submission, case: Case) -> dict:
    """The result of each rank, with an all-reduce that counts its calls."""
    num_processes, calls = len(case["pieces"]), []

    def all_reduce(tensors: list[Tensor]) -> list[Tensor]:
        calls.append(1)
        if not isinstance(tensors, (list, tuple)):
            raise TypeError(f"all_reduce takes a list with one tensor per rank, not a {type(tensors).__name__}")
        if len(tensors) != num_processes:
            raise ValueError(f"all_reduce expects tensors of {num_processes} ranks, got {len(tensors)}")
        if len({tuple(tensor.shape) for tensor in tensors}) > 1:
            raise ValueError(f"the ranks' tensors differ in shape: {[list(tensor.shape) for tensor in tensors]}")
        return [torch.stack(list(tensors)).sum(0) for _ in tensors]

    results = submission.run_mlp(case["hidden_states"], case["pieces"], all_reduce)
    return {"calls of all_reduce": len(calls), "result of each rank": results}


def ranks_and_heads(random: Random) -> Iterator[Case]:
    for num_processes, heads, key_value_heads in (
        (4, 8, 1),
        (2, 8, 2),
        (4, 8, 2),
        (2, 8, 4),
        (8, 16, 4),
        (4, 32, 8),
        (16, 32, 2),
        (1, 6, 3),
        (8, 8, 8),
    ):
        # The second rank shows best whether adjacent heads share.
        for rank in sorted({0, 1 % num_processes, num_processes - 1, random.integer(0, num_processes)}):
            yield {
                "rank": rank,
                "num_processes": num_processes,
                "num_attention_heads": heads,
                "num_key_value_heads": key_value_heads,
            }
    for num_processes, heads, key_value_heads in ((3, 8, 1), (6, 8, 2), (16, 8, 1)):  # cannot be split
        yield {
            "rank": random.integer(0, num_processes),
            "num_processes": num_processes,
            "num_attention_heads": heads,
            "num_key_value_heads": key_value_heads,
        }


def call_heads_on_rank(submission, case: Case) -> dict:
    answer = submission.heads_on_rank(**case)
    if not isinstance(answer, (list, tuple)) or len(answer) != 2:
        raise TypeError(f"expected two lists, of query heads and of key/value heads, got {answer!r}")
    queries, key_values = (list(heads) if isinstance(heads, (range, tuple)) else heads for heads in answer)
    return {"query heads": queries, "key/value heads": key_values}


def gradients_of_ranks(random: Random) -> Iterator[Case]:
    """Gradients of three parameters; some ranks have none for some of them."""
    for num_rows, missing in (
        ([4, 4], []),
        ([6, 2], []),
        ([1, 5, 3], []),
        ([3, 3], [(1, 0)]),
        ([5, 1, 2], [(0, 2), (1, 1), (2, 1)]),
        ([3], []),
    ):
        gradients = [[random.normal(2, 3), random.normal(4), random.normal(3, 1)] for _ in num_rows]
        for rank, parameter in missing:
            gradients[rank][parameter] = None
        yield {"gradients": gradients, "num_rows": num_rows}


def show_gradients(case: Case) -> Case:
    missing = [
        f"rank {rank}, parameter {number}"
        for rank, of_rank in enumerate(case["gradients"])
        for number, gradient in enumerate(of_rank)
        if gradient is None
    ]
    return {"num_rows": case["num_rows"]} | ({"no gradient at": missing} if missing else {})


def split_models(random: Random) -> Iterator[Case]:
    for num_processes, bytes_per_number in ((4, 2), (2, 2), (8, 4), (16, 2), (1, 2)):
        yield {
            "num_hidden_layers": random.integer(3, 30),
            "hidden_size": 64 * random.integer(2, 40),
            "vocab_size": 64 * random.integer(20, 200),
            "num_processes": num_processes,
            "bytes_per_number": bytes_per_number,
        }


def trainings(random: Random) -> Iterator[Case]:
    for num_processes, sharded in ((1, False), (8, False), (8, True), (2, True), (64, True), (4, False)):
        num_parameters = 64 * random.integer(1000, 50_000_000)
        yield {"num_parameters": num_parameters, "num_processes": num_processes, "sharded": sharded}


EXERCISES = [
    Exercise(
        "split_mlp",
        "Splitting an MLP",
        matrices,
        points=2,
        call=call_split_mlp,
        tolerance=1e-4,
        section="Tensor parallelism: column-parallel, then row-parallel",
    ),
    Exercise(
        "run_mlp",
        "Running a split MLP",
        split_mlps,
        points=2,
        call=call_run_mlp,
        tolerance=2e-5,
        show=lambda case: {"hidden_states": case["hidden_states"], "num_processes": len(case["pieces"])},
        section="Tensor parallelism: column-parallel, then row-parallel",
    ),
    Exercise(
        "heads_on_rank",
        "Heads of a rank",
        ranks_and_heads,
        points=2,
        call=call_heads_on_rank,
        raises=(ValueError,),
        section="Tensor parallelism: column-parallel, then row-parallel",
    ),
    Exercise(
        "average_gradients",
        "Averaging gradients",
        gradients_of_ranks,
        points=2,
        show=show_gradients,
        section="Data parallelism: average the gradients",
    ),
    Exercise(
        "bytes_sent_per_token", "Communication per token", split_models, points=2, section="Communication per token"
    ),
    Exercise(
        "training_bytes_per_process",
        "Training memory per process",
        trainings,
        section="Memory for inference and for training",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
