"""Exercises of chapter 24, "Distributed inference and training".

Grade them with: pytest exercises/test_ch24_distributed.py

The exercises start no processes. One program simulates all of them: a list has one entry per
rank.

Shapes: W processes, B batch, S tokens, D hidden size, F MLP width, A query heads, K key/value
heads, V vocabulary size.
"""

from collections.abc import Callable

from torch import Tensor

Piece = tuple[Tensor, Tensor, Tensor]  # gate, up and down of one rank


def split_mlp(gate: Tensor, up: Tensor, down: Tensor, num_processes: int) -> list[Piece]:
    """Split the three matrices of an MLP among W processes.

    The MLP is down(gelu(gate(x)) * up(x)). Each rank holds F / W of the hidden units: the rows
    of `gate` and `up` that compute them (column-parallel), and the columns of `down` that read
    them (row-parallel). The outputs of the ranks must sum to the output of the whole MLP. Which
    units a rank holds is up to you.

    Args:
        gate, up: [F, D], as in nn.Linear: one row per output.
        down: [D, F].
        num_processes: W, a divisor of F.

    Returns:
        For each rank a tuple (gate [F/W, D], up [F/W, D], down [D, F/W]).
    """
    raise NotImplementedError


def run_mlp(
    hidden_states: Tensor,
    pieces: list[Piece],
    all_reduce: Callable[[list[Tensor]], list[Tensor]],
) -> list[Tensor]:
    """Run an MLP that is split among W processes, so that every rank gets the whole result.

    Each rank reads all of `hidden_states` and computes down(gelu(gate(x)) * up(x)) with its own
    piece, as if that were a small MLP. gelu is `torch.nn.functional.gelu` with
    approximate="tanh". Then one all-reduce sums the partial results.

    Args:
        hidden_states: [B, S, D], the same on every rank.
        pieces: for each rank (gate [F/W, D], up [F/W, D], down [D, F/W]).
        all_reduce: takes a list of W tensors, one from each rank, and returns a list of W
            tensors: each rank gets the sum. It changes nothing in place. Call it exactly once.
                Numbers may
            pass between ranks in no other way.

    Returns:
        For each rank the result, [B, S, D].
    """
    raise NotImplementedError


def heads_on_rank(
    rank: int,
    num_processes: int,
    num_attention_heads: int,
    num_key_value_heads: int,
) -> tuple[list[int], list[int]]:
    """The query heads of a rank, and the key/value heads that they need.

    Adjacent heads stay together: rank 0 has the first A / W query heads, rank 1 the next A / W,
    and so on. Adjacent query heads share a key/value head: the first A / K use head 0, the next
    A / K head 1 (chapter 8). A rank holds the key/value heads that its query heads use, each of
    them once. So if K is less than W, several ranks hold a copy of the same one.

    Example: with 8 query heads, 1 key/value head and 4 processes, rank 2 has ([4, 5], [0]).

    Args:
        rank: from 0 to W - 1.
        num_processes: W.
        num_attention_heads: A, a multiple of K.
        num_key_value_heads: K. Either W divides K, or K divides W.

    Returns:
        The indices of the query heads and those of the key/value heads, numbered from 0 over
        the whole model. Both lists are sorted.

    Raises:
        ValueError: W does not divide A.
    """
    raise NotImplementedError


def average_gradients(
    gradients: list[list[Tensor | None]],
    num_rows: list[int],
) -> list[Tensor]:
    """Average the gradients of W processes, as if a single process had seen all rows.

    Each rank has its own rows, and its gradients are those of the *mean* loss over them. Return
    the gradients of the mean loss over all rows of all ranks, in which every row has the same
    weight, even if the ranks have different numbers of rows.

    A rank that did not use a parameter has None instead of its gradient. That counts as a
    gradient of 0; the rank's rows still count.

    Args:
        gradients: for each rank a list with one tensor (or None) per parameter, in the same
            order on all ranks. For each parameter at least one rank has a tensor. Do not change
            them in place.
        num_rows: for each rank the number of its rows, at least 1.

    Returns:
        One tensor per parameter.
    """
    raise NotImplementedError


def bytes_sent_per_token(
    num_hidden_layers: int,
    hidden_size: int,
    vocab_size: int,
    num_processes: int,
    bytes_per_number: int,
) -> float:
    """Bytes that each process sends while a split model decodes one token, at batch size 1.

    There are two all-reduces per layer, and one for the embedding, each of one vector of D
    numbers. At the end, one all-gather collects the logits: each process has V / W of them, and
    all processes need all V.

    In a ring, each process sends only to its neighbor. In an all-reduce of n bytes, each
    process then sends 2 n (W - 1) / W bytes. In an all-gather, each process sends a part W - 1
    times: first its own, then those that it received. All parts have the same size, here V / W
    numbers.

    Args:
        num_hidden_layers: the number of layers.
        hidden_size: D.
        vocab_size: V, a multiple of W.
        num_processes: W; a single process sends nothing.
        bytes_per_number: 2 for bfloat16, 4 for float32.

    Returns:
        The bytes that one process sends. What it receives does not count.
    """
    raise NotImplementedError


def training_bytes_per_process(num_parameters: int, num_processes: int, sharded: bool) -> float:
    """The memory per process for training: weights, gradients, AdamW; no activations.

    In mixed precision each parameter has a weight and a gradient, both in bfloat16, and a
    master weight and the two moments of AdamW, all three in float32.

    In plain data parallelism every process holds all of that. Fully sharded (FSDP, ZeRO-3),
    each process holds 1 / W of all of it.

    Args:
        num_parameters: of the whole model, a multiple of W.
        num_processes: W.
        sharded: whether training is fully sharded.

    Returns:
        The bytes on one process.
    """
    raise NotImplementedError
