"""The capstone: the solutions' model gives the package's answers, and a mistake in a part fails its stage."""

from functools import cache
from types import ModuleType, SimpleNamespace

import pytest
import torch

from grader.compare import difference
from grader.grading import all_checks
from grader.sandbox import load_file
from grader.truth import Mistake, answers_of, load_alternatives, load_solution, substitute
from toybox import CHECKPOINT_DIRECTORY
from toybox.scenes import draw_scene
from vlm.generate import generate
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor

CAPSTONE = "capstone/my_paligemma"
CHECKS = load_file(next(path for path in all_checks() if path.parent.name == "capstone"), "checks_of_the_capstone")
STAGES = {exercise.name: exercise for exercise in CHECKS.EXERCISES}
# Which stage needs which exercises of the chapters.
NEEDS = {
    "read_weights": {"ch13_loading": ("read_safetensors", "canonical_name")},
    "prepare": {"ch05_processor": ("to_pixel_values", "encode_prefix"), "ch12_batches": ("pad_left",)},
    "look": {"ch02_patches": ("embed_patches",), "ch03_attention": ("SiglipEncoderLayer",)},
    "enter": {"ch09_merge": ("embed_tokens", "merge_image_features")},
    "think": {
        "ch06_norms_mlp": ("GemmaRMSNorm", "GemmaMLP"),
        "ch07_rope": ("rotary_cos_sin",),
        "ch08_gqa": ("additive_mask", "GemmaAttention"),
        "ch09_merge": ("may_attend",),
        "ch12_batches": ("count_positions",),
    },
    "answer": {"ch10_sampling": ("generate_greedy",)},
}
# Mistakes that a trained model in float32 and ordinary input cannot reveal, sorted by what would reveal them. The
# graders of the chapters catch them all.
HIDDEN = {
    "another dtype": (
        "bfloat16_read_as_float16",
        "all_cast_to_float32",
        "scale_not_rounded",
        "dtype_of_the_features",
        "NormCastBeforeTheMultiplication",
        "NormInTheDtypeOfTheInput",
        "NormInFloat32",
        "NormCastTwice",
        "angles_in_dtype_of_result",
        "result_in_float32",
        "minus_a_billion",
        "minus_infinity",
        "always_float32",
    ),
    "vectors of small variance": (
        "LayerWithDefaultEps",
        "NormWithAnotherEps",
        "NormWithoutEps",
        "NormWithEpsOutsideTheRoot",
    ),
    "a broken file, too many features, a forbidden prompt": (
        "truncated_tensors_skipped",
        "truncated_tensors_filled_up",
        "surplus_dropped",
        "missing_made_up",
        "image_token_in_the_prompt_accepted",
    ),
    "other images, longer prompts, another pad token": (
        "alpha_dropped",
        "alpha_on_black",
        "transparent_palette_forgotten",
        "newline_cut_off",
        "cut_at_the_beginning",
        "limit_for_the_prompt_alone",
        "never_cut",
        "mask_from_ids",
        "padded_with_zero",
        "stops_at_pad",
        "eos_in_the_prompt_counts",
    ),
    "padding on the right, or a cache": (
        "positions_from_zero",
        "positions_from_one",
        "first_row_for_all",
        "cache_invisible",
        "staircase_without_offset",
        "one_row_of_positions",
        "columns_counted",
        "columns_counted_for_new_tokens",
        "new_tokens_start_again",
        "positions_of_the_first_row",
        "new_tokens_one_early",
    ),
    "a model in which theta is another number, or head_dim is not D / A": (
        "theta_fixed",
        "AttentionScaledByShareOfHiddenSize",
        "AttentionOfWidthD",
    ),
    "a header in another order than its numbers": ("offsets_ignored",),
    "a norm without weights": ("NormThatStartsWithOnes",),
    "a mask that discourages, scores of 300": ("AttentionWithMaskScaled", "minus_a_hundred"),
    "a clock": ("cut_off_afterwards", "one_call_too_many"),
}
HIDDEN_NAMES = {name for names in HIDDEN.values() for name in names}


@cache
def parts() -> dict[str, ModuleType]:
    return {name: load_solution(name) for name in CHECKS.CHAPTERS}


@cache
def right_answers(stage: str) -> list:
    return answers_of(STAGES[stage], load_solution(CAPSTONE), seed=0)


def fails(stage: str, submission) -> bool:
    try:
        answers = answers_of(STAGES[stage], submission, seed=0)
    except Exception:  # an error is a failure too
        return True
    tolerance = STAGES[stage].tolerance
    return any(
        difference(answer, right, tolerance) for answer, right in zip(answers, right_answers(stage), strict=True)
    )


def with_mistake(chapter: str, entry: Mistake) -> SimpleNamespace:
    """The solution of the capstone, with one wrong part."""
    changed = substitute(parts()[chapter], entry.exercise, entry.implementation)
    all_parts = SimpleNamespace(**parts() | {chapter: changed})
    return SimpleNamespace(**vars(load_solution(CAPSTONE)), parts=all_parts)


@pytest.mark.parametrize("stage", NEEDS)
def test_a_mistake_in_a_part_fails_the_stage_that_needs_it_unless_it_is_hidden(stage):
    entries = [
        (chapter, entry)
        for chapter, names in NEEDS[stage].items()
        for entry in load_alternatives(chapter, Mistake)
        if entry.exercise in names
    ]
    passed = [entry.name for chapter, entry in entries if not fails(stage, with_mistake(chapter, entry))]
    assert passed == [entry.name for _, entry in entries if entry.name in HIDDEN_NAMES]
    assert len(entries) >= 5


def test_every_hidden_mistake_is_one_of_the_chapters():
    """A name that has gone would hide the next mistake that gets it."""
    known = {
        entry.name for chapters in NEEDS.values() for name in chapters for entry in load_alternatives(name, Mistake)
    }
    assert HIDDEN_NAMES - known == set()


def test_the_solutions_model_answers_as_the_package_does():
    solution, everything = load_solution(CAPSTONE), SimpleNamespace(**parts())
    model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    processor = PaliGemmaProcessor.for_model(model, tokenizer)
    weights = solution.read_weights(everything, (CHECKPOINT_DIRECTORY / "model.safetensors").read_bytes())
    for seed in range(6):
        scene = draw_scene(seed, "test")
        for prompt in ("caption en", f"detect {scene.objects[0].label}"):
            with torch.no_grad():
                ids = solution.answer(
                    everything, CHECKS.encode, CHECKS.special(), CHECKS.CONFIG, weights, prompt, scene.image, 60
                )
            assert [processor.decode(ids)] == generate(model, processor, prompt, scene.image, max_new_tokens=60)
