"""The weights that ship: they see, they are what their papers say, and transformers opens them."""

import json
import math
from pathlib import Path

import pytest
import torch

from toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE
from toybox.evaluate import ALL_ANSWERS, BARS, evaluate, format_table
from toybox.scenes import draw_scene
from vlm.generate import generate
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor
from vlm.regions.mask_vqvae import load_mask_decoder

NUM_SCENES = 100  # the figures in evaluation.json are of 1,000


@pytest.fixture(scope="module")
def toybox():
    model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    return model, PaliGemmaProcessor.for_model(model, tokenizer)


@pytest.fixture(scope="module")
def published():
    return json.loads((CHECKPOINT_DIRECTORY / "evaluation.json").read_text(encoding="utf-8"))


def test_published_figures_hold_all_bars(published):
    assert published["split"] == "test" and published["scenes"] == 1000
    assert set(published["tasks"]) == set(BARS)
    assert "missed" not in format_table(published["tasks"], BARS)


@pytest.mark.parametrize("name", ["evaluation.json", "evaluation_hard.json"])
def test_the_model_card_shows_the_figures(name):
    report = json.loads((CHECKPOINT_DIRECTORY / name).read_text(encoding="utf-8"))
    card = (CHECKPOINT_DIRECTORY / "README.md").read_text(encoding="utf-8")
    assert format_table(report["tasks"]) in card


def margin(value: float, num_questions: int) -> float:
    """How far chance moves a share that was measured on more scenes: four standard deviations, and two answers.

    Source: the standard deviation of a binomial share; a mean IoU has less.
    """
    return 4 * math.sqrt(value * (1 - value) / num_questions) + 2 / num_questions


@pytest.mark.slow
def test_weights_are_as_good_as_published(toybox, published):
    report = evaluate(*toybox, load_mask_decoder(MASK_VQVAE_FILE), NUM_SCENES)
    assert report.pop(ALL_ANSWERS)["degenerate"] == 0
    for task, measures in report.items():
        num_questions = measures.pop("questions")
        for name, value in measures.items():
            expected = published["tasks"][task][name]
            assert value >= expected - margin(expected, num_questions), (task, name)


@torch.inference_mode()
def test_transformers_opens_the_weights_and_says_the_same(toybox):
    from transformers import PaliGemmaForConditionalGeneration as ReferenceModel

    model, processor = toybox
    reference = ReferenceModel.from_pretrained(CHECKPOINT_DIRECTORY)
    prompts = ["caption en", "detect cat ; dog ; frog", "answer en how many cats are there?", "segment bird"]
    for seed in range(50):
        prompt, image = prompts[seed % len(prompts)], draw_scene(seed, "test").image
        inputs = processor(prompt, image)
        token_type_ids = torch.zeros_like(inputs["input_ids"])
        output = reference.generate(**inputs, token_type_ids=token_type_ids, max_new_tokens=40, do_sample=False)
        theirs = processor.decode(output[0, inputs["input_ids"].shape[1] :])
        assert generate(model, processor, prompt, image, max_new_tokens=40) == [theirs]


def test_provenance_says_how_the_weights_were_made():
    provenance = json.loads((CHECKPOINT_DIRECTORY / "provenance.json").read_text(encoding="utf-8"))
    runs = [provenance]
    while runs[-1]["started_from"] is not None:
        runs.append(runs[-1]["started_from"])
        runs[-1].setdefault("started_from", None)
    assert all({"recipe", "training_minutes", "device", "torch"} <= set(run) for run in runs)
    assert runs[-1]["recipe"]["look_steps"] > 0  # the first began with nothing


def test_eight_bits_cost_less_than_a_point(published):
    """The file in the book, made by `python -m toybox.evaluate --fast int8 --output book/data/int8_evaluation.json`."""
    path = Path(__file__).parent.parent / "book" / "data" / "int8_evaluation.json"
    int8 = json.loads(path.read_text(encoding="utf-8"))
    assert (int8["split"], int8["scenes"]) == (published["split"], published["scenes"])
    assert int8["tasks"].pop(ALL_ANSWERS)["degenerate"] == 0
    for task, measures in int8["tasks"].items():
        for name, value in measures.items():
            assert value > published["tasks"][task][name] - 0.01, (task, name)
