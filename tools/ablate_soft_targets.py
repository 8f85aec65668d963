"""Ablation of soft `<loc>` targets, on boxes alone, recorded in book/data/soft_targets.json, which chapter 22 plots.

`python tools/ablate_soft_targets.py` takes half an hour on two cores. The shipped tower is frozen, and computes its
features once for all runs. The projector and the language model start from random weights and learn a single task: for
a scene with one cat, they answer "detect cat" with one box. The runs of a seed start from the same weights and see the
same training examples; they differ only in the width of the bell curve around each right bin.
"""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE
from toybox.batches import TextRows, TrainingBatches, spread_edges
from toybox.losses import soft_location_targets
from toybox.prompts import Example, detect
from toybox.recipe import Recipe
from toybox.scenes import IMAGE_SIZE, Scene, draw_scene
from toybox.train import Trainer
from vlm.generate import generate
from vlm.loader import load_model
from vlm.regions.boxes import box_iou, parse_detections
from vlm.regions.mask_vqvae import load_mask_decoder, load_mask_encoder

RECIPE = Recipe(scenes_per_step=64, look_steps=0, speak_steps=600, warmup_steps=60)
ONE_MARK = (1e-3, 1e-3)  # a bell curve so narrow that it is a single bin
VARIANTS = {"bell": RECIPE.location_sigma, "one right mark": ONE_MARK}
SEEDS = (0, 1, 2)
TRAINING_SCENES, TEST_SCENES = 24_000, 300
TEXT_LENGTH = 12  # "detect", at most two words, a newline; four location tokens, the words again, <eos>
STEPS_BETWEEN_TESTS = 100
OUTPUT = Path(__file__).resolve().parent.parent / "book" / "data" / "soft_targets.json"


def single_kinds(scene: Scene) -> list[str]:
    """The labels that exactly one toy of the scene has."""
    labels = [thing.label for thing in scene.objects]
    return sorted(label for label in labels if labels.count(label) == 1)


def draw_scenes(split: str, number: int) -> list[Scene]:
    """The first scenes of a split that have such a toy."""
    scenes, seed = [], 0
    while len(scenes) < number:
        scene = draw_scene(seed, split)
        scenes += [scene] if single_kinds(scene) else []
        seed += 1
    return scenes


@torch.inference_mode()
def look(trainer: Trainer, scenes: list[Scene]) -> Tensor:
    """The tower's features of each scene, [scenes, N, D], in bfloat16 to save memory."""
    features = []
    for start in range(0, len(scenes), 100):
        images = [scene.image for scene in scenes[start : start + 100]]
        pixel_values = trainer.processor(["detect cat"] * len(images), images)["pixel_values"]
        features.append(trainer.model.vision_tower(pixel_values).bfloat16())
    return torch.cat(features)


def lesson(scene: Scene, rng: np.random.Generator) -> Example:
    return detect(spread_edges(scene, rng), [str(rng.choice(single_kinds(scene)))])


def learn(trainer: Trainer, rows: TextRows, tower: Tensor) -> float:
    """One gradient step on a batch of boxes."""
    progress = trainer.set_learning_rate()
    start, end = trainer.recipe.location_sigma
    targets = soft_location_targets(start * (end / start) ** progress)
    with torch.autocast("cpu", torch.bfloat16):
        image_features = trainer.model.multi_modal_projector(tower.float())
        loss = trainer.text_loss(rows, image_features, targets)
    loss.backward()
    trainer.update()
    return loss.item()


def test(trainer: Trainer, scenes: list[Scene]) -> dict[str, float]:
    """The IoU of the first box of each answer with the right box; an answer without a box counts as 0."""
    overlaps = []
    for start in range(0, len(scenes), 100):
        asked = scenes[start : start + 100]
        labels = [single_kinds(scene)[0] for scene in asked]
        prompts = [f"detect {label}" for label in labels]
        answers = generate(trainer.model, trainer.processor, prompts, [scene.image for scene in asked], TEXT_LENGTH)
        for scene, label, answer in zip(asked, labels, answers, strict=True):
            truth = next(thing.box for thing in scene.objects if thing.label == label)
            found = parse_detections(answer, IMAGE_SIZE, IMAGE_SIZE)
            overlaps.append(box_iou(found[0].box, truth) if found else 0.0)
    overlaps = np.array(overlaps)
    return {"found": round(float((overlaps >= 0.5).mean()), 4), "iou": round(float(overlaps.mean()), 4)}


def run(recipe: Recipe, scenes: list[Scene], tower: Tensor, tested: list[Scene], says: str) -> list[dict]:
    """Train from random weights; return the measures during training."""
    trainer = Trainer(recipe, Path("runs"), "cpu")
    trainer.model.vision_tower.load_state_dict(load_model(CHECKPOINT_DIRECTORY).vision_tower.state_dict())
    trainer.model.vision_tower.requires_grad_(False)
    trainer.model.language_model.compile(dynamic=False)
    batches = TrainingBatches(
        recipe, trainer.processor, load_mask_encoder(MASK_VQVAE_FILE), load_mask_decoder(MASK_VQVAE_FILE), 0
    )
    lines, started = [], time.monotonic()
    for step in range(recipe.speak_steps):
        rng = np.random.default_rng((recipe.seed, step))
        chosen = rng.integers(len(scenes), size=recipe.scenes_per_step)
        rows = batches.pad([(row, lesson(scenes[i], rng)) for row, i in enumerate(chosen)], TEXT_LENGTH)
        loss = learn(trainer, rows, tower[chosen])
        if (step + 1) % STEPS_BETWEEN_TESTS == 0:
            lines.append({"step": step + 1, "loss": round(loss, 4), **test(trainer, tested)})
            print(f"{says}: {time.monotonic() - started:.0f} s, {lines[-1]}", flush=True)
    return lines


def main():
    scenes, tested = draw_scenes("train", TRAINING_SCENES), draw_scenes("validation", TEST_SCENES)
    shipped = Trainer(RECIPE, Path("runs"), "cpu")
    shipped.model.load_state_dict(load_model(CHECKPOINT_DIRECTORY).state_dict())
    tower = look(shipped, scenes)
    results = {"recipe": vars(RECIPE), "scenes": TRAINING_SCENES, "tested": TEST_SCENES, "runs": []}
    for seed in SEEDS:
        for name, sigma in VARIANTS.items():
            recipe = replace(RECIPE, seed=seed, location_sigma=sigma)
            lines = run(recipe, scenes, tower, tested, f"{name}, seed {seed}")
            results["runs"].append({"variant": name, "seed": seed, "lines": lines})
            OUTPUT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
