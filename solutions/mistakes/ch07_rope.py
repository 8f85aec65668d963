"""Mistakes people make in chapter 7, and other right answers."""

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch07_rope as solution


def interleaved_quarter_turn(states: Tensor) -> Tensor:
    """The quarter turn for pairs of neighbours, (0, 1), (2, 3) and so on."""
    even, odd = states[..., 0::2], states[..., 1::2]
    return torch.stack([-odd, even], dim=-1).flatten(-2)


@mistake("rotate_half", "You paired neighbours, (0, 1), (2, 3) …; Gemma's partners are half a vector apart.")
def rotate_interleaved(states: Tensor) -> Tensor:
    return interleaved_quarter_turn(states)


@mistake("rotate_half", "You turned the other way: (a, b) becomes (-b, a), not (b, -a).")
def rotate_backwards(states: Tensor) -> Tensor:
    return -solution.rotate_half(states)


@mistake("rotate_half", "The halves have changed places, but none has changed its sign: that is no turn.")
def halves_exchanged(states: Tensor) -> Tensor:
    first, second = states.chunk(2, dim=-1)
    return torch.cat([second, first], dim=-1)


@mistake("rotate_half", "You changed a sign, but the halves have kept their places.")
def second_half_negated(states: Tensor) -> Tensor:
    first, second = states.chunk(2, dim=-1)
    return torch.cat([first, -second], dim=-1)


@mistake("rotate_half", "You cut the axis of places; cut the last one, the numbers of a head.")
def places_cut(states: Tensor) -> Tensor:
    half = states.shape[-2] // 2
    return torch.cat([-states[..., half:, :], states[..., :half, :]], dim=-2)


@variant("rotate_half")
def rotate_by_roll(states: Tensor) -> Tensor:
    half = states.shape[-1] // 2
    signs = torch.ones(states.shape[-1], dtype=states.dtype, device=states.device)
    signs[:half] = -1
    return states.roll(half, dims=-1) * signs


def angles_to_cos_sin(angles: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return angles.cos().to(dtype), angles.sin().to(dtype)


def speeds(head_dim: int, theta: float) -> Tensor:
    """[E/2]."""
    return theta ** -(torch.arange(0, head_dim, 2).float() / head_dim)


@mistake("rotary_cos_sin", "Neighbours share an angle in your result; here entries i and i + E/2 do.")
def angles_interleaved(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    angles = position_ids[:, None, :, None].float() * speeds(head_dim, theta)
    return angles_to_cos_sin(angles.repeat_interleave(2, dim=-1), dtype)


@mistake("rotary_cos_sin", "You counted places yourself, from 0; take the positions that are given.")
def positions_from_zero(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    counted = torch.arange(position_ids.shape[1]).expand_as(position_ids)
    return solution.rotary_cos_sin(counted, head_dim, theta, dtype)


@mistake("rotary_cos_sin", "You counted places yourself, from 1; take the positions that are given.")
def positions_from_one(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    counted = torch.arange(1, position_ids.shape[1] + 1).expand_as(position_ids)
    return solution.rotary_cos_sin(counted, head_dim, theta, dtype)


@mistake("rotary_cos_sin", "You took the first row's positions for all rows.")
def first_row_for_all(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return solution.rotary_cos_sin(position_ids[:1].expand_as(position_ids), head_dim, theta, dtype)


@mistake("rotary_cos_sin", "Your angles are in bfloat16: at position 300 they are wrong by 0.4 rad. Use float32.")
def angles_in_bfloat16(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    angles = position_ids[:, None, :, None].bfloat16() * speeds(head_dim, theta).bfloat16()
    return angles_to_cos_sin(torch.cat([angles, angles], dim=-1).float(), dtype)


@mistake("rotary_cos_sin", "Your angles are in the dtype of the result; compute them in float32, and cast cos and sin.")
def angles_in_dtype_of_result(
    position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    angles = position_ids[:, None, :, None].to(dtype) * speeds(head_dim, theta).to(dtype)
    return angles_to_cos_sin(torch.cat([angles, angles], dim=-1), dtype)


@mistake("rotary_cos_sin", "The exponent is -2i / E; yours is -i / E, so the slow pairs are too fast.")
def exponent_halved(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return solution.rotary_cos_sin(position_ids, head_dim, theta**0.5, dtype)


@mistake("rotary_cos_sin", "The minus in the exponent is missing: your pairs turn faster and faster.")
def exponent_without_minus(
    position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    angles = position_ids[:, None, :, None].float() / speeds(head_dim, theta)
    return angles_to_cos_sin(torch.cat([angles, angles], dim=-1), dtype)


@mistake("rotary_cos_sin", "theta is 10000 in your code, whatever is given.")
def theta_fixed(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return solution.rotary_cos_sin(position_ids, head_dim, 10000.0, dtype)


@mistake("rotary_cos_sin", "The result must have the dtype that is asked for.")
def result_in_float32(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return solution.rotary_cos_sin(position_ids, head_dim, theta, torch.float32)


@mistake("rotary_cos_sin", "There is no axis for the heads: [B, 1, S, E] is asked for.")
def axis_of_heads_missing(
    position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    return tuple(part[:, 0] for part in solution.rotary_cos_sin(position_ids, head_dim, theta, dtype))


@mistake("rotary_cos_sin", "First the cosine, then the sine.")
def sine_first(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return solution.rotary_cos_sin(position_ids, head_dim, theta, dtype)[::-1]


@variant("rotary_cos_sin")
def angles_by_outer_product(
    position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    frequencies = 1.0 / torch.pow(torch.tensor(theta), torch.arange(0, head_dim, 2) / head_dim)
    angles = torch.einsum("bs,e->bse", position_ids.float(), frequencies).repeat(1, 1, 2).unsqueeze(1)
    return torch.cos(angles).to(dtype), torch.sin(angles).to(dtype)


@variant("rotary_cos_sin")
def angles_in_float64(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    exponents = torch.arange(head_dim, dtype=torch.float64) % (head_dim // 2) * 2 / head_dim
    angles = position_ids.double()[:, None, :, None] / theta**exponents
    return angles.cos().to(dtype), angles.sin().to(dtype)


@mistake("apply_rotary", "You turned the other way: a becomes a cos - b sin.")
def turned_backwards(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return solution.apply_rotary(states, cos, -sin)


@mistake("apply_rotary", "You paired neighbours; the partners are entries i and i + E/2.")
def turned_interleaved(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return states * cos + interleaved_quarter_turn(states) * sin


@mistake("apply_rotary", "Cosine and sine have changed places.")
def cos_and_sin_exchanged(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return solution.apply_rotary(states, sin, cos)


@mistake("apply_rotary", "The sine belongs to the quarter turn, rotate_half(states), and not to the pair itself.")
def quarter_turn_forgotten(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return states * cos + states * sin


@mistake("apply_rotary", "Only the cosine is used: without the other half the pairs shrink and do not turn.")
def cosine_alone(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return states * cos


@mistake("apply_rotary", "Only the first half is turned; the partners need it too.")
def first_half_alone(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = states.shape[-1] // 2
    return torch.cat([solution.apply_rotary(states, cos, sin)[..., :half], states[..., half:]], dim=-1)


@variant("apply_rotary")
def turned_as_complex_numbers(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = states.shape[-1] // 2
    pairs = torch.complex(states[..., :half].contiguous(), states[..., half:].contiguous())
    turned = pairs * torch.complex(cos[..., :half].contiguous(), sin[..., :half].contiguous())
    return torch.cat([turned.real, turned.imag], dim=-1)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(-1) @ value


def turn(states: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return solution.apply_rotary(states, *solution.rotary_cos_sin(position_ids, states.shape[-1], theta, states.dtype))


@mistake("attend_with_positions", "You turned the values too: what is mixed must not depend on where it stood.")
def values_turned(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return attend(*(turn(states, position_ids, theta) for states in (query, key, value)))


@mistake("attend_with_positions", "Only the queries are turned: then scores depend on the place, not on the distance.")
def queries_alone_turned(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return attend(turn(query, position_ids, theta), key, value)


@mistake("attend_with_positions", "Only the keys are turned: then scores depend on the place, not on the distance.")
def keys_alone_turned(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return attend(query, turn(key, position_ids, theta), value)


@mistake("attend_with_positions", "You hid the places that come later; here every place may look at every other.")
def causal(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    query, key = turn(query, position_ids, theta), turn(key, position_ids, theta)
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1) @ value


@mistake("attend_with_positions", "Nothing is turned: your attention knows no order.")
def nothing_turned(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return attend(query, key, value)


@mistake("attend_with_positions", "You counted 0, 1, 2 … along each row; take the positions that are given.")
def places_counted(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    counted = torch.arange(position_ids.shape[1]).expand_as(position_ids)
    return attend(turn(query, counted, theta), turn(key, counted, theta), value)


@mistake("attend_with_positions", "Queries and keys turn in opposite directions: the distance becomes a sum.")
def opposite_directions(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return attend(turn(query, -position_ids, theta), turn(key, position_ids, theta), value)


@mistake("attend_with_positions", "You turned the vectors that are mixed already; turn queries and keys before.")
def result_turned(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return turn(attend(query, key, value), position_ids, theta)


@mistake("attend_with_positions", "The scores are not scaled.")
def scores_not_scaled(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    scaled = turn(query, position_ids, theta) * query.shape[-1] ** 0.5
    return attend(scaled, turn(key, position_ids, theta), value)


@variant("attend_with_positions")
def positions_shifted_by_one(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return attend(turn(query, position_ids + 1, theta), turn(key, position_ids + 1, theta), value)


@variant("attend_with_positions")
def positions_from_the_first(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    shifted = position_ids - position_ids[:, :1]
    return attend(turn(query, shifted, theta), turn(key, shifted, theta), value)


@variant("attend_with_positions")
def turned_the_other_way_both(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    # Both the other way: the same cosine and sine of the distance only if the pairs are mirrored as well.
    def mirror(states: Tensor) -> Tensor:
        first, second = states.chunk(2, dim=-1)
        return torch.cat([first, -second], dim=-1)

    return attend(turn(mirror(query), -position_ids, theta), turn(mirror(key), -position_ids, theta), value)
