"""Common mistakes in the exercises of chapter 24, and other right answers."""

import torch
from torch.nn.functional import gelu, linear

from grader import mistake, variant
from solutions import ch24_distributed as solution


def split_rows(matrix, num_processes):
    """Split into W blocks of adjacent rows."""
    return matrix.chunk(num_processes, dim=0)


def split_columns(matrix, num_processes):
    """Split into W blocks of adjacent columns."""
    return matrix.chunk(num_processes, dim=1)


def every_nth_row(matrix, num_processes):
    return [matrix[rank::num_processes] for rank in range(num_processes)]


@mistake(
    "split_mlp", "You split `gate` and `up` by columns, which are D. Split them by rows: these are the hidden units."
)
def gate_and_up_split_by_columns(gate, up, down, num_processes):
    return list(zip(*(split_columns(matrix, num_processes) for matrix in (gate, up, down))))


@mistake("split_mlp", "You split `down` by rows, which are D. Split it by columns: these read the hidden units.")
def down_split_by_rows(gate, up, down, num_processes):
    return list(zip(*(split_rows(matrix, num_processes) for matrix in (gate, up, down))))


@mistake(
    "split_mlp",
    "You split all three along the wrong dimension. An nn.Linear has one row per output, so the hidden units are the "
    "rows of `gate` and `up`, and the columns of `down`.",
)
def all_split_the_wrong_way(gate, up, down, num_processes):
    return list(
        zip(split_columns(gate, num_processes), split_columns(up, num_processes), split_rows(down, num_processes))
    )


@mistake(
    "split_mlp",
    "A rank's `up` has other hidden units than its `gate`. They are multiplied, so they must be the same units.",
)
def up_has_other_units(gate, up, down, num_processes):
    return list(
        zip(split_rows(gate, num_processes), every_nth_row(up, num_processes), split_columns(down, num_processes))
    )


@mistake(
    "split_mlp",
    "A rank's `gate` has every W-th hidden unit, but its `up` and `down` have adjacent ones. Use the same units.",
)
def gate_has_other_units(gate, up, down, num_processes):
    return list(
        zip(every_nth_row(gate, num_processes), split_rows(up, num_processes), split_columns(down, num_processes))
    )


@mistake(
    "split_mlp",
    "`gate` and `up` have every W-th hidden unit, but `down` has adjacent columns. Use the same units.",
)
def down_takes_adjacent_columns(gate, up, down, num_processes):
    gates, ups = every_nth_row(gate, num_processes), every_nth_row(up, num_processes)
    return list(zip(gates, ups, split_columns(down, num_processes)))


@mistake(
    "split_mlp",
    "`gate` and `up` have adjacent hidden units, but `down` has every W-th column. Use the same units.",
)
def down_takes_every_nth(gate, up, down, num_processes):
    downs = [columns.T for columns in every_nth_row(down.T, num_processes)]
    return list(zip(split_rows(gate, num_processes), split_rows(up, num_processes), downs))


@mistake(
    "split_mlp", "Every rank gets the piece of rank 0, so the other hidden units are lost. Give each rank its own."
)
def same_slice(gate, up, down, num_processes):
    return solution.split_mlp(gate, up, down, num_processes)[:1] * num_processes


@mistake("split_mlp", "Every rank gets the whole matrices, so the sum is W times too large. Split them.")
def whole_copies(gate, up, down, num_processes):
    return [(gate, up, down)] * num_processes


@mistake("split_mlp", "You did not split `down`. A rank needs only the columns that read its own hidden units.")
def down_not_split(gate, up, down, num_processes):
    return [(gate, up, down) for gate, up, _ in solution.split_mlp(gate, up, down, num_processes)]


@mistake("split_mlp", "You did not split `up`. A rank needs the same rows of `up` as of `gate`.")
def up_not_split(gate, up, down, num_processes):
    return [(gate, up, down) for gate, _, down in solution.split_mlp(gate, up, down, num_processes)]


@mistake("split_mlp", "`gate` and `up` are swapped. gelu is applied to the gate.")
def gate_and_up_swapped(gate, up, down, num_processes):
    return solution.split_mlp(up, gate, down, num_processes)


@mistake("split_mlp", "`down` is transposed, [F/W, D]. Return [D, F/W], as in nn.Linear.")
def down_transposed(gate, up, down, num_processes):
    return [(gate, up, down.T) for gate, up, down in solution.split_mlp(gate, up, down, num_processes)]


@mistake("split_mlp", "`torch.split` takes the size of a piece, not the number of pieces. Use `chunk`.")
def split_by_size(gate, up, down, num_processes):
    return list(zip(gate.split(num_processes), up.split(num_processes), down.split(num_processes, dim=1)))


@mistake("split_mlp", "You returned one list per matrix. Return one (gate, up, down) per rank.")
def one_list_for_each_matrix(gate, up, down, num_processes):
    return [list(pieces) for pieces in zip(*solution.split_mlp(gate, up, down, num_processes))]


@mistake("split_mlp", "You divided `down` by W. The ranks' outputs are partial sums: do not divide.")
def down_divided(gate, up, down, num_processes):
    return solution.split_mlp(gate, up, down / num_processes, num_processes)


@variant("split_mlp")
def rank_by_rank(gate, up, down, num_processes):
    size = gate.shape[0] // num_processes
    pieces = []
    for rank in range(num_processes):
        mine = slice(rank * size, (rank + 1) * size)
        pieces.append((gate[mine].clone(), up[mine].clone(), down[:, mine].clone()))
    return pieces


@variant("split_mlp")
def every_nth_unit(gate, up, down, num_processes):
    downs = [columns.T for columns in every_nth_row(down.T, num_processes)]
    return list(zip(every_nth_row(gate, num_processes), every_nth_row(up, num_processes), downs))


@variant("split_mlp")
def last_units_first(gate, up, down, num_processes):
    pieces = zip(gate.tensor_split(num_processes), up.tensor_split(num_processes), down.T.tensor_split(num_processes))
    return [[gate, up, down.T] for gate, up, down in pieces][::-1]


def units_of(hidden_states, piece, activation=None):
    """The hidden units of one rank."""
    gate, up, _ = piece
    activation = activation or (lambda gate: gelu(gate, approximate="tanh"))
    return activation(linear(hidden_states, gate)) * linear(hidden_states, up)


def parts_of(hidden_states, pieces, activation=None):
    """The partial output of each rank."""
    return [linear(units_of(hidden_states, piece, activation), piece[2]) for piece in pieces]


def read_down(units, pieces):
    return [linear(units_of_rank, down) for units_of_rank, (_, _, down) in zip(units, pieces, strict=True)]


@mistake("run_mlp", "The all-reduce is missing, so each rank returns only its partial sum.")
def no_all_reduce(hidden_states, pieces, all_reduce):
    return parts_of(hidden_states, pieces)


@mistake(
    "run_mlp", "You ignored the result of all_reduce. It changes nothing in place: return the list that it returns."
)
def result_of_all_reduce_ignored(hidden_states, pieces, all_reduce):
    parts = parts_of(hidden_states, pieces)
    all_reduce(parts)
    return parts


@mistake(
    "run_mlp", "You reduced twice, so the result is W times too large. After one all-reduce all ranks have the sum."
)
def reduced_twice(hidden_states, pieces, all_reduce):
    return all_reduce(all_reduce(parts_of(hidden_states, pieces)))


@mistake(
    "run_mlp",
    "You reduced before `down`, which sums unrelated hidden units of different ranks. Reduce after it.",
)
def reduced_before_down(hidden_states, pieces, all_reduce):
    return read_down(all_reduce([units_of(hidden_states, piece) for piece in pieces]), pieces)


@mistake(
    "run_mlp",
    "You reduced before `down` and after it. Reduce only after it: hidden units of different ranks are unrelated.",
)
def reduced_before_and_after_down(hidden_states, pieces, all_reduce):
    return all_reduce(reduced_before_down.implementation(hidden_states, pieces, all_reduce))


@mistake(
    "run_mlp",
    "You reduced before the activation. Each rank's hidden units are complete already: reduce after `down` instead.",
)
def reduced_before_activation(hidden_states, pieces, all_reduce):
    gates = all_reduce([linear(hidden_states, gate) for gate, _, _ in pieces])
    ups = [linear(hidden_states, up) for _, up, _ in pieces]
    return read_down([gelu(gate, approximate="tanh") * up for gate, up in zip(gates, ups)], pieces)


@mistake(
    "run_mlp",
    "You reduced before the activation and at the end. Leave out the first: it sums unrelated hidden units.",
)
def reduced_before_activation_and_at_the_end(hidden_states, pieces, all_reduce):
    return all_reduce(reduced_before_activation.implementation(hidden_states, pieces, all_reduce))


@mistake("run_mlp", "You divided by W. The result is the sum of the partial outputs, not their mean.")
def mean_of_parts(hidden_states, pieces, all_reduce):
    return [total / len(pieces) for total in all_reduce(parts_of(hidden_states, pieces))]


@mistake("run_mlp", "All ranks get the partial output of rank 0. Sum the outputs of all ranks with all_reduce.")
def only_rank_0(hidden_states, pieces, all_reduce):
    return parts_of(hidden_states, pieces)[:1] * len(pieces)


@mistake("run_mlp", "You returned a single result. Return a list with the result of each rank.")
def one_result(hidden_states, pieces, all_reduce):
    return all_reduce(parts_of(hidden_states, pieces))[0]


@mistake("run_mlp", "You returned the result of rank 0 only. Return the list of all W results.")
def result_of_rank_0(hidden_states, pieces, all_reduce):
    return all_reduce(parts_of(hidden_states, pieces))[:1]


@mistake(
    "run_mlp",
    "The result is right, but you summed the parts yourself. A rank cannot see the others' parts: call all_reduce.",
)
def summed_without_all_reduce(hidden_states, pieces, all_reduce):
    return [torch.stack(parts_of(hidden_states, pieces)).sum(0)] * len(pieces)


@mistake("run_mlp", "You called all_reduce once per rank. A single call takes all parts and returns all results.")
def called_by_each_rank(hidden_states, pieces, all_reduce):
    parts = parts_of(hidden_states, pieces)
    return [all_reduce(parts)[rank] for rank in range(len(pieces))]


@mistake(
    "run_mlp",
    "You gave each rank a part of the tokens. All ranks read all of `hidden_states`; they differ in hidden units.",
)
def tokens_split(hidden_states, pieces, all_reduce):
    chunks = hidden_states.chunk(len(pieces), dim=1)
    return all_reduce([parts_of(chunk, [piece])[0] for chunk, piece in zip(chunks, pieces, strict=True)])


@mistake("run_mlp", "You gave each rank a part of each vector. All ranks read all of `hidden_states`.")
def vectors_split(hidden_states, pieces, all_reduce):
    chunks = hidden_states.chunk(len(pieces), dim=-1)  # ends in an error: gate wants D numbers
    return all_reduce([parts_of(chunk, [piece])[0] for chunk, piece in zip(chunks, pieces, strict=True)])


@mistake("run_mlp", "You gave each rank the output of the rank before it. All ranks read `hidden_states`.")
def chained(hidden_states, pieces, all_reduce):
    parts = []
    for piece in pieces:
        [hidden_states] = parts_of(hidden_states, [piece])
        parts.append(hidden_states)
    return all_reduce(parts)


@mistake(
    "run_mlp", "You added `hidden_states` to the result. The residual connection belongs to the layer, not to the MLP."
)
def input_added(hidden_states, pieces, all_reduce):
    return [hidden_states + total for total in all_reduce(parts_of(hidden_states, pieces))]


@mistake("run_mlp", 'You used the exact gelu. Gemma uses the tanh approximation, approximate="tanh".')
def exact_gelu(hidden_states, pieces, all_reduce):
    return all_reduce(parts_of(hidden_states, pieces, gelu))


@mistake("run_mlp", "gelu is missing. Apply it to the gate.")
def no_gelu(hidden_states, pieces, all_reduce):
    return all_reduce(parts_of(hidden_states, pieces, lambda gate: gate))


@mistake("run_mlp", "You applied gelu to `up`. Apply it to the gate.")
def gelu_of_up(hidden_states, pieces, all_reduce):
    return all_reduce(parts_of(hidden_states, [(up, gate, down) for gate, up, down in pieces]))


@mistake("run_mlp", "You applied gelu to the product. Apply it to the gate, then multiply.")
def gelu_of_the_product(hidden_states, pieces, all_reduce):
    units = [units_of(hidden_states, piece, lambda gate: gate) for piece in pieces]
    return all_reduce(read_down([gelu(products, approximate="tanh") for products in units], pieces))


@mistake("run_mlp", "You applied gelu after the all-reduce. Apply it to the gate, before `down`.")
def gelu_at_the_end(hidden_states, pieces, all_reduce):
    return [gelu(total, approximate="tanh") for total in no_gelu.implementation(hidden_states, pieces, all_reduce)]


@variant("run_mlp")
def one_sum_for_all(hidden_states, pieces, all_reduce):
    sums = all_reduce([*parts_of(hidden_states, pieces)])
    return [sums[0]] * len(pieces)


@variant("run_mlp")
def all_ranks_at_once(hidden_states, pieces, all_reduce):
    gates, ups, downs = (torch.stack(matrices) for matrices in zip(*pieces))
    made, read = (torch.einsum("bsd,wfd->wbsf", hidden_states, matrices) for matrices in (gates, ups))
    units = gelu(made, approximate="tanh") * read  # [W, B, S, F/W]
    return tuple(all_reduce(list(torch.einsum("wbsf,wdf->wbsd", units, downs))))


def queries_of(rank, num_processes, num_attention_heads):
    """The query heads of a rank.

    Raises:
        ValueError: they cannot be split.
    """
    return solution.heads_on_rank(rank, num_processes, num_attention_heads, num_attention_heads)[0]


@mistake(
    "heads_on_rank",
    "With fewer key/value heads than processes, `K // W` is 0 and your rank gets none. It needs those that its query "
    "heads use.",
)
def no_key_value_heads(rank, num_processes, num_attention_heads, num_key_value_heads):
    per_rank = num_key_value_heads // num_processes
    held = list(range(rank * per_rank, (rank + 1) * per_rank))
    return queries_of(rank, num_processes, num_attention_heads), held


@mistake(
    "heads_on_rank",
    "If K is less than W, you give rank r key/value head r, or none. Several ranks share a head: use h // (A / K).",
)
def one_each_until_they_run_out(rank, num_processes, num_attention_heads, num_key_value_heads):
    per_rank = max(num_key_value_heads // num_processes, 1)
    held = list(range(num_key_value_heads))[rank * per_rank : (rank + 1) * per_rank]
    return queries_of(rank, num_processes, num_attention_heads), held


@mistake("heads_on_rank", "You gave every rank all key/value heads. It needs only those that its query heads use.")
def all_key_value_heads(rank, num_processes, num_attention_heads, num_key_value_heads):
    return queries_of(rank, num_processes, num_attention_heads), list(range(num_key_value_heads))


@mistake("heads_on_rank", "You gave a rank every W-th query head. Adjacent heads stay together.")
def every_nth_head(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries = [head + rank for head in range(0, num_attention_heads, num_processes)]
    queries_of(rank, num_processes, num_attention_heads)
    num_groups = num_attention_heads // num_key_value_heads
    return queries, sorted({head // num_groups for head in queries})


@mistake(
    "heads_on_rank", "You used key/value head `h % K` for query head h. Adjacent heads share, so it is h // (A / K)."
)
def key_value_heads_round_robin(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries = queries_of(rank, num_processes, num_attention_heads)
    return queries, sorted({head % num_key_value_heads for head in queries})


@mistake(
    "heads_on_rank",
    "You used key/value head `h // K` for query head h. A / K query heads share one, so it is h // (A / K).",
)
def divided_by_key_value_heads(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries = queries_of(rank, num_processes, num_attention_heads)
    return queries, sorted({head // num_key_value_heads for head in queries})


@mistake(
    "heads_on_rank", "You used key/value head `h // (A / W)` for query head h, which is the rank. It is h // (A / K)."
)
def rank_as_head(rank, num_processes, num_attention_heads, num_key_value_heads):
    return queries_of(rank, num_processes, num_attention_heads), [rank]


@mistake("heads_on_rank", "You returned only the first query head's key/value head. A rank may need several.")
def only_one_key_value_head(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries, held = solution.heads_on_rank(rank, num_processes, num_attention_heads, num_key_value_heads)
    return queries, held[:1]


@mistake("heads_on_rank", "You listed a key/value head once per query head that uses it. List each once.")
def held_several_times(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries = queries_of(rank, num_processes, num_attention_heads)
    return queries, [head * num_key_value_heads // num_attention_heads for head in queries]


@mistake(
    "heads_on_rank",
    "If K is less than W, you give rank r key/value head `r % K`. Adjacent ranks share, so it is r // (W / K).",
)
def ranks_round_robin(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries, held = solution.heads_on_rank(rank, num_processes, num_attention_heads, num_key_value_heads)
    return queries, [rank % num_key_value_heads] if num_key_value_heads < num_processes else held


@mistake("heads_on_rank", "You numbered the heads from 1. Number them from 0.")
def heads_from_1(rank, num_processes, num_attention_heads, num_key_value_heads):
    answer = solution.heads_on_rank(rank, num_processes, num_attention_heads, num_key_value_heads)
    return tuple([head + 1 for head in heads] for heads in answer)


@mistake("heads_on_rank", "You numbered the ranks from 1. The first is rank 0.")
def ranks_from_1(rank, num_processes, num_attention_heads, num_key_value_heads):
    return solution.heads_on_rank(rank - 1, num_processes, num_attention_heads, num_key_value_heads)


@mistake("heads_on_rank", "You numbered the heads within each rank. Number them over the whole model.")
def counted_within_the_rank(rank, num_processes, num_attention_heads, num_key_value_heads):
    answer = solution.heads_on_rank(rank, num_processes, num_attention_heads, num_key_value_heads)
    return tuple(list(range(len(heads))) for heads in answer)


@mistake("heads_on_rank", "You gave a rank W query heads. It has A / W.")
def as_many_heads_as_processes(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries_of(rank, num_processes, num_attention_heads)
    queries = list(range(rank * num_processes, (rank + 1) * num_processes))
    num_groups = num_attention_heads // num_key_value_heads
    return queries, sorted({head // num_groups for head in queries})


@mistake("heads_on_rank", "Each rank lacks its last query head. `range(a, b)` ends before b.")
def last_head_missing(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries, _ = solution.heads_on_rank(rank, num_processes, num_attention_heads, num_key_value_heads)
    num_groups = num_attention_heads // num_key_value_heads
    return queries[:-1], sorted({head // num_groups for head in queries[:-1]})


@mistake("heads_on_rank", "If W does not divide A, you round down, and some heads are on no rank. Raise a ValueError.")
def rounded_down(rank, num_processes, num_attention_heads, num_key_value_heads):
    per_rank = num_attention_heads // num_processes
    queries = list(range(rank * per_rank, (rank + 1) * per_rank))
    num_groups = num_attention_heads // num_key_value_heads
    return queries, sorted({head // num_groups for head in queries})


@mistake("heads_on_rank", "You reject fewer key/value heads than processes. Then several ranks hold the same one.")
def few_key_value_heads_rejected(rank, num_processes, num_attention_heads, num_key_value_heads):
    if num_key_value_heads % num_processes:
        raise ValueError("the key/value heads cannot be split")
    return solution.heads_on_rank(rank, num_processes, num_attention_heads, num_key_value_heads)


@mistake(
    "heads_on_rank",
    "You reject fewer key/value heads than processes, unless there is one. Several can be shared in the same way.",
)
def only_one_is_shared(rank, num_processes, num_attention_heads, num_key_value_heads):
    if num_key_value_heads > 1 and num_key_value_heads % num_processes:
        raise ValueError("the key/value heads cannot be split")
    return solution.heads_on_rank(rank, num_processes, num_attention_heads, num_key_value_heads)


@mistake("heads_on_rank", "Your check is inverted. W must divide A, so test `A % W`, not `W % A`.")
def check_inverted(rank, num_processes, num_attention_heads, num_key_value_heads):
    if num_processes % num_attention_heads:
        raise ValueError("the heads cannot be split")
    return rounded_down.implementation(rank, num_processes, num_attention_heads, num_key_value_heads)


@variant("heads_on_rank")
def two_kinds_of_models(rank, num_processes, num_attention_heads, num_key_value_heads):
    per_rank, rest = divmod(num_attention_heads, num_processes)
    if rest != 0:
        raise ValueError("choose another number of processes")
    if num_key_value_heads >= num_processes:
        held = num_key_value_heads // num_processes
        key_value_heads = [rank * held + i for i in range(held)]
    else:
        key_value_heads = [rank // (num_processes // num_key_value_heads)]
    return [rank * per_rank + i for i in range(per_rank)], key_value_heads


@variant("heads_on_rank")
def by_first_and_last(rank, num_processes, num_attention_heads, num_key_value_heads):
    if num_attention_heads % num_processes:
        raise ValueError
    start, end = (r * num_attention_heads // num_processes for r in (rank, rank + 1))
    first, last = (head * num_key_value_heads // num_attention_heads for head in (start, end - 1))
    return [range(start, end), range(first, last + 1)]


@variant("heads_on_rank")
def owner_of_each_head(rank, num_processes, num_attention_heads, num_key_value_heads):
    if num_attention_heads / num_processes != num_attention_heads // num_processes:
        raise ValueError("the heads cannot be split")
    owners = torch.arange(num_processes).repeat_interleave(num_attention_heads // num_processes)
    sources = torch.arange(num_key_value_heads).repeat_interleave(num_attention_heads // num_key_value_heads)
    return (owners == rank).nonzero().flatten().tolist(), sources[owners == rank].unique().tolist()


def weighted_sums(gradients, weights):
    """For each parameter, the sum over the ranks of weight times gradient; None counts as 0."""
    return [
        torch.stack([weight * grad for weight, grad in zip(weights, of_parameter) if grad is not None]).sum(0)
        for of_parameter in zip(*gradients)
    ]


@mistake("average_gradients", "You summed the gradients. Take their mean, weighted by the number of rows.")
def summed(gradients, num_rows):
    return weighted_sums(gradients, [1] * len(num_rows))


@mistake(
    "average_gradients",
    "You took the plain mean over the ranks, in which a row on a rank with few rows counts more. Weight each rank by "
    "its number of rows.",
)
def plain_mean(gradients, num_rows):
    return weighted_sums(gradients, [1 / len(num_rows)] * len(num_rows))


@mistake(
    "average_gradients",
    "You took the plain mean of the gradients that exist. Weight each rank by its rows, and divide by all rows, those "
    "of ranks without a gradient included.",
)
def plain_mean_of_existing_gradients(gradients, num_rows):
    return [
        torch.stack([grad for grad in of_parameter if grad is not None]).mean(0) for of_parameter in zip(*gradients)
    ]


@mistake("average_gradients", "You averaged twice: after dividing by all rows, you divided by W too.")
def averaged_twice(gradients, num_rows):
    return weighted_sums(gradients, [rows / sum(num_rows) / len(num_rows) for rows in num_rows])


@mistake(
    "average_gradients",
    "You averaged twice: you divided the plain mean by W again. Weight each rank by its rows instead.",
)
def plain_mean_twice(gradients, num_rows):
    return weighted_sums(gradients, [1 / len(num_rows) ** 2] * len(num_rows))


@mistake(
    "average_gradients",
    "You divided by all rows, but a rank's gradient is that of a *mean*. Multiply it by its number of rows first.",
)
def not_multiplied_by_rows(gradients, num_rows):
    return weighted_sums(gradients, [1 / sum(num_rows)] * len(num_rows))


@mistake(
    "average_gradients",
    "You divided by a rank's number of rows, but its gradient is a mean already. Multiply by it instead.",
)
def divided_by_own_rows(gradients, num_rows):
    return weighted_sums(gradients, [1 / rows / len(num_rows) for rows in num_rows])


@mistake("average_gradients", "You weighted by the rows, but did not divide by the number of all rows.")
def weights_not_normalized(gradients, num_rows):
    return weighted_sums(gradients, num_rows)


@mistake("average_gradients", "You weighted by the rows and divided by W. Divide by the number of all rows.")
def rows_divided_by_processes(gradients, num_rows):
    return weighted_sums(gradients, [rows / len(num_rows) for rows in num_rows])


@mistake("average_gradients", "Your weights are inverted: a rank with more rows should count more.")
def weights_inverted(gradients, num_rows):
    total = sum(1 / rows for rows in num_rows)
    return weighted_sums(gradients, [1 / rows / total for rows in num_rows])


@mistake("average_gradients", "You used `//`, so the weights are 0. Divide with `/`.")
def integer_division(gradients, num_rows):
    return weighted_sums(gradients, [rows // sum(num_rows) for rows in num_rows])


@mistake("average_gradients", "You returned the gradients of rank 0. Average those of all ranks.")
def only_of_rank_0(gradients, num_rows):
    return [
        next(torch.zeros_like(grad) for grad in of_parameter if grad is not None)
        if of_parameter[0] is None
        else of_parameter[0]
        for of_parameter in zip(*gradients)
    ]


@mistake(
    "average_gradients",
    "You left out of the divisor the rows of ranks without a gradient. They count, with gradient 0: divide by "
    "all rows.",
)
def missing_ranks_left_out_of_the_divisor(gradients, num_rows):
    averaged = []
    for of_parameter in zip(*gradients):
        there = [(rows, grad) for rows, grad in zip(num_rows, of_parameter) if grad is not None]
        averaged.append(sum(rows * grad for rows, grad in there) / sum(rows for rows, _ in there))
    return averaged


@mistake(
    "average_gradients", "If a parameter is None on one rank, you return 0. Only that rank's gradient counts as 0."
)
def zero_if_one_rank_lacks_it(gradients, num_rows):
    averaged = solution.average_gradients(gradients, num_rows)
    missing = [any(grad is None for grad in of_parameter) for of_parameter in zip(*gradients)]
    return [torch.zeros_like(grad) if lost else grad for grad, lost in zip(averaged, missing)]


@mistake(
    "average_gradients", "If a parameter is None on one rank, you return None. Only that rank's gradient counts as 0."
)
def none_if_one_rank_lacks_it(gradients, num_rows):
    averaged = solution.average_gradients(gradients, num_rows)
    missing = [any(grad is None for grad in of_parameter) for of_parameter in zip(*gradients)]
    return [None if lost else grad for grad, lost in zip(averaged, missing)]


@mistake(
    "average_gradients",
    "If a parameter is None on one rank, it is missing from your list. Return a tensor for every parameter.",
)
def dropped_if_one_rank_lacks_it(gradients, num_rows):
    return [grad for grad in none_if_one_rank_lacks_it.implementation(gradients, num_rows) if grad is not None]


@mistake("average_gradients", "You multiply None. Count it as a gradient of 0.")
def none_not_handled(gradients, num_rows):
    return [
        sum(rows * grad for rows, grad in zip(num_rows, of_parameter)) / sum(num_rows)  # ends in an error
        for of_parameter in zip(*gradients)
    ]


@mistake("average_gradients", "You returned a list per rank. Return a single list with one tensor per parameter.")
def one_for_each_rank(gradients, num_rows):
    return [solution.average_gradients(gradients, num_rows)] * len(num_rows)


@variant("average_gradients")
def one_long_vector(gradients, num_rows):
    likes = [next(grad for grad in of_parameter if grad is not None) for of_parameter in zip(*gradients)]
    total = torch.zeros(sum(like.numel() for like in likes))
    for rows, of_rank in zip(num_rows, gradients):
        filled = [torch.zeros_like(like) if grad is None else grad for grad, like in zip(of_rank, likes)]
        total += rows / sum(num_rows) * torch.cat([grad.flatten() for grad in filled])
    parts = total.split([like.numel() for like in likes])
    return [part.view_as(like) for part, like in zip(parts, likes)]


@variant("average_gradients")
def weights_first(gradients, num_rows):
    weights = torch.tensor(num_rows) / sum(num_rows)
    averaged = []
    for number in range(len(gradients[0])):
        total = 0
        for weight, of_rank in zip(weights, gradients):
            if of_rank[number] is not None:
                total = total + weight * of_rank[number]
        averaged.append(total)
    return averaged


@variant("average_gradients")
def rescaled_then_plain_mean(gradients, num_rows):
    # As with a plain mean all-reduce: each rank first rescales its own gradient.
    mean_rows = sum(num_rows) / len(num_rows)
    return [
        sum(rows / mean_rows * grad for rows, grad in zip(num_rows, of_parameter) if grad is not None) / len(num_rows)
        for of_parameter in zip(*gradients)
    ]


def traffic(calls, vector, gathered, bytes_per_number):
    """Bytes of `calls` all-reduces that send `vector` numbers each, and of `gathered` numbers for the logits."""
    return float((calls * vector + gathered) * bytes_per_number)


def ring_vector(hidden_size, num_processes):
    return 2 * hidden_size * (num_processes - 1) / num_processes


def ring_logits(vocab_size, num_processes):
    return vocab_size / num_processes * (num_processes - 1)


@mistake(
    "bytes_sent_per_token",
    "You counted one all-reduce per layer. There are two, after the attention and after the MLP.",
)
def one_a_layer(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes), ring_logits(vocab_size, num_processes)
    return traffic(num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "You left out the all-reduce of the embedding.")
def without_embedding(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes), ring_logits(vocab_size, num_processes)
    return traffic(2 * num_hidden_layers, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "You counted the embedding's all-reduce in each layer. There is only one.")
def embedding_in_each_layer(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes), ring_logits(vocab_size, num_processes)
    return traffic(3 * num_hidden_layers, vector, gathered, bytes_per_number)


@mistake(
    "bytes_sent_per_token",
    "The ring's factor 2 is missing: an all-reduce goes around twice, first to sum, then to distribute. (The 2 per "
    "layer is another one.)",
)
def once_around_the_ring(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes) / 2, ring_logits(vocab_size, num_processes)
    return traffic(2 * num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "The factor (W - 1) / W is missing from the all-reduce.")
def without_the_fraction(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    gathered = ring_logits(vocab_size, num_processes)
    return traffic(2 * num_hidden_layers + 1, 2 * hidden_size, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "You counted the n bytes of the vector. A ring all-reduce sends 2 n (W - 1) / W.")
def input_bytes_only(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    gathered = ring_logits(vocab_size, num_processes)
    return traffic(2 * num_hidden_layers + 1, hidden_size, gathered, bytes_per_number)


@mistake(
    "bytes_sent_per_token",
    "You did not divide the all-reduce by W. In each step of the ring, 1 / W of the vector is sent.",
)
def not_divided_by_processes(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = 2 * hidden_size * (num_processes - 1), ring_logits(vocab_size, num_processes)
    return traffic(2 * num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "You used (W + 1) / W. It is (W - 1) / W, so a single process sends nothing.")
def one_too_many(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = 2 * hidden_size * (num_processes + 1) / num_processes, ring_logits(vocab_size, num_processes)
    return traffic(2 * num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "You left out the all-gather of the logits.")
def without_logits(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    return traffic(2 * num_hidden_layers + 1, ring_vector(hidden_size, num_processes), 0, bytes_per_number)


@mistake(
    "bytes_sent_per_token",
    "You counted the logits as an all-reduce, twice too much. An all-gather sums nothing and goes around once.",
)
def logits_reduced(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes), ring_vector(vocab_size, num_processes)
    return traffic(2 * num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake(
    "bytes_sent_per_token",
    "You counted one part of the logits. Each process sends W - 1 parts: it passes on what it receives.",
)
def part_sent_once(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    gathered = vocab_size / num_processes if num_processes > 1 else 0
    return traffic(2 * num_hidden_layers + 1, ring_vector(hidden_size, num_processes), gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "You counted V / W logits. A process sends W - 1 parts of that size.")
def part_sent_once_even_alone(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes), vocab_size / num_processes
    return traffic(2 * num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "You counted all V logits. A process sends W - 1 parts of V / W.")
def all_logits(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector = ring_vector(hidden_size, num_processes)
    return traffic(2 * num_hidden_layers + 1, vector, vocab_size, bytes_per_number)


@mistake("bytes_sent_per_token", "You counted V logits W - 1 times. A part has V / W.")
def all_logits_to_all(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes), vocab_size * (num_processes - 1)
    return traffic(2 * num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake(
    "bytes_sent_per_token",
    "You counted W parts of the logits. A process sends W - 1 parts, since the last one is already there.",
)
def one_part_too_many(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes), vocab_size if num_processes > 1 else 0
    return traffic(2 * num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "You counted numbers, not bytes. Multiply by bytes_per_number.")
def numbers_instead_of_bytes(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    return solution.bytes_sent_per_token(num_hidden_layers, hidden_size, vocab_size, num_processes, 1)


@mistake("bytes_sent_per_token", "You counted the logits in numbers, not bytes. Multiply by bytes_per_number.")
def logits_as_numbers(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector = ring_vector(hidden_size, num_processes) * bytes_per_number
    return traffic(2 * num_hidden_layers + 1, vector, ring_logits(vocab_size, num_processes), 1)


@mistake("bytes_sent_per_token", "You counted the all-reduces in numbers, not bytes. Multiply by bytes_per_number.")
def vectors_as_numbers(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    gathered = ring_logits(vocab_size, num_processes) * bytes_per_number
    return traffic(2 * num_hidden_layers + 1, ring_vector(hidden_size, num_processes), gathered, 1)


@mistake("bytes_sent_per_token", "These are the bytes of all processes together. Return those of one process.")
def of_all_processes(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    one = solution.bytes_sent_per_token(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number)
    return one * num_processes


@mistake("bytes_sent_per_token", "You counted the received bytes too. Count only those that are sent.")
def received_too(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    return 2 * solution.bytes_sent_per_token(
        num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number
    )


@variant("bytes_sent_per_token")
def step_by_step(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    sent = 0
    for _ in range(2 * num_hidden_layers + 1):
        for _ in range(2 * (num_processes - 1)):  # once around to sum, once to distribute
            sent += hidden_size * bytes_per_number / num_processes
    for _ in range(num_processes - 1):
        sent += vocab_size * bytes_per_number / num_processes
    return sent


@variant("bytes_sent_per_token")
def in_integers(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    if num_processes == 1:
        return 0
    numbers = 4 * num_hidden_layers * hidden_size + 2 * hidden_size + vocab_size
    return numbers * bytes_per_number * (num_processes - 1) // num_processes


def bytes_each(of_parameter, num_parameters, num_processes, sharded):
    return float(of_parameter * num_parameters / (num_processes if sharded else 1))


@mistake(
    "training_bytes_per_process",
    "4 bytes per parameter are missing. Did you forget the float32 master weights, or one of AdamW's two moments?",
)
def master_or_moment_missing(num_parameters, num_processes, sharded):
    return bytes_each(12, num_parameters, num_processes, sharded)


@mistake(
    "training_bytes_per_process",
    "2 bytes per parameter are missing. Did you forget the gradients, or the bfloat16 copy of the weights?",
)
def gradients_or_weights_missing(num_parameters, num_processes, sharded):
    return bytes_each(14, num_parameters, num_processes, sharded)


@mistake("training_bytes_per_process", "8 bytes per parameter are missing. AdamW has two moments, of 4 bytes each.")
def moments_missing(num_parameters, num_processes, sharded):
    return bytes_each(8, num_parameters, num_processes, sharded)


@mistake(
    "training_bytes_per_process",
    "You counted only weights and gradients, 4 bytes per parameter. Add the master weights and the moments, 12 more.",
)
def weights_and_gradients_only(num_parameters, num_processes, sharded):
    return bytes_each(4, num_parameters, num_processes, sharded)


@mistake("training_bytes_per_process", "You counted only the bfloat16 weights. Training needs 8 times as much.")
def weights_only(num_parameters, num_processes, sharded):
    return bytes_each(2, num_parameters, num_processes, sharded)


@mistake(
    "training_bytes_per_process",
    "You counted 2 bytes too many per parameter. Weights and gradients are both bfloat16, 2 bytes each.",
)
def one_float32_too_many(num_parameters, num_processes, sharded):
    return bytes_each(18, num_parameters, num_processes, sharded)


@mistake(
    "training_bytes_per_process",
    "You counted 4 bytes too many per parameter. Only the master weight and the two moments are float32.",
)
def everything_float32(num_parameters, num_processes, sharded):
    return bytes_each(20, num_parameters, num_processes, sharded)


@mistake(
    "training_bytes_per_process",
    "You counted 8 bytes too many per parameter. The two moments have 4 bytes each, 8 together.",
)
def moments_counted_twice(num_parameters, num_processes, sharded):
    return bytes_each(24, num_parameters, num_processes, sharded)


@mistake("training_bytes_per_process", "These are bits. Return bytes.")
def bits(num_parameters, num_processes, sharded):
    return bytes_each(128, num_parameters, num_processes, sharded)


@mistake(
    "training_bytes_per_process",
    "You sharded only the optimizer's state (ZeRO-1). Fully sharded, weights and gradients are divided too.",
)
def only_the_optimizer(num_parameters, num_processes, sharded):
    return 4.0 * num_parameters + bytes_each(12, num_parameters, num_processes, sharded)


@mistake("training_bytes_per_process", "You sharded only the moments. Fully sharded, everything else is divided too.")
def only_the_moments(num_parameters, num_processes, sharded):
    return 8.0 * num_parameters + bytes_each(8, num_parameters, num_processes, sharded)


@mistake("training_bytes_per_process", "You did not shard the weights (ZeRO-2). Fully sharded, they are divided too.")
def all_except_the_weights(num_parameters, num_processes, sharded):
    return 2.0 * num_parameters + bytes_each(14, num_parameters, num_processes, sharded)


@mistake(
    "training_bytes_per_process",
    "You sharded only weights and gradients. Fully sharded, the optimizer's state is divided too.",
)
def all_except_the_optimizer(num_parameters, num_processes, sharded):
    return 12.0 * num_parameters + bytes_each(4, num_parameters, num_processes, sharded)


@mistake(
    "training_bytes_per_process",
    "You sharded only the weights. Fully sharded, gradients, master weights and moments are divided too.",
)
def only_the_weights(num_parameters, num_processes, sharded):
    return 14.0 * num_parameters + bytes_each(2, num_parameters, num_processes, sharded)


@mistake("training_bytes_per_process", "You divided although nothing is sharded. Then every process holds all of it.")
def always_divided(num_parameters, num_processes, sharded):
    return bytes_each(16, num_parameters, num_processes, True)


@mistake("training_bytes_per_process", "You never divided. If sharded, each process holds 1 / W.")
def never_divided(num_parameters, num_processes, sharded):
    return bytes_each(16, num_parameters, num_processes, False)


@mistake("training_bytes_per_process", "`sharded` is inverted. Divide if it is True.")
def sharded_inverted(num_parameters, num_processes, sharded):
    return bytes_each(16, num_parameters, num_processes, not sharded)


@mistake("training_bytes_per_process", "These are the bytes of all processes together. Return those of one process.")
def sum_over_processes(num_parameters, num_processes, sharded):
    return 16.0 * num_parameters * (1 if sharded else num_processes)


@variant("training_bytes_per_process")
def by_kinds(num_parameters, num_processes, sharded):
    kinds = {"weights": torch.bfloat16, "gradients": torch.bfloat16, "master weights": torch.float32}
    kinds |= {"first moments": torch.float32, "second moments": torch.float32}
    held = num_parameters // num_processes if sharded else num_parameters
    return sum(held * dtype.itemsize for dtype in kinds.values())


@variant("training_bytes_per_process")
def in_integer_arithmetic(num_parameters, num_processes, sharded):
    num_shares = num_processes if sharded else 1
    return (2 + 2 + 4 + 4 + 4) * num_parameters // num_shares
