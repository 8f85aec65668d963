"""Solutions of chapter 24, "Distributed inference and training".

Shapes: W processes, B batch, S tokens, D hidden size, F MLP width, A query heads, K key/value
heads, V vocabulary.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import gelu

Piece = tuple[Tensor, Tensor, Tensor]  # gate, up and down of one rank


def split_mlp(gate: Tensor, up: Tensor, down: Tensor, num_processes: int) -> list[Piece]:
    """Split the three matrices of an MLP among W processes."""
    gates = gate.chunk(num_processes, dim=0)  # W of [F/W, D]: rows compute hidden units
    ups = up.chunk(num_processes, dim=0)
    downs = down.chunk(num_processes, dim=1)  # W of [D, F/W]: columns read them
    return list(zip(gates, ups, downs, strict=True))


def run_mlp(
    hidden_states: Tensor,
    pieces: list[Piece],
    all_reduce: Callable[[list[Tensor]], list[Tensor]],
) -> list[Tensor]:
    """Run an MLP that is split among W processes, so that every rank gets the whole result."""
    parts = []
    for gate, up, down in pieces:
        activated = gelu(hidden_states @ gate.T, approximate="tanh")  # [B, S, F/W]
        hidden_units = activated * (hidden_states @ up.T)  # [B, S, F/W]
        parts.append(hidden_units @ down.T)  # [B, S, D], a part of the sum
    return all_reduce(parts)


def heads_on_rank(
    rank: int, num_processes: int, num_attention_heads: int, num_key_value_heads: int
) -> tuple[list[int], list[int]]:
    """The query heads of a rank, and the key/value heads that they need."""
    if num_attention_heads % num_processes:
        raise ValueError(f"cannot split {num_attention_heads} heads among {num_processes} ranks")
    per_rank = num_attention_heads // num_processes
    num_groups = num_attention_heads // num_key_value_heads  # query heads per key/value head
    queries = list(range(rank * per_rank, (rank + 1) * per_rank))
    return queries, sorted({head // num_groups for head in queries})


def average_gradients(
    gradients: list[list[Tensor | None]],
    num_rows: list[int],
) -> list[Tensor]:
    """Average the gradients of W processes, as if a single process had seen all rows."""
    averaged = []
    for of_parameter in zip(*gradients, strict=True):  # one parameter, on all ranks
        pairs = zip(num_rows, of_parameter, strict=True)
        weighted = [rows * grad for rows, grad in pairs if grad is not None]
        averaged.append(torch.stack(weighted).sum(0) / sum(num_rows))
    return averaged


def bytes_sent_per_token(
    num_hidden_layers: int,
    hidden_size: int,
    vocab_size: int,
    num_processes: int,
    bytes_per_number: int,
) -> float:
    """Bytes that each process sends while a split model decodes one token, at batch size 1."""
    others = num_processes - 1
    all_reduce = 2 * hidden_size * others / num_processes  # numbers, for one vector
    all_gather = vocab_size / num_processes * others
    return ((2 * num_hidden_layers + 1) * all_reduce + all_gather) * bytes_per_number


def training_bytes_per_process(num_parameters: int, num_processes: int, sharded: bool) -> float:
    """The memory per process for training: weights, gradients, AdamW; no activations."""
    per_parameter = 2 + 2 + 4 + 2 * 4  # weight, gradient, master weight, two moments
    held = num_parameters / num_processes if sharded else num_parameters
    return float(per_parameter * held)
