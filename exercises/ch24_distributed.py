"""Exercises of chapter 24, "Leaving one machine".

Grade them with: pytest exercises/test_ch24_distributed.py

No process is started here. One program plays all of them: a list has one entry for each rank.

Shapes: W processes, B batch, S tokens, D hidden size, F MLP width, A query heads, K key/value heads, V vocabulary.
"""

from collections.abc import Callable

from torch import Tensor

Piece = tuple[Tensor, Tensor, Tensor]  # gate, up and down of one rank


def split_mlp(gate: Tensor, up: Tensor, down: Tensor, num_processes: int) -> list[Piece]:
    """Cut the three matrices of an MLP among W processes.

    The MLP is down(gelu(gate(x)) * up(x)). Each rank holds F / W of the hidden units: the rows of `gate` and `up` that
    make them, and the columns of `down` that read them. What the ranks then compute must sum to what the whole MLP
    computes. Which units a rank holds is yours to choose.

    Args:
        gate, up: [F, D], as in nn.Linear: one row for each number that comes out.
        down: [D, F].
        num_processes: W, a divisor of F.

    Returns:
        For each rank (gate [F/W, D], up [F/W, D], down [D, F/W]).
    """
    raise NotImplementedError


def run_mlp(
    hidden_states: Tensor, pieces: list[Piece], all_reduce: Callable[[list[Tensor]], list[Tensor]]
) -> list[Tensor]:
    """Run an MLP that is cut among W processes. Every rank ends up with the whole result.

    Each rank reads all of `hidden_states` and computes down(gelu(gate(x)) * up(x)) with its own piece, as if it were an
    MLP of its own. gelu is `torch.nn.functional.gelu` with approximate="tanh". Then one all-reduce adds the parts.

    Args:
        hidden_states: [B, S, D], the same on every rank.
        pieces: for each rank (gate [F/W, D], up [F/W, D], down [D, F/W]).
        all_reduce: takes a list of W tensors, one from each rank, and returns a list of W tensors: each rank gets the
            sum. It changes nothing in place. Call it once. It is the only way in which numbers get from rank to rank.

    Returns:
        For each rank the result, [B, S, D].
    """
    raise NotImplementedError


def heads_of(
    rank: int, num_processes: int, num_attention_heads: int, num_key_value_heads: int
) -> tuple[list[int], list[int]]:
    """Say which query heads a rank has, and which key/value heads it needs for them.

    Neighbours stay together: rank 0 has the first A / W query heads, rank 1 the next A / W, and so on. Neighbouring
    query heads share a key/value head: the first A / K use head 0, the next A / K head 1 (chapter 8). A rank holds the
    key/value heads that its query heads use, each once. So where K is less than W, several ranks hold the same one.

    Example: 8 query heads, 1 key/value head, 4 processes. Rank 2 has ([4, 5], [0]).

    Args:
        rank: from 0 to W - 1.
        num_attention_heads: A, a multiple of K.
        num_key_value_heads: K. Either W divides K, or K divides W.

    Returns:
        The numbers of the query heads and those of the key/value heads, as the whole model counts them, from 0. Both
        lists ascend.

    Raises:
        ValueError: W does not divide A.
    """
    raise NotImplementedError


def average_gradients(gradients: list[list[Tensor | None]], num_rows: list[int]) -> list[Tensor]:
    """Make one gradient out of those of W processes, as if one process had seen all rows.

    Each rank had rows of its own, and its gradients are those of the *mean* loss over them. You return the gradients of
    the mean loss over all rows of all ranks. The ranks may have different numbers of rows, and every row counts alike.

    A rank that had no use for a parameter has None in its place. That counts as a gradient of 0; its rows still count.

    Args:
        gradients: for each rank a list with one tensor (or None) for each parameter, in the same order on all ranks.
            Of each parameter at least one rank has a tensor. They stay as they are.
        num_rows: for each rank the number of its rows, 1 or more.

    Returns:
        One tensor for each parameter.
    """
    raise NotImplementedError


def bytes_sent_per_token(
    num_hidden_layers: int, hidden_size: int, vocab_size: int, num_processes: int, bytes_per_number: int
) -> float:
    """Compute how many bytes each process sends while a split model writes one token, at batch 1.

    There are two all-reduces in each layer, and one for the embedding, each of one vector of D numbers. At the end
    there is one all-gather of the logits: each process has V / W of them, and all need all V.

    In a ring, each process sends to its neighbour alone. An all-reduce of n bytes then sends 2 n (W - 1) / W bytes from
    each process. In an all-gather each process sends a part W - 1 times: its own, and then what came from the other
    side. All parts are of the same size.

    Args:
        hidden_size: D.
        vocab_size: V, a multiple of W.
        num_processes: W; 1 sends nothing.
        bytes_per_number: 2 for bfloat16, 4 for float32.

    Returns:
        The bytes that one process sends. What it receives does not count.
    """
    raise NotImplementedError


def training_bytes_per_process(num_parameters: int, num_processes: int, sharded: bool) -> float:
    """Compute the memory that training needs on each process: weights, gradients and AdamW; no activations.

    In mixed precision each parameter has: a weight and a gradient, both bfloat16; a master weight, float32; the two
    moments of AdamW, both float32.

    With plain data parallelism every process holds all of that. Fully sharded (FSDP, ZeRO-3), each holds 1 / W of all
    of it.

    Args:
        num_parameters: of the whole model, a multiple of W.
        num_processes: W.
        sharded: whether it is fully sharded.

    Returns:
        Bytes on one process.
    """
    raise NotImplementedError
