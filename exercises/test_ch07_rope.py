"""Test cases for exercises/ch07_rope.py; the correct answers come from solutions/ch07_rope.py."""

from collections.abc import Iterator

import pytest
import torch

from grader import Case, Exercise, Random

SIZES = [(2, 3, 5, 8), (1, 1, 4, 6), (3, 2, 1, 4)]  # (B, A, S, E)
FINISHED = ("vlm.gemma.rotate_half", "vlm.gemma.rotary_cos_sin", "vlm.gemma.apply_rotary_pos_emb")


def states(random: Random) -> Iterator[Case]:
    for shape in SIZES:
        yield {"states": random.normal(*shape)}
    yield {"states": random.normal(1, 2, 3, 4, dtype=torch.float64)}
    yield {"states": torch.empty(1, 2, 3, 4, device="meta")}


def positions(random: Random) -> Iterator[Case]:
    for (batch, _, length, head_dim), theta in zip(SIZES, (10000.0, 100.0, 10000.0)):
        position_ids = random.integers(0, 400, batch, length)
        yield {"position_ids": position_ids, "head_dim": head_dim, "theta": theta, "dtype": torch.float32}
    yield {
        "position_ids": torch.arange(1, 7)[None] + random.integer(250, 300),
        "head_dim": 8,
        "theta": 10000.0,
        "dtype": torch.bfloat16,
    }


def states_and_angles(random: Random) -> Iterator[Case]:
    for batch, heads, length, head_dim in SIZES:
        angles = random.uniform(batch, 1, length, head_dim // 2, low=-3.0, high=3.0)
        angles = torch.cat([angles, angles], dim=-1)
        yield {"states": random.normal(batch, heads, length, head_dim), "cos": angles.cos(), "sin": angles.sin()}


def queries_keys_values(random: Random) -> Iterator[Case]:
    def case(position_ids: torch.Tensor, heads: int, head_dim: int) -> Case:
        shape = (position_ids.shape[0], heads, position_ids.shape[1], head_dim)
        tensors = {name: random.normal(*shape) for name in ("query", "key", "value")}
        return tensors | {"position_ids": position_ids, "theta": 100.0}

    yield case(torch.arange(1, 7)[None], 2, 4)
    yield case(torch.tensor([[1, 1, 1, 2, 3], [1, 2, 3, 4, 5]]), 2, 8)  # the first row is padded
    yield case(random.integers(0, 60, 2, 6), 1, 4)


EXERCISES = [
    Exercise(
        "rotate_half", "Rotation by 90 degrees", states, forbidden=FINISHED, section="Two layouts: halves and neighbors"
    ),
    Exercise(
        "rotary_cos_sin",
        "Cosine and sine of the angles",
        positions,
        points=2,
        forbidden=FINISHED,
        tolerance=3e-4,  # float32 stores an angle of 400 with an error of up to 3e-5, and roundings add up
        section="Many frequencies",
    ),
    Exercise(
        "apply_rotary",
        "Rotate queries and keys",
        states_and_angles,
        forbidden=FINISHED,
        section="Two layouts: halves and neighbors",
    ),
    Exercise(
        "attend_with_positions",
        "Attention with rotary positions",
        queries_keys_values,
        points=2,
        forbidden=FINISHED,
        tolerance=1e-4,
        section="Only the distance counts",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
