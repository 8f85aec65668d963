"""Mistakes people make in chapter 24, and other right answers."""

import torch
from torch.nn.functional import gelu, linear

from grader import mistake, variant
from solutions import ch24_distributed as solution


def along(matrix, num_processes):
    """Cut into W blocks of neighbouring rows."""
    return matrix.chunk(num_processes, dim=0)


def across(matrix, num_processes):
    """Cut into W blocks of neighbouring columns."""
    return matrix.chunk(num_processes, dim=1)


def every_nth_row(matrix, num_processes):
    return [matrix[rank::num_processes] for rank in range(num_processes)]


@mistake(
    "split_mlp", "`gate` and `up` are cut across their columns, which are D: cut along the hidden units, their rows."
)
def gate_and_up_across(gate, up, down, num_processes):
    return list(zip(*(across(matrix, num_processes) for matrix in (gate, up, down))))


@mistake("split_mlp", "`down` is cut along its rows, which are D: its columns read the hidden units, so cut across.")
def down_along(gate, up, down, num_processes):
    return list(zip(*(along(matrix, num_processes) for matrix in (gate, up, down))))


@mistake(
    "split_mlp",
    "All three are cut the wrong way: an nn.Linear has one row for each number that comes out. The hidden units are "
    "the rows of `gate` and `up`, and the columns of `down`.",
)
def all_the_wrong_way(gate, up, down, num_processes):
    return list(zip(across(gate, num_processes), across(up, num_processes), along(down, num_processes)))


@mistake(
    "split_mlp", "A rank's `up` has other hidden units than its `gate`: they are multiplied, so they must be the same."
)
def up_has_others(gate, up, down, num_processes):
    return list(zip(along(gate, num_processes), every_nth_row(up, num_processes), across(down, num_processes)))


@mistake(
    "split_mlp", "A rank's `gate` takes every W-th hidden unit, its `up` and `down` take neighbours: take the same."
)
def gate_has_others(gate, up, down, num_processes):
    return list(zip(every_nth_row(gate, num_processes), along(up, num_processes), across(down, num_processes)))


@mistake(
    "split_mlp",
    "`gate` and `up` take every W-th hidden unit and `down` takes neighbours: it reads units that the rank lacks.",
)
def down_takes_neighbours(gate, up, down, num_processes):
    gates, ups = every_nth_row(gate, num_processes), every_nth_row(up, num_processes)
    return list(zip(gates, ups, across(down, num_processes)))


@mistake(
    "split_mlp",
    "`gate` and `up` take neighbours and `down` takes every W-th column: it reads units that the rank lacks.",
)
def down_takes_every_nth(gate, up, down, num_processes):
    downs = [columns.T for columns in every_nth_row(down.T, num_processes)]
    return list(zip(along(gate, num_processes), along(up, num_processes), downs))


@mistake("split_mlp", "Every rank gets the slice of rank 0: the other hidden units are nowhere.")
def same_slice(gate, up, down, num_processes):
    return solution.split_mlp(gate, up, down, num_processes)[:1] * num_processes


@mistake("split_mlp", "Every rank gets the whole matrices: nothing is cut, and the sum is W times too large.")
def whole_copies(gate, up, down, num_processes):
    return [(gate, up, down)] * num_processes


@mistake("split_mlp", "`down` is not cut: a rank needs only the columns that read its own hidden units.")
def down_whole(gate, up, down, num_processes):
    return [(gate, up, down) for gate, up, _ in solution.split_mlp(gate, up, down, num_processes)]


@mistake("split_mlp", "`up` is not cut: a rank multiplies its part of `gate` by the same part of `up`.")
def up_whole(gate, up, down, num_processes):
    return [(gate, up, down) for gate, _, down in solution.split_mlp(gate, up, down, num_processes)]


@mistake("split_mlp", "`gate` and `up` have changed places: gelu is taken of the gate.")
def gate_and_up_swapped(gate, up, down, num_processes):
    return solution.split_mlp(up, gate, down, num_processes)


@mistake("split_mlp", "`down` is turned, [F/W, D]: its columns are cut, but it stays [D, F/W], as nn.Linear has it.")
def down_turned(gate, up, down, num_processes):
    return [(gate, up, down.T) for gate, up, down in solution.split_mlp(gate, up, down, num_processes)]


@mistake("split_mlp", "`torch.split` takes the size of a piece, not the number of pieces: `chunk` takes that.")
def split_by_size(gate, up, down, num_processes):
    return list(zip(gate.split(num_processes), up.split(num_processes), down.split(num_processes, dim=1)))


@mistake("split_mlp", "You return a list for each matrix: all gates, all ups, all downs. Return a piece for each rank.")
def one_list_for_each_matrix(gate, up, down, num_processes):
    return [list(pieces) for pieces in zip(*solution.split_mlp(gate, up, down, num_processes))]


@mistake("split_mlp", "`down` is divided by W: the ranks' parts are added, and what was cut needs no division.")
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
    """What each rank computes alone."""
    return [linear(units_of(hidden_states, piece, activation), piece[2]) for piece in pieces]


def read_down(units, pieces):
    return [linear(units_of_rank, down) for units_of_rank, (_, _, down) in zip(units, pieces, strict=True)]


@mistake("run_mlp", "The all-reduce is missing: each rank returns its own part of the sum.")
def no_all_reduce(hidden_states, pieces, all_reduce):
    return parts_of(hidden_states, pieces)


@mistake("run_mlp", "all_reduce changes nothing in place: take the list that it returns.")
def sum_not_taken(hidden_states, pieces, all_reduce):
    parts = parts_of(hidden_states, pieces)
    all_reduce(parts)
    return parts


@mistake("run_mlp", "The sum is reduced again, so it is W times too large: after one all-reduce all ranks have it.")
def reduced_twice(hidden_states, pieces, all_reduce):
    return all_reduce(all_reduce(parts_of(hidden_states, pieces)))


@mistake(
    "run_mlp",
    "The all-reduce comes before `down`: it adds hidden units of different ranks, which have nothing in common.",
)
def reduced_before_down(hidden_states, pieces, all_reduce):
    return read_down(all_reduce([units_of(hidden_states, piece) for piece in pieces]), pieces)


@mistake(
    "run_mlp", "Hidden units are added before `down`, and the parts after it: only what `down` gives is to be added."
)
def reduced_before_and_after_down(hidden_states, pieces, all_reduce):
    return all_reduce(reduced_before_down.implementation(hidden_states, pieces, all_reduce))


@mistake(
    "run_mlp",
    "The all-reduce comes before the activation. A rank's hidden units are whole already: each is made of all of x.",
)
def reduced_before_activation(hidden_states, pieces, all_reduce):
    gates = all_reduce([linear(hidden_states, gate) for gate, _, _ in pieces])
    ups = [linear(hidden_states, up) for _, up, _ in pieces]
    return read_down([gelu(gate, approximate="tanh") * up for gate, up in zip(gates, ups)], pieces)


@mistake(
    "run_mlp",
    "There is an all-reduce before the activation, and one at the end. The first adds different units: leave it out.",
)
def reduced_before_activation_and_at_the_end(hidden_states, pieces, all_reduce):
    return all_reduce(reduced_before_activation.implementation(hidden_states, pieces, all_reduce))


@mistake("run_mlp", "You divide by W: the parts make a sum, not a mean.")
def mean_of_parts(hidden_states, pieces, all_reduce):
    return [total / len(pieces) for total in all_reduce(parts_of(hidden_states, pieces))]


@mistake("run_mlp", "All ranks get the part of rank 0: it is a part of the sum, and an all-reduce makes the sum.")
def only_rank_0(hidden_states, pieces, all_reduce):
    return parts_of(hidden_states, pieces)[:1] * len(pieces)


@mistake("run_mlp", "You return one result: return a list, the result of each rank.")
def one_result(hidden_states, pieces, all_reduce):
    return all_reduce(parts_of(hidden_states, pieces))[0]


@mistake("run_mlp", "Only rank 0 has the result: after an all-reduce each rank has it, so return all W.")
def result_of_rank_0(hidden_states, pieces, all_reduce):
    return all_reduce(parts_of(hidden_states, pieces))[:1]


@mistake(
    "run_mlp", "The result is right, but you add the parts yourself: one rank cannot see the others'. Call all_reduce."
)
def added_by_hand(hidden_states, pieces, all_reduce):
    return [torch.stack(parts_of(hidden_states, pieces)).sum(0)] * len(pieces)


@mistake("run_mlp", "all_reduce is called once for each rank: one call takes all parts and gives all results.")
def called_by_each_rank(hidden_states, pieces, all_reduce):
    parts = parts_of(hidden_states, pieces)
    return [all_reduce(parts)[rank] for rank in range(len(pieces))]


@mistake(
    "run_mlp", "Each rank reads a part of the tokens; all ranks read all of `hidden_states`, with other units each."
)
def tokens_split(hidden_states, pieces, all_reduce):
    chunks = hidden_states.chunk(len(pieces), dim=1)
    return all_reduce([parts_of(chunk, [piece])[0] for chunk, piece in zip(chunks, pieces, strict=True)])


@mistake("run_mlp", "Each rank reads a part of each vector; all ranks read all of `hidden_states`.")
def vectors_split(hidden_states, pieces, all_reduce):
    chunks = hidden_states.chunk(len(pieces), dim=-1)  # ends in an error: gate wants D numbers
    return all_reduce([parts_of(chunk, [piece])[0] for chunk, piece in zip(chunks, pieces, strict=True)])


@mistake("run_mlp", "Each rank reads what the rank before it wrote; all of them read `hidden_states`.")
def one_after_the_other(hidden_states, pieces, all_reduce):
    parts = []
    for piece in pieces:
        [hidden_states] = parts_of(hidden_states, [piece])
        parts.append(hidden_states)
    return all_reduce(parts)


@mistake("run_mlp", "`hidden_states` is added to the result: an MLP gives the change alone, and the layer adds it.")
def input_added(hidden_states, pieces, all_reduce):
    return [hidden_states + total for total in all_reduce(parts_of(hidden_states, pieces))]


@mistake("run_mlp", 'This is the exact gelu: Gemma\'s is the tanh approximation, approximate="tanh".')
def exact_gelu(hidden_states, pieces, all_reduce):
    return all_reduce(parts_of(hidden_states, pieces, gelu))


@mistake("run_mlp", "gelu is missing: it is taken of the gate.")
def no_gelu(hidden_states, pieces, all_reduce):
    return all_reduce(parts_of(hidden_states, pieces, lambda gate: gate))


@mistake("run_mlp", "gelu is taken of `up`: it is taken of the gate.")
def gelu_of_up(hidden_states, pieces, all_reduce):
    return all_reduce(parts_of(hidden_states, [(up, gate, down) for gate, up, down in pieces]))


@mistake("run_mlp", "gelu is taken of the product: take it of the gate, then multiply.")
def gelu_of_the_product(hidden_states, pieces, all_reduce):
    units = [units_of(hidden_states, piece, lambda gate: gate) for piece in pieces]
    return all_reduce(read_down([gelu(products, approximate="tanh") for products in units], pieces))


@mistake("run_mlp", "gelu is taken after the all-reduce: it belongs to the hidden units, before `down`.")
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
    return solution.heads_of(rank, num_processes, num_attention_heads, num_attention_heads)[0]


@mistake(
    "heads_of",
    "`K // W` is 0 where there are fewer key/value heads than processes, and the rank gets none: it needs the head of "
    "its query heads.",
)
def no_key_value_heads(rank, num_processes, num_attention_heads, num_key_value_heads):
    per_rank = num_key_value_heads // num_processes
    held = list(range(rank * per_rank, (rank + 1) * per_rank))
    return queries_of(rank, num_processes, num_attention_heads), held


@mistake(
    "heads_of",
    "Where K is less than W, each rank gets the key/value head of its own number, or none: several ranks hold one.",
)
def one_each_while_they_last(rank, num_processes, num_attention_heads, num_key_value_heads):
    per_rank = max(num_key_value_heads // num_processes, 1)
    held = list(range(num_key_value_heads))[rank * per_rank : (rank + 1) * per_rank]
    return queries_of(rank, num_processes, num_attention_heads), held


@mistake("heads_of", "Every rank gets all key/value heads: it needs those that its query heads use.")
def all_key_value_heads(rank, num_processes, num_attention_heads, num_key_value_heads):
    return queries_of(rank, num_processes, num_attention_heads), list(range(num_key_value_heads))


@mistake("heads_of", "A rank gets every W-th query head: neighbours stay together.")
def every_nth_head(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries = [head + rank for head in range(0, num_attention_heads, num_processes)]
    queries_of(rank, num_processes, num_attention_heads)
    num_groups = num_attention_heads // num_key_value_heads
    return queries, sorted({head // num_groups for head in queries})


@mistake("heads_of", "Query head h uses key/value head `h % K` with you: neighbours share, so it is h // (A / K).")
def key_value_heads_in_turns(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries = queries_of(rank, num_processes, num_attention_heads)
    return queries, sorted({head % num_key_value_heads for head in queries})


@mistake(
    "heads_of", "Query head h uses key/value head `h // K` with you: A / K heads share one, so it is h // (A / K)."
)
def divided_by_key_value_heads(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries = queries_of(rank, num_processes, num_attention_heads)
    return queries, sorted({head // num_key_value_heads for head in queries})


@mistake("heads_of", "Query head h uses key/value head `h // (A / W)` with you, which is its rank: divide by A / K.")
def number_of_the_rank(rank, num_processes, num_attention_heads, num_key_value_heads):
    return queries_of(rank, num_processes, num_attention_heads), [rank]


@mistake("heads_of", "You take only the key/value head of the first query head: a rank may need several.")
def only_one_key_value_head(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries, held = solution.heads_of(rank, num_processes, num_attention_heads, num_key_value_heads)
    return queries, held[:1]


@mistake("heads_of", "A key/value head comes once for each query head that uses it: a rank holds it once.")
def held_several_times(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries = queries_of(rank, num_processes, num_attention_heads)
    return queries, [head * num_key_value_heads // num_attention_heads for head in queries]


@mistake("heads_of", "Where K is less than W, rank r holds head `r % K` with you: neighbours share, so r // (W / K).")
def ranks_in_turns(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries, held = solution.heads_of(rank, num_processes, num_attention_heads, num_key_value_heads)
    return queries, [rank % num_key_value_heads] if num_key_value_heads < num_processes else held


@mistake("heads_of", "Your heads are numbered from 1: the first is 0.")
def heads_from_1(rank, num_processes, num_attention_heads, num_key_value_heads):
    answer = solution.heads_of(rank, num_processes, num_attention_heads, num_key_value_heads)
    return tuple([head + 1 for head in heads] for heads in answer)


@mistake("heads_of", "Your ranks are numbered from 1: the first is 0.")
def ranks_from_1(rank, num_processes, num_attention_heads, num_key_value_heads):
    return solution.heads_of(rank - 1, num_processes, num_attention_heads, num_key_value_heads)


@mistake("heads_of", "Each rank counts its own heads from 0: count the heads of the whole model.")
def counted_within_the_rank(rank, num_processes, num_attention_heads, num_key_value_heads):
    answer = solution.heads_of(rank, num_processes, num_attention_heads, num_key_value_heads)
    return tuple(list(range(len(heads))) for heads in answer)


@mistake("heads_of", "A rank gets W query heads: it gets A / W.")
def as_many_heads_as_processes(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries_of(rank, num_processes, num_attention_heads)
    queries = list(range(rank * num_processes, (rank + 1) * num_processes))
    num_groups = num_attention_heads // num_key_value_heads
    return queries, sorted({head // num_groups for head in queries})


@mistake("heads_of", "The last query head of each rank is missing: `range(a, b)` ends before b.")
def last_head_missing(rank, num_processes, num_attention_heads, num_key_value_heads):
    queries, _ = solution.heads_of(rank, num_processes, num_attention_heads, num_key_value_heads)
    num_groups = num_attention_heads // num_key_value_heads
    return queries[:-1], sorted({head // num_groups for head in queries[:-1]})


@mistake("heads_of", "W does not divide the heads, and you round: some heads would be on no rank. Raise a ValueError.")
def rounded_down(rank, num_processes, num_attention_heads, num_key_value_heads):
    per_rank = num_attention_heads // num_processes
    queries = list(range(rank * per_rank, (rank + 1) * per_rank))
    num_groups = num_attention_heads // num_key_value_heads
    return queries, sorted({head // num_groups for head in queries})


@mistake("heads_of", "You refuse fewer key/value heads than processes: then several ranks hold the same one.")
def few_key_value_heads_refused(rank, num_processes, num_attention_heads, num_key_value_heads):
    if num_key_value_heads % num_processes:
        raise ValueError("the key/value heads cannot be split")
    return solution.heads_of(rank, num_processes, num_attention_heads, num_key_value_heads)


@mistake("heads_of", "You refuse fewer key/value heads than processes, save one: what holds for one holds for two.")
def only_one_is_shared(rank, num_processes, num_attention_heads, num_key_value_heads):
    if num_key_value_heads > 1 and num_key_value_heads % num_processes:
        raise ValueError("the key/value heads cannot be split")
    return solution.heads_of(rank, num_processes, num_attention_heads, num_key_value_heads)


@mistake("heads_of", "Your check is upside down: W must divide A, so `A % W` must be 0, not `W % A`.")
def check_upside_down(rank, num_processes, num_attention_heads, num_key_value_heads):
    if num_processes % num_attention_heads:
        raise ValueError("the heads cannot be split")
    return rounded_down.implementation(rank, num_processes, num_attention_heads, num_key_value_heads)


@variant("heads_of")
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


@variant("heads_of")
def by_first_and_last(rank, num_processes, num_attention_heads, num_key_value_heads):
    if num_attention_heads % num_processes:
        raise ValueError
    start, end = (r * num_attention_heads // num_processes for r in (rank, rank + 1))
    first, last = (head * num_key_value_heads // num_attention_heads for head in (start, end - 1))
    return [range(start, end), range(first, last + 1)]


@variant("heads_of")
def owner_of_each_head(rank, num_processes, num_attention_heads, num_key_value_heads):
    if num_attention_heads / num_processes != num_attention_heads // num_processes:
        raise ValueError("the heads cannot be split")
    owners = torch.arange(num_processes).repeat_interleave(num_attention_heads // num_processes)
    sources = torch.arange(num_key_value_heads).repeat_interleave(num_attention_heads // num_key_value_heads)
    return (owners == rank).nonzero().flatten().tolist(), sources[owners == rank].unique().tolist()


def weighted_sums(gradients, weights):
    """For each parameter the sum over the ranks, each times its weight; None is 0."""
    return [
        torch.stack([weight * grad for weight, grad in zip(weights, of_parameter) if grad is not None]).sum(0)
        for of_parameter in zip(*gradients)
    ]


@mistake("average_gradients", "You add the ranks' gradients: take their mean, weighted by their rows.")
def summed(gradients, num_rows):
    return weighted_sums(gradients, [1] * len(num_rows))


@mistake(
    "average_gradients",
    "You take the plain mean over the ranks: then a row on a rank with few rows counts more. Weight each rank by its "
    "rows.",
)
def plain_mean(gradients, num_rows):
    return weighted_sums(gradients, [1 / len(num_rows)] * len(num_rows))


@mistake(
    "average_gradients",
    "You take the plain mean of the gradients that are there: weight each rank by its rows, and divide by all rows, "
    "those of a rank without a gradient too.",
)
def plain_mean_of_those_there(gradients, num_rows):
    return [
        torch.stack([grad for grad in of_parameter if grad is not None]).mean(0) for of_parameter in zip(*gradients)
    ]


@mistake("average_gradients", "You average twice: after dividing by all rows, you divide by W too.")
def averaged_twice(gradients, num_rows):
    return weighted_sums(gradients, [rows / sum(num_rows) / len(num_rows) for rows in num_rows])


@mistake("average_gradients", "You average twice: you divide the plain mean by W again.")
def plain_mean_twice(gradients, num_rows):
    return weighted_sums(gradients, [1 / len(num_rows) ** 2] * len(num_rows))


@mistake(
    "average_gradients",
    "You divide by all rows, but a rank's gradient is that of a *mean* over its rows: multiply it by them first.",
)
def not_multiplied_by_rows(gradients, num_rows):
    return weighted_sums(gradients, [1 / sum(num_rows)] * len(num_rows))


@mistake("average_gradients", "You divide by a rank's own rows: it is a mean over them already. Multiply by them.")
def divided_by_own_rows(gradients, num_rows):
    return weighted_sums(gradients, [1 / rows / len(num_rows) for rows in num_rows])


@mistake("average_gradients", "You weight by the rows, but do not divide by the sum of all rows.")
def weights_not_normalised(gradients, num_rows):
    return weighted_sums(gradients, num_rows)


@mistake("average_gradients", "You weight by the rows and divide by W: divide by the sum of all rows.")
def rows_divided_by_processes(gradients, num_rows):
    return weighted_sums(gradients, [rows / len(num_rows) for rows in num_rows])


@mistake("average_gradients", "The weights are upside down: a rank with many rows counts less with you.")
def weights_upside_down(gradients, num_rows):
    total = sum(1 / rows for rows in num_rows)
    return weighted_sums(gradients, [1 / rows / total for rows in num_rows])


@mistake("average_gradients", "`rows // all_rows` is 0: divide with `/`.")
def whole_numbers(gradients, num_rows):
    return weighted_sums(gradients, [rows // sum(num_rows) for rows in num_rows])


@mistake("average_gradients", "You return the gradients of rank 0: the others have seen other rows.")
def only_of_rank_0(gradients, num_rows):
    return [
        next(torch.zeros_like(grad) for grad in of_parameter if grad is not None)
        if of_parameter[0] is None
        else of_parameter[0]
        for of_parameter in zip(*gradients)
    ]


@mistake(
    "average_gradients",
    "A rank without a gradient is left out of the divisor: it counts as 0, but its rows were seen. Divide by all rows.",
)
def left_out_of_the_divisor(gradients, num_rows):
    averaged = []
    for of_parameter in zip(*gradients):
        there = [(rows, grad) for rows, grad in zip(num_rows, of_parameter) if grad is not None]
        averaged.append(sum(rows * grad for rows, grad in there) / sum(rows for rows, _ in there))
    return averaged


@mistake("average_gradients", "A parameter that is None on one rank is 0 with you: only that rank counts as 0.")
def lost_where_one_lacks_it(gradients, num_rows):
    averaged = solution.average_gradients(gradients, num_rows)
    missing = [any(grad is None for grad in of_parameter) for of_parameter in zip(*gradients)]
    return [torch.zeros_like(grad) if lost else grad for grad, lost in zip(averaged, missing)]


@mistake("average_gradients", "A parameter that is None on one rank is None with you: only that rank counts as 0.")
def none_where_one_lacks_it(gradients, num_rows):
    averaged = solution.average_gradients(gradients, num_rows)
    missing = [any(grad is None for grad in of_parameter) for of_parameter in zip(*gradients)]
    return [None if lost else grad for grad, lost in zip(averaged, missing)]


@mistake("average_gradients", "A parameter that is None on one rank is missing from your list: it has a gradient too.")
def dropped_where_one_lacks_it(gradients, num_rows):
    return [grad for grad in none_where_one_lacks_it.implementation(gradients, num_rows) if grad is not None]


@mistake("average_gradients", "None is no number: count it as a gradient of 0.")
def stops_at_none(gradients, num_rows):
    return [
        sum(rows * grad for rows, grad in zip(num_rows, of_parameter)) / sum(num_rows)  # ends in an error
        for of_parameter in zip(*gradients)
    ]


@mistake("average_gradients", "You return a list for each rank: they would all be the same, so return one.")
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
    # As with a plain all-reduce mean: each rank first corrects its own gradient.
    mean_rows = sum(num_rows) / len(num_rows)
    return [
        sum(rows / mean_rows * grad for rows, grad in zip(num_rows, of_parameter) if grad is not None) / len(num_rows)
        for of_parameter in zip(*gradients)
    ]


def traffic(calls, vector, gathered, bytes_per_number):
    """So many all-reduces that send so many numbers each, and what is sent of the logits."""
    return float((calls * vector + gathered) * bytes_per_number)


def ring_vector(hidden_size, num_processes):
    return 2 * hidden_size * (num_processes - 1) / num_processes


def ring_logits(vocab_size, num_processes):
    return vocab_size / num_processes * (num_processes - 1)


@mistake(
    "bytes_sent_per_token", "You count one all-reduce a layer: there is one after attention and one after the MLP."
)
def one_a_layer(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes), ring_logits(vocab_size, num_processes)
    return traffic(num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "The all-reduce of the embedding is missing.")
def without_embedding(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes), ring_logits(vocab_size, num_processes)
    return traffic(2 * num_hidden_layers, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "The embedding's all-reduce is counted in each layer: there is one in all.")
def embedding_in_each_layer(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes), ring_logits(vocab_size, num_processes)
    return traffic(3 * num_hidden_layers, vector, gathered, bytes_per_number)


@mistake(
    "bytes_sent_per_token",
    "The 2 of the ring is missing: an all-reduce goes round twice, once to add and once to tell. (The 2 for each layer "
    "is another one.)",
)
def round_once(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes) / 2, ring_logits(vocab_size, num_processes)
    return traffic(2 * num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "(W - 1) / W is missing from the all-reduce.")
def without_the_fraction(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    gathered = ring_logits(vocab_size, num_processes)
    return traffic(2 * num_hidden_layers + 1, 2 * hidden_size, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "You count what goes into an all-reduce, n bytes: the ring sends 2 n (W - 1) / W.")
def only_what_goes_in(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    gathered = ring_logits(vocab_size, num_processes)
    return traffic(2 * num_hidden_layers + 1, hidden_size, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "The all-reduce is not divided by W: in a ring only a W-th goes out in each step.")
def not_divided_by_processes(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = 2 * hidden_size * (num_processes - 1), ring_logits(vocab_size, num_processes)
    return traffic(2 * num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "You take (W + 1) / W: it is (W - 1) / W, and one process alone sends nothing.")
def one_too_many(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = 2 * hidden_size * (num_processes + 1) / num_processes, ring_logits(vocab_size, num_processes)
    return traffic(2 * num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "The all-gather of the logits is missing.")
def without_logits(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    return traffic(2 * num_hidden_layers + 1, ring_vector(hidden_size, num_processes), 0, bytes_per_number)


@mistake(
    "bytes_sent_per_token", "The logits are counted as an all-reduce, twice too much: nothing is added, so once round."
)
def logits_reduced(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes), ring_vector(vocab_size, num_processes)
    return traffic(2 * num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "A part of the logits is sent once with you: parts are passed on, W - 1 times in all.")
def part_sent_once(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    gathered = vocab_size / num_processes if num_processes > 1 else 0
    return traffic(2 * num_hidden_layers + 1, ring_vector(hidden_size, num_processes), gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "V / W logits go into the all-gather; you forget that a process sends W - 1 parts.")
def part_sent_once_even_alone(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes), vocab_size / num_processes
    return traffic(2 * num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "Each process sends all V logits with you: it sends W - 1 parts of V / W.")
def all_logits(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector = ring_vector(hidden_size, num_processes)
    return traffic(2 * num_hidden_layers + 1, vector, vocab_size, bytes_per_number)


@mistake("bytes_sent_per_token", "Each process sends V logits W - 1 times with you: a part is V / W.")
def all_logits_to_all(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes), vocab_size * (num_processes - 1)
    return traffic(2 * num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "Each process sends W parts of the logits with you: W - 1, for the last one is there.")
def one_part_too_many(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector, gathered = ring_vector(hidden_size, num_processes), vocab_size if num_processes > 1 else 0
    return traffic(2 * num_hidden_layers + 1, vector, gathered, bytes_per_number)


@mistake("bytes_sent_per_token", "These are numbers: multiply by the bytes of each.")
def numbers(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    return solution.bytes_sent_per_token(num_hidden_layers, hidden_size, vocab_size, num_processes, 1)


@mistake("bytes_sent_per_token", "The bytes of a number are missing from the logits.")
def logits_as_numbers(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    vector = ring_vector(hidden_size, num_processes) * bytes_per_number
    return traffic(2 * num_hidden_layers + 1, vector, ring_logits(vocab_size, num_processes), 1)


@mistake("bytes_sent_per_token", "The bytes of a number are missing from the all-reduces.")
def vectors_as_numbers(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    gathered = ring_logits(vocab_size, num_processes) * bytes_per_number
    return traffic(2 * num_hidden_layers + 1, ring_vector(hidden_size, num_processes), gathered, 1)


@mistake("bytes_sent_per_token", "These are the bytes of all processes together: say what one sends.")
def of_all_processes(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    one = solution.bytes_sent_per_token(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number)
    return one * num_processes


@mistake("bytes_sent_per_token", "You count what is received too: only what is sent.")
def received_too(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    return 2 * solution.bytes_sent_per_token(
        num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number
    )


@variant("bytes_sent_per_token")
def step_by_step(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    sent = 0
    for _ in range(2 * num_hidden_layers + 1):
        for _ in range(2 * (num_processes - 1)):  # round once to add, once to tell
            sent += hidden_size * bytes_per_number / num_processes
    for _ in range(num_processes - 1):
        sent += vocab_size * bytes_per_number / num_processes
    return sent


@variant("bytes_sent_per_token")
def whole_bytes(num_hidden_layers, hidden_size, vocab_size, num_processes, bytes_per_number):
    if num_processes == 1:
        return 0
    numbers = 4 * num_hidden_layers * hidden_size + 2 * hidden_size + vocab_size
    return numbers * bytes_per_number * (num_processes - 1) // num_processes


def bytes_each(of_parameter, num_parameters, num_processes, sharded):
    return float(of_parameter * num_parameters / (num_processes if sharded else 1))


@mistake(
    "training_bytes_per_process",
    "4 bytes a parameter are missing. Did you forget the float32 master weights, or one of AdamW's two moments?",
)
def master_or_moment_missing(num_parameters, num_processes, sharded):
    return bytes_each(12, num_parameters, num_processes, sharded)


@mistake(
    "training_bytes_per_process",
    "2 bytes a parameter are missing. Did you forget the gradients, or the bfloat16 weights beside the master weights?",
)
def gradients_or_weights_missing(num_parameters, num_processes, sharded):
    return bytes_each(14, num_parameters, num_processes, sharded)


@mistake("training_bytes_per_process", "8 bytes a parameter are missing: AdamW has two moments, of 4 bytes each.")
def moments_missing(num_parameters, num_processes, sharded):
    return bytes_each(8, num_parameters, num_processes, sharded)


@mistake(
    "training_bytes_per_process",
    "You count weights and gradients alone, 4 bytes a parameter: add the master weights and the moments, 12 more.",
)
def weights_and_gradients_alone(num_parameters, num_processes, sharded):
    return bytes_each(4, num_parameters, num_processes, sharded)


@mistake("training_bytes_per_process", "You count the bfloat16 weights alone: training needs 8 times as much.")
def weights_alone(num_parameters, num_processes, sharded):
    return bytes_each(2, num_parameters, num_processes, sharded)


@mistake("training_bytes_per_process", "2 bytes too many: weights and gradients are both bfloat16, 2 bytes each.")
def one_float32_too_many(num_parameters, num_processes, sharded):
    return bytes_each(18, num_parameters, num_processes, sharded)


@mistake(
    "training_bytes_per_process",
    "4 bytes too many: only the master weight and the two moments are float32. The rest takes 2 + 2.",
)
def everything_float32(num_parameters, num_processes, sharded):
    return bytes_each(20, num_parameters, num_processes, sharded)


@mistake("training_bytes_per_process", "8 bytes too many: the two moments are 4 bytes each, 8 together.")
def moments_counted_twice(num_parameters, num_processes, sharded):
    return bytes_each(24, num_parameters, num_processes, sharded)


@mistake("training_bytes_per_process", "These are bits: a byte has 8.")
def bits(num_parameters, num_processes, sharded):
    return bytes_each(128, num_parameters, num_processes, sharded)


@mistake(
    "training_bytes_per_process",
    "Only the optimizer is sharded (ZeRO-1): weights and gradients are cut too when all is sharded.",
)
def only_the_optimizer(num_parameters, num_processes, sharded):
    return 4.0 * num_parameters + bytes_each(12, num_parameters, num_processes, sharded)


@mistake("training_bytes_per_process", "Only the moments are sharded: the rest is cut too when all is sharded.")
def only_the_moments(num_parameters, num_processes, sharded):
    return 8.0 * num_parameters + bytes_each(8, num_parameters, num_processes, sharded)


@mistake("training_bytes_per_process", "The weights are not sharded (ZeRO-2): they are cut too when all is sharded.")
def all_but_the_weights(num_parameters, num_processes, sharded):
    return 2.0 * num_parameters + bytes_each(14, num_parameters, num_processes, sharded)


@mistake("training_bytes_per_process", "Only weights and gradients are sharded: what the optimizer holds is cut too.")
def all_but_the_optimizer(num_parameters, num_processes, sharded):
    return 12.0 * num_parameters + bytes_each(4, num_parameters, num_processes, sharded)


@mistake(
    "training_bytes_per_process", "Only the weights are sharded: gradients, master weights and moments are cut too."
)
def only_the_weights(num_parameters, num_processes, sharded):
    return 14.0 * num_parameters + bytes_each(2, num_parameters, num_processes, sharded)


@mistake("training_bytes_per_process", "You divide where nothing is sharded: then every process holds all of it.")
def always_divided(num_parameters, num_processes, sharded):
    return bytes_each(16, num_parameters, num_processes, True)


@mistake("training_bytes_per_process", "Where it is sharded each process holds a W-th: you never divide.")
def never_divided(num_parameters, num_processes, sharded):
    return bytes_each(16, num_parameters, num_processes, False)


@mistake("training_bytes_per_process", "`sharded` is upside down: divide where it is true.")
def upside_down(num_parameters, num_processes, sharded):
    return bytes_each(16, num_parameters, num_processes, not sharded)


@mistake("training_bytes_per_process", "These are the bytes of all processes together: say what one holds.")
def of_all_together(num_parameters, num_processes, sharded):
    return 16.0 * num_parameters * (1 if sharded else num_processes)


@variant("training_bytes_per_process")
def by_kinds(num_parameters, num_processes, sharded):
    kinds = {"weights": torch.bfloat16, "gradients": torch.bfloat16, "master weights": torch.float32}
    kinds |= {"first moments": torch.float32, "second moments": torch.float32}
    held = num_parameters // num_processes if sharded else num_parameters
    return sum(held * dtype.itemsize for dtype in kinds.values())


@variant("training_bytes_per_process")
def in_whole_numbers(num_parameters, num_processes, sharded):
    shares = num_processes if sharded else 1
    return (2 + 2 + 4 + 4 + 4) * num_parameters // shares
