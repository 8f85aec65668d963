"""An example project: which toy is the largest? `python exercises/project/example.py FOLDER` makes all but the report.

Change `ask`, and you have a project of your own.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from grader.project import NUM_OLD_SCENES, load_tuned, measure
from toybox import CHECKPOINT_DIRECTORY
from toybox.prompts import caption, sample_example
from toybox.scenes import Scene, draw_scene
from vlm.loader import load_hf_model
from vlm.metrics.confidence import bootstrap_interval
from vlm.processor import PaliGemmaProcessor
from vlm.training.examples import write_examples
from vlm.training.finetune import TrainingExample, fine_tune
from vlm.training.lora import LoraConfig, add_lora, save_lora

QUESTION = "answer en which toy is the largest?"


def ask(scene: Scene) -> TrainingExample | None:
    """The question about a scene; None if the answer is a matter of taste, or if the scene has only one kind of toy."""
    if len({thing.label for thing in scene.objects}) < 2:
        return None
    areas = np.array([scene.mask(index).sum() for index in range(len(scene.objects))])
    largest = areas.argmax()
    others = np.delete(areas, largest)
    if areas[largest] < 1.3 * others.max():
        return None
    return TrainingExample(scene.image, QUESTION, scene.objects[largest].label)


def collect(split: str, number: int) -> list[TrainingExample]:
    examples, seed = [], 0
    while len(examples) < number:
        example = ask(draw_scene(seed, split))
        examples += [example] if example else []
        seed += 1
    return examples


def old_examples(number: int) -> list[TrainingExample]:
    """Training examples of old tasks, so that the model does not forget them."""
    rng, examples = np.random.default_rng(0), []
    for index in range(number):
        scene = draw_scene(1_000_000 + index, "train")
        text = sample_example(scene, rng, str(rng.choice(["caption", "count", "where", "detect"])))
        examples.append(TrainingExample(scene.image, text.prompt, text.suffix))
    return examples


def main(folder: Path):
    train, tests = collect("train", 800) + old_examples(1200), collect("test", 200)
    folder.mkdir(parents=True, exist_ok=True)
    write_examples(folder / "train.jsonl", train)
    write_examples(folder / "test.jsonl", tests)

    base, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    processor = PaliGemmaProcessor.for_model(base, tokenizer)
    model, _ = load_hf_model(CHECKPOINT_DIRECTORY)
    torch.manual_seed(0)
    add_lora(model, LoraConfig(rank=8, alpha=16))
    fine_tune(model, processor, train, num_steps=200, batch_size=16, learning_rate=3e-3)
    save_lora(model, folder / "adapter")

    scenes = [draw_scene(seed, "validation") for seed in range(NUM_OLD_SCENES)]
    old = [TrainingExample(scene.image, caption(scene).prompt, caption(scene).suffix) for scene in scenes]
    tuned = load_tuned(folder)  # the saved weights, not those in memory
    after = measure(tuned, processor, tests)
    results = {
        "before": measure(base, processor, tests).mean(),
        "after": after.mean(),
        "interval": bootstrap_interval(after, np.mean),
        "old_before": measure(base, processor, old).mean(),
        "old_after": measure(tuned, processor, old).mean(),
    }
    (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
