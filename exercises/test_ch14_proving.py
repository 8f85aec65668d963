"""Checks of exercises/ch14_proving.py: test cases for each exercise. The solutions define what is right."""

from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from grader import Case, Exercise, Random

FINISHED_ROPE = ("vlm.gemma.apply_rotary_pos_emb", "vlm.gemma.rotate_half")
NAMES = ["tower", "projector", "layers.0", "layers.1", "layers.2", "layers.3", "norm"]


def pairs(random: Random) -> Iterator[Case]:
    theirs = random.normal(2, 5, 4, scale=3.0)
    yield {"ours": theirs + random.normal(2, 5, 4, scale=0.1), "theirs": theirs, "is_real": None}
    yield {"ours": theirs * random.integer(20, 90), "theirs": theirs, "is_real": None}
    is_real = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 1, 1]]).bool()
    noise = torch.where(is_real[..., None], 0.01, 50.0) * random.normal(2, 5, 4)
    yield {"ours": theirs + noise, "theirs": theirs, "is_real": is_real}
    yield {"ours": theirs[:1] + random.normal(1, 5, 4), "theirs": theirs, "is_real": None}
    broken = theirs.clone()
    broken[1, random.integer(0, 5)] = torch.nan
    yield {"ours": broken, "theirs": theirs, "is_real": None}
    at_padding = theirs + noise
    at_padding[0, 0] = torch.nan
    yield {"ours": at_padding, "theirs": theirs, "is_real": is_real}
    yield {"ours": theirs[:, :, :2], "theirs": theirs, "is_real": is_real}
    yield {
        "ours": theirs.transpose(0, 1).contiguous(),
        "theirs": theirs,
        "is_real": None,
    }  # the same number of elements


def tables(random: Random) -> Iterator[Case]:
    for first in (random.integer(1, 4), 0, len(NAMES)):
        low = random.uniform(len(NAMES), low=1e-8, high=9e-7).tolist()
        high = (10 ** random.uniform(len(NAMES), low=-4.0, high=-1.0)).tolist()
        order = random.uniform(len(NAMES)).argsort().tolist()  # so that alphabetical order does not help
        values = low[:first] + high[first:]
        if first < len(NAMES) - 2:
            values[-1] = 1e-7  # a norm may hide an earlier error
            values[first + 1] = 2 * max(values)
        yield {"errors": {NAMES[index]: value for index, value in zip(order, values)}, "tolerance": 1e-5}
    yield {"errors": {"tower": 1e-7, "projector": 1e-5, "layers.0": 2e-5, "norm": 1e-7}, "tolerance": 1e-5}
    infinite = dict.fromkeys(NAMES, 1e-7) | {"layers.2": float("inf"), "layers.3": 0.5}
    yield {"errors": infinite, "tolerance": 1e-5}


def make_linear(random: Random, size_in: int, size_out: int, bias: bool = True) -> dict[str, Tensor]:
    weights = {"weight": random.normal(size_out, size_in, scale=0.5)}
    return weights | ({"bias": random.normal(size_out)} if bias else {})


def towers(random: Random) -> Iterator[Case]:
    for size, scale in ((6, 4.0), (8, 4.0), (8, 1e-3)):  # eps matters if the values are small
        norm = {"weight": random.normal(size), "bias": random.normal(size)}
        yield {"hidden_states": random.normal(2, 4, size, scale=scale), "norm": norm}


def call_finish_tower(submission: ModuleType, case: Case) -> Tensor:
    norm = nn.LayerNorm(case["hidden_states"].shape[-1], eps=1e-6)
    norm.load_state_dict(case["norm"])
    with torch.no_grad():
        return submission.finish_tower(case["hidden_states"], norm)


def image_features(random: Random) -> Iterator[Case]:
    for size_in, size_out in ((6, 8), (5, 3)):
        yield {"hidden_states": random.normal(2, 4, size_in), "linear": make_linear(random, size_in, size_out)}


def call_project_image(submission: ModuleType, case: Case) -> Tensor:
    linear = nn.Linear(case["hidden_states"].shape[-1], len(case["linear"]["bias"]))
    linear.load_state_dict(case["linear"])
    with torch.no_grad():
        return submission.project_image(case["hidden_states"], linear)


def token_ids(random: Random) -> Iterator[Case]:
    for size in (6, 16):
        yield {"input_ids": random.integers(0, 20, 2, 5), "weight": random.normal(20, size)}


def call_embed_text(submission: ModuleType, case: Case) -> Tensor:
    with torch.no_grad():
        return submission.embed_text(case["input_ids"], nn.Embedding.from_pretrained(case["weight"]))


def states(random: Random) -> Iterator[Case]:
    for scale, dtype in ((2.0, torch.float32), (1e-3, torch.float32), (1.0, torch.bfloat16)):
        weight = random.normal(8, scale=0.5)
        yield {"hidden_states": random.normal(2, 3, 8, scale=scale, dtype=dtype), "weight": weight, "eps": 1e-6}


def angles(random: Random) -> Iterator[Case]:
    for batch, heads, length, half in ((1, 2, 4, 2), (2, 1, 3, 4)):
        angle = random.uniform(batch, 1, length, half, low=0.2, high=6.0)
        angle = torch.cat([angle, angle], dim=-1)
        yield {"states": random.normal(batch, heads, length, 2 * half), "cos": angle.cos(), "sin": angle.sin()}


def heads(random: Random) -> Iterator[Case]:
    for num_heads, num_groups in ((2, 2), (3, 2), (1, 4)):
        yield {"states": random.normal(1, num_heads, 3, 2), "num_groups": num_groups}


def mlps(random: Random) -> Iterator[Case]:
    for size, inner in ((4, 6), (6, 10)):
        yield {
            "hidden_states": random.normal(2, 3, size, scale=2.0),
            "gate_proj": make_linear(random, size, inner, bias=False),
            "up_proj": make_linear(random, size, inner, bias=False),
            "down_proj": make_linear(random, inner, size, bias=False),
        }


def call_gated_mlp(submission: ModuleType, case: Case) -> Tensor:
    layers = []
    for name in ("gate_proj", "up_proj", "down_proj"):
        size_out, size_in = case[name]["weight"].shape
        layers.append(nn.Linear(size_in, size_out, bias=False))
        layers[-1].load_state_dict(case[name])
    with torch.no_grad():
        return submission.gated_mlp(case["hidden_states"], *layers)


def batches(random: Random) -> Iterator[Case]:
    for pads, prefixes in (([0], [4]), ([0, 2], [4, 3]), ([1, 3], [3, 2])):
        length = max(pad + prefix for pad, prefix in zip(pads, prefixes)) + random.integer(3, 6)
        yield {
            "attention_mask": torch.tensor([[0] * pad + [1] * (length - pad) for pad in pads]),
            "token_type_ids": torch.tensor(
                [[0] * (pad + prefix) + [1] * (length - pad - prefix) for pad, prefix in zip(pads, prefixes)]
            ),
        }


def call_make_mask(submission: ModuleType, case: Case) -> dict:
    """Which keys each real token may attend to, and the properties that every mask needs."""
    mask = submission.make_mask(case["attention_mask"], case["token_type_ids"], torch.float32)
    is_low = mask < -1e4
    return {
        "the mask": torch.zeros_like(mask),  # its shape and dtype
        "all values are finite": bool(mask.isfinite().all()),
        "number of values that are neither 0 nor very low": int(((mask != 0) & ~is_low).sum()),
        "query may attend to key": ~is_low & case["attention_mask"][:, None, :, None].bool(),
    }


def planted(
    name: str,
    title: str,
    make_cases: Callable,
    call: Callable | None = None,
    forbidden: tuple[str, ...] = (),
    section: str = "",
) -> Exercise:
    """An exercise that consists of fixing a planted bug. Its section is in another chapter."""
    return Exercise(name, title, make_cases, call=call, forbidden=forbidden, section=section)


EXERCISES = [
    Exercise("relative_error", "Relative error of a layer", pairs, section="Relative error: one number per layer"),
    Exercise(
        "first_mismatch", "The first layer that diverges", tables, section="The table of errors, and its first mismatch"
    ),
    planted(
        "finish_tower",
        "Bug 1",
        towers,
        call_finish_tower,
        section="The vision tower: the whole SigLIP encoder (chapter 3)",
    ),
    planted(
        "project_image",
        "Bug 2",
        image_features,
        call_project_image,
        section="The projector: one linear layer (chapter 9)",
    ),
    planted(
        "embed_text",
        "Bug 3",
        token_ids,
        call_embed_text,
        section="Embedding scale: Gemma multiplies text by √D (chapter 9)",
    ),
    planted(
        "rms_norm",
        "Bug 4",
        states,
        None,
        ("vlm.gemma.GemmaRMSNorm.forward",),
        "Why Gemma's norm multiplies by 1 + weight (chapter 6)",
    ),
    planted("rotate", "Bug 5", angles, None, FINISHED_ROPE, "Two layouts: halves and neighbors (chapter 7)"),
    planted("share_heads", "Bug 6", heads, None, ("vlm.gemma.repeat_kv",), "Sharing key/value heads (chapter 8)"),
    planted(
        "gated_mlp",
        "Bug 7",
        mlps,
        call_gated_mlp,
        ("vlm.gemma.GemmaMLP.forward",),
        "GeGLU: an MLP with a gate (chapter 6)",
    ),
    planted(
        "make_mask",
        "Bug 8",
        batches,
        call_make_mask,
        ("vlm.attention_mask.make_prefix_lm_mask",),
        "The prefix-LM mask: two rules in one (chapter 9)",
    ),
]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_exercise(exercise, grade):
    grade(exercise)
