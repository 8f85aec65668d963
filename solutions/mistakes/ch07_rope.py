"""Common mistakes in chapter 7, and other correct answers."""

import torch
from torch import Tensor

from grader import mistake, variant
from solutions import ch07_rope as solution


def rotate_neighbors(states: Tensor) -> Tensor:
    """Rotation by 90 degrees for pairs of neighbors, (0, 1), (2, 3) and so on."""
    even, odd = states[..., 0::2], states[..., 1::2]
    return torch.stack([-odd, even], dim=-1).flatten(-2)


@mistake("rotate_half", "You paired neighbors: (0, 1), (2, 3), … In Gemma, a pair is entry i and entry i + E/2.")
def rotate_interleaved(states: Tensor) -> Tensor:
    return rotate_neighbors(states)


@mistake("rotate_half", "You rotated in the opposite direction. (a, b) becomes (-b, a), not (b, -a).")
def rotate_backwards(states: Tensor) -> Tensor:
    return -solution.rotate_half(states)


@mistake(
    "rotate_half",
    "You swapped the halves without a sign change, which is not a rotation. Negate the half that moves to the front.",
)
def halves_swapped(states: Tensor) -> Tensor:
    first, second = states.chunk(2, dim=-1)
    return torch.cat([second, first], dim=-1)


@mistake("rotate_half", "You changed a sign but did not swap the halves. Move the second half, negated, to the front.")
def second_half_negated(states: Tensor) -> Tensor:
    first, second = states.chunk(2, dim=-1)
    return torch.cat([first, -second], dim=-1)


@mistake("rotate_half", "You split the sequence axis. Split the last axis, the entries of a head.")
def sequence_split(states: Tensor) -> Tensor:
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


def frequencies(head_dim: int, theta: float) -> Tensor:
    """[E/2]."""
    return theta ** -(torch.arange(0, head_dim, 2).float() / head_dim)


@mistake("rotary_cos_sin", "In your result, neighbors share an angle. Entries i and i + E/2 should share it.")
def angles_interleaved(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    angles = position_ids[:, None, :, None].float() * frequencies(head_dim, theta)
    return angles_to_cos_sin(angles.repeat_interleave(2, dim=-1), dtype)


@mistake("rotary_cos_sin", "You numbered the positions yourself, from 0. Use `position_ids`.")
def positions_from_zero(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    counted = torch.arange(position_ids.shape[1]).expand_as(position_ids)
    return solution.rotary_cos_sin(counted, head_dim, theta, dtype)


@mistake("rotary_cos_sin", "You numbered the positions yourself, from 1. Use `position_ids`.")
def positions_from_one(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    counted = torch.arange(1, position_ids.shape[1] + 1).expand_as(position_ids)
    return solution.rotary_cos_sin(counted, head_dim, theta, dtype)


@mistake("rotary_cos_sin", "You used the positions of row 0 for all rows. Each row has its own.")
def first_row_for_all(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return solution.rotary_cos_sin(position_ids[:1].expand_as(position_ids), head_dim, theta, dtype)


@mistake(
    "rotary_cos_sin", "You computed the angles in bfloat16. At position 300 they are off by up to 0.4 rad: use float32."
)
def angles_in_bfloat16(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    angles = position_ids[:, None, :, None].bfloat16() * frequencies(head_dim, theta).bfloat16()
    return angles_to_cos_sin(torch.cat([angles, angles], dim=-1).float(), dtype)


@mistake(
    "rotary_cos_sin",
    "You computed the angles in the dtype of the result. Compute them in float32, and cast only cos and sin.",
)
def angles_in_dtype_of_result(
    position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    angles = position_ids[:, None, :, None].to(dtype) * frequencies(head_dim, theta).to(dtype)
    return angles_to_cos_sin(torch.cat([angles, angles], dim=-1), dtype)


@mistake("rotary_cos_sin", "Your exponent is -i / E, so the slow pairs rotate too fast. It should be -2i / E.")
def exponent_halved(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return solution.rotary_cos_sin(position_ids, head_dim, theta**0.5, dtype)


@mistake(
    "rotary_cos_sin",
    "The minus sign in the exponent is missing, so your pairs rotate faster with i. They should rotate slower.",
)
def exponent_without_minus(
    position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    angles = position_ids[:, None, :, None].float() / frequencies(head_dim, theta)
    return angles_to_cos_sin(torch.cat([angles, angles], dim=-1), dtype)


@mistake("rotary_cos_sin", "Your theta is always 10000. Use the argument `theta`.")
def theta_fixed(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return solution.rotary_cos_sin(position_ids, head_dim, 10000.0, dtype)


@mistake("rotary_cos_sin", "Your results are float32. Cast them to the argument `dtype`.")
def result_in_float32(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return solution.rotary_cos_sin(position_ids, head_dim, theta, torch.float32)


@mistake("rotary_cos_sin", "The axis for the heads is missing. Return [B, 1, S, E].")
def axis_of_heads_missing(
    position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    return tuple(part[:, 0] for part in solution.rotary_cos_sin(position_ids, head_dim, theta, dtype))


@mistake("rotary_cos_sin", "You swapped the two results. Return the cosine first, then the sine.")
def sine_first(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return solution.rotary_cos_sin(position_ids, head_dim, theta, dtype)[::-1]


@variant("rotary_cos_sin")
def angles_by_outer_product(
    position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    inv_freq = 1.0 / torch.pow(torch.tensor(theta), torch.arange(0, head_dim, 2) / head_dim)
    angles = torch.einsum("bs,e->bse", position_ids.float(), inv_freq).repeat(1, 1, 2).unsqueeze(1)
    return torch.cos(angles).to(dtype), torch.sin(angles).to(dtype)


@variant("rotary_cos_sin")
def angles_in_float64(position_ids: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    exponents = torch.arange(head_dim, dtype=torch.float64) % (head_dim // 2) * 2 / head_dim
    angles = position_ids.double()[:, None, :, None] / theta**exponents
    return angles.cos().to(dtype), angles.sin().to(dtype)


@mistake("apply_rotary", "You rotated in the opposite direction. a becomes a cos - b sin, and b becomes b cos + a sin.")
def rotated_backwards(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return solution.apply_rotary(states, cos, -sin)


@mistake("apply_rotary", "You paired neighbors. A pair is entry i and entry i + E/2.")
def rotated_interleaved(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return states * cos + rotate_neighbors(states) * sin


@mistake("apply_rotary", "You swapped cosine and sine. The states are multiplied by cos, rotate_half(states) by sin.")
def cos_and_sin_swapped(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return solution.apply_rotary(states, sin, cos)


@mistake("apply_rotary", "You multiplied `states` by the sine. Multiply rotate_half(states) by it.")
def rotate_half_forgotten(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return states * cos + states * sin


@mistake(
    "apply_rotary", "You used only the cosine, so the pairs shrink instead of rotating. Add rotate_half(states) * sin."
)
def cosine_alone(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return states * cos


@mistake("apply_rotary", "You rotated only the first half of the entries. The second half belongs to the pairs too.")
def first_half_alone(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = states.shape[-1] // 2
    return torch.cat([solution.apply_rotary(states, cos, sin)[..., :half], states[..., half:]], dim=-1)


@variant("apply_rotary")
def rotated_as_complex_numbers(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = states.shape[-1] // 2
    pairs = torch.complex(states[..., :half].contiguous(), states[..., half:].contiguous())
    rotated = pairs * torch.complex(cos[..., :half].contiguous(), sin[..., :half].contiguous())
    return torch.cat([rotated.real, rotated.imag], dim=-1)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(-1) @ value


def rotate(states: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return solution.apply_rotary(states, *solution.rotary_cos_sin(position_ids, states.shape[-1], theta, states.dtype))


@mistake(
    "attend_with_positions",
    "You rotated the values too. Rotate only queries and keys: the values should not depend on their positions.",
)
def values_rotated(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return attend(*(rotate(states, position_ids, theta) for states in (query, key, value)))


@mistake(
    "attend_with_positions",
    "You rotated only the queries, so the scores do not depend on distance. Rotate the keys too.",
)
def queries_alone_rotated(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return attend(rotate(query, position_ids, theta), key, value)


@mistake(
    "attend_with_positions",
    "You rotated only the keys, so the scores do not depend on distance. Rotate the queries too.",
)
def keys_alone_rotated(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return attend(query, rotate(key, position_ids, theta), value)


@mistake("attend_with_positions", "You used a causal mask. Here, every position attends to every position.")
def causal(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    query, key = rotate(query, position_ids, theta), rotate(key, position_ids, theta)
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1) @ value


@mistake("attend_with_positions", "You rotated nothing, so your attention ignores the order. Rotate queries and keys.")
def nothing_rotated(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return attend(query, key, value)


@mistake("attend_with_positions", "You used the positions 0, 1, 2, … in each row. Use `position_ids`.")
def positions_counted(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    counted = torch.arange(position_ids.shape[1]).expand_as(position_ids)
    return attend(rotate(query, counted, theta), rotate(key, counted, theta), value)


@mistake(
    "attend_with_positions",
    "You rotated queries and keys in opposite directions, so scores depend on the sum of their positions.",
)
def opposite_directions(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return attend(rotate(query, -position_ids, theta), rotate(key, position_ids, theta), value)


@mistake(
    "attend_with_positions", "You rotated the result of the attention. Rotate queries and keys, before the scores."
)
def result_rotated(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return rotate(attend(query, key, value), position_ids, theta)


@mistake("attend_with_positions", "Your scores are not scaled. Multiply them by 1 / sqrt(E).")
def scores_not_scaled(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    scaled = rotate(query, position_ids, theta) * query.shape[-1] ** 0.5
    return attend(scaled, rotate(key, position_ids, theta), value)


@variant("attend_with_positions")
def positions_shifted_by_one(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    return attend(rotate(query, position_ids + 1, theta), rotate(key, position_ids + 1, theta), value)


@variant("attend_with_positions")
def positions_from_the_first(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    shifted = position_ids - position_ids[:, :1]
    return attend(rotate(query, shifted, theta), rotate(key, shifted, theta), value)


@variant("attend_with_positions")
def rotated_the_other_way_both(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor, theta: float) -> Tensor:
    # Both in the opposite direction: the scores are the same only if the pairs are mirrored too.
    def mirror(states: Tensor) -> Tensor:
        first, second = states.chunk(2, dim=-1)
        return torch.cat([first, -second], dim=-1)

    return attend(rotate(mirror(query), -position_ids, theta), rotate(mirror(key), -position_ids, theta), value)
