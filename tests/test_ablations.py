"""The runs that chapter 22 draws: what they change, and that the file in the book is of this recipe."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from reference import make_inputs, make_reference, make_twin

from toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE
from toybox.batches import TrainingBatches
from toybox.recipe import Recipe
from toybox.scenes import draw_scene
from toybox.train import Trainer
from vlm.loader import load_model
from vlm.regions.boxes import parse_detections
from vlm.regions.mask_vqvae import load_mask_decoder, load_mask_encoder

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import ablate_soft_targets  # noqa: E402
import ablations  # noqa: E402
import training_record  # noqa: E402


@pytest.mark.parametrize("causal", [True, False])
def test_under_the_causal_mask_the_picture_does_not_see_the_prompt(causal):
    model = make_twin(make_reference())
    if causal:
        model.__class__ = ablations.CausalPaliGemma
    inputs = make_inputs([4])
    del inputs["token_type_ids"]
    other = inputs | {"input_ids": inputs["input_ids"].clone()}
    other["input_ids"][0, -1] += 1
    with torch.inference_mode():
        before, after = (model(**batch).logits[0, :4] for batch in (inputs, other))  # of the picture's places
    assert torch.equal(before, after) == causal


def test_the_file_in_the_book_is_of_this_recipe_and_has_every_run():
    made = json.loads(ablations.OUTPUT.read_text(encoding="utf-8"))
    recipe = {
        name: list(value) if isinstance(value, tuple) else value for name, value in vars(ablations.RECIPE).items()
    }
    assert made["recipe"] == recipe
    assert list(made["runs"]) == list(ablations.VARIANTS)
    for name, run in made["runs"].items():
        assert run["says"] == ablations.VARIANTS[name].says
        assert run["lines"][-1]["step"] == ablations.RECIPE.speak_steps
        assert run["final"]["caption questions"] == ablations.FINAL_SCENES


def test_the_file_on_soft_targets_is_of_its_recipe_and_says_what_the_chapter_says():
    made = json.loads(ablate_soft_targets.OUTPUT.read_text(encoding="utf-8"))
    recipe = vars(ablate_soft_targets.RECIPE)
    assert made["recipe"] == {name: list(v) if isinstance(v, tuple) else v for name, v in recipe.items()}
    runs = {(run["variant"], run["seed"]): run["lines"] for run in made["runs"]}
    assert list(runs) == [(name, seed) for seed in ablate_soft_targets.SEEDS for name in ablate_soft_targets.VARIANTS]
    for seed in ablate_soft_targets.SEEDS:
        bell, mark = runs["bell", seed], runs["one right mark", seed]
        assert bell[-1]["step"] == mark[-1]["step"] == ablate_soft_targets.RECIPE.speak_steps
        assert all(b["found"] > m["found"] for b, m in zip(bell[1:], mark[1:], strict=True))


def test_the_record_of_a_whole_training_is_of_the_recipe_and_says_what_the_chapter_says():
    made = json.loads(training_record.OUTPUT.read_text(encoding="utf-8"))
    assert Recipe(**made["provenance"]["recipe"] | {"location_sigma": (16.0, 4.0)}) == Recipe()
    assert [line["step"] for line in made["lines"]] == list(range(50, Recipe().total_steps + 1, 50))
    first, last, shipped = made["states"][0], made["states"][-1], made["shipped"]
    assert last["step"] == Recipe().total_steps
    assert first["presence"]["exact_match"] > 0.99 and first["detect"]["recall"] < 0.5
    assert last["detect"]["recall"] > 0.97
    for task, measures in shipped.items():
        for name, value in measures.items():
            assert abs(last[task][name] - value) <= 0.005, (task, name)


def test_a_state_is_measured_as_the_model_in_it_is(tmp_path, monkeypatch):
    trainer = Trainer(Recipe(), tmp_path, "cpu")
    trainer.model.load_state_dict(load_model(CHECKPOINT_DIRECTORY).state_dict())
    trainer.step = 7
    trainer.save()
    read, asked = training_record.load_state(tmp_path), []

    def answer(model, processor, mask_decoder, num_scenes, split) -> dict:
        asked.append((num_scenes, split, model.training))
        with torch.inference_mode():
            scores = model(**processor(["caption en"], [draw_scene(0, split).image])).logits
        return {"caption": {"exact_match": float(scores.sum())}}

    monkeypatch.setattr(training_record, "evaluate", answer)
    assert read.step == 7 and training_record.measure(read) == training_record.measure(trainer)
    assert asked == [(training_record.TEST_SCENES, "validation", False)] * 2


def test_a_lesson_on_boxes_has_one_box_and_fits():
    scene = ablate_soft_targets.draw_scenes("validation", 1)[0]
    example = ablate_soft_targets.lesson(scene, np.random.default_rng(0))
    assert example.prompt.removeprefix("detect ") in ablate_soft_targets.single_kinds(scene)
    assert len(parse_detections(example.suffix, 112, 112)) == 1


def test_a_lesson_moves_projector_and_language_model_and_leaves_the_tower(tmp_path):
    recipe = replace(ablate_soft_targets.RECIPE, scenes_per_step=2, speak_steps=2, warmup_steps=1)
    trainer = Trainer(recipe, tmp_path, "cpu")
    trainer.model.vision_tower.requires_grad_(False)
    scenes = ablate_soft_targets.draw_scenes("train", 2)
    tower = ablate_soft_targets.look(trainer, scenes)
    assert tower.shape == (2, 64, 192)
    masks = load_mask_encoder(MASK_VQVAE_FILE), load_mask_decoder(MASK_VQVAE_FILE)
    batches = TrainingBatches(recipe, trainer.processor, *masks, 0)
    examples = [ablate_soft_targets.lesson(scene, np.random.default_rng(0)) for scene in scenes]
    rows = batches.pad(list(enumerate(examples)), ablate_soft_targets.TEXT_LENGTH)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    assert math.isfinite(ablate_soft_targets.learn(trainer, rows, tower))
    moved = {name.split(".")[0] for name, t in trainer.model.state_dict().items() if not torch.equal(t, before[name])}
    assert moved == {"multi_modal_projector", "language_model"}
    assert trainer.step == 1
