"""Ablations of the training recipe: short runs that differ in one thing each, recorded in book/data/ablations.json.

`python tools/ablations.py` takes 40 minutes on two cores. Chapter 22 plots the results. All runs start from the same
briefly pretrained tower (except the run without a pretrained tower), and see the same batches.
"""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from toybox import MASK_VQVAE_FILE
from toybox.batches import TrainingBatches
from toybox.evaluate import evaluate
from toybox.recipe import Recipe
from toybox.train import Trainer
from vlm.paligemma import PaliGemmaForConditionalGeneration, PaliGemmaOutput
from vlm.regions.mask_vqvae import load_mask_decoder, load_mask_encoder

RECIPE = Recipe(scenes_per_step=12, look_steps=1500, speak_steps=1000, warmup_steps=100)
ONE_MARK = 1e-3  # a bell curve so narrow that it is a single bin
OUTPUT = Path(__file__).resolve().parent.parent / "book" / "data" / "ablations.json"
STEPS_BETWEEN_TESTS, TEST_SCENES, FINAL_SCENES = 250, 60, 300


@dataclass(frozen=True)
class Variant:
    """One run; everything else is as in the training of the shipped model."""

    says: str
    recipe: Recipe = RECIPE
    causal: bool = False
    with_tower: bool = True


VARIANTS = {
    "all of it": Variant("as the shipped model, only shorter"),
    "one right mark": Variant("no soft targets", replace(RECIPE, location_sigma=(ONE_MARK, ONE_MARK))),
    "causal mask": Variant("picture and prompt see only what is before them", causal=True),
    "no pretrained tower": Variant("the tower begins with random weights", with_tower=False),
}


class CausalPaliGemma(PaliGemmaForConditionalGeneration):
    """A model with a plain causal mask: every token is a block of its own, in the prefix too."""

    def forward(self, input_ids, *arguments, token_type_ids=None, **keywords) -> PaliGemmaOutput:
        return super().forward(input_ids, *arguments, token_type_ids=torch.ones_like(input_ids), **keywords)


def test(trainer: Trainer, mask_decoder, num_scenes: int) -> dict[str, float]:
    """The measures on scenes of the validation split."""
    trainer.model.eval()
    report = evaluate(trainer.model, trainer.processor, mask_decoder, num_scenes, "validation")
    trainer.model.train()
    return {f"{task} {name}": value for task, measures in report.items() for name, value in measures.items()}


def look(batches: TrainingBatches) -> Trainer:
    """The first stage, the tower's, which all variants share."""
    trainer = Trainer(RECIPE, Path("runs"), "cpu")
    trainer.compile()
    for step in range(RECIPE.look_steps):
        trainer.train_step(batches.make_batch(step))
    return trainer


def speak(variant: Variant, looked: Trainer, batches: TrainingBatches, mask_decoder) -> dict:
    """The second stage of one variant: losses and measures during training and at the end."""
    trainer = Trainer(variant.recipe, Path("runs"), "cpu")
    if variant.with_tower:
        trainer.model.vision_tower.load_state_dict(looked.model.vision_tower.state_dict())
        trainer.probe.load_state_dict(looked.probe.state_dict())
    if variant.causal:
        trainer.model.__class__ = CausalPaliGemma
    trainer.step = RECIPE.look_steps
    trainer.compile()
    lines, started = [], time.monotonic()
    for step in range(RECIPE.look_steps, RECIPE.total_steps):
        losses = trainer.train_step(batches.make_batch(step))
        done = step + 1 - RECIPE.look_steps
        if done % 20 == 0:
            lines.append({"step": done, **{name: round(float(loss), 4) for name, loss in losses.items()}})
        if done % STEPS_BETWEEN_TESTS == 0:
            lines[-1]["marks"] = test(trainer, mask_decoder, TEST_SCENES)
            print(f"{variant.says}: {done} steps, {time.monotonic() - started:.0f} s, {lines[-1]}", flush=True)
    return {"says": variant.says, "lines": lines, "final": test(trainer, mask_decoder, FINAL_SCENES)}


def main():
    mask_encoder, mask_decoder = load_mask_encoder(MASK_VQVAE_FILE), load_mask_decoder(MASK_VQVAE_FILE)
    probe = Trainer(RECIPE, Path("runs"), "cpu")
    batches = TrainingBatches(RECIPE, probe.processor, mask_encoder, mask_decoder, 0)
    looked = look(batches)
    results = json.loads(OUTPUT.read_text()) if OUTPUT.is_file() else {"runs": {}}
    results["recipe"] = vars(RECIPE)
    for name, variant in VARIANTS.items():
        results["runs"][name] = speak(variant, looked, batches, mask_decoder)
        OUTPUT.parent.mkdir(exist_ok=True)
        OUTPUT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
