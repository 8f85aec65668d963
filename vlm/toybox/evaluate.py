"""Measures a Toybox model on scenes that training cannot reach: `python -m vlm.toybox.evaluate`."""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vlm.boxes import Detection, parse_detections
from vlm.generate import generate
from vlm.loader import load_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.toybox import CHECKPOINT_DIRECTORY
from vlm.toybox.metrics import DetectionCounts, match_detections
from vlm.toybox.prompts import TASKS, Example, all_examples
from vlm.toybox.scenes import IMAGE_SIZE, SPLITS, Scene, draw_scene

MAX_NEW_TOKENS = 48


def evaluate(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    num_scenes: int,
    split: str = "test",
    batch_size: int = 64,
) -> dict[str, dict[str, float]]:
    """Ask one question of each task about each scene, greedily, and score the answers.

    Returns:
        For each task its measures: `exact_match` of captions and answers; `precision`, `recall` (at IoU 0.5)
        and `mean_iou` (of the boxes that matched) of detections; `questions`, how many were asked. Scenes that
        do not allow a question (no single object to ask "where" of) are not asked it.
    """
    rng = np.random.default_rng(0)
    scenes = [draw_scene(seed, split) for seed in range(num_scenes)]
    questions = {task: [] for task in TASKS}
    for scene in scenes:
        for example in all_examples(scene, rng):
            questions[example.task].append((scene, example))
    report = {}
    for task, asked in questions.items():
        answers = ask(model, processor, asked, batch_size, task)
        score = score_detections if task == "detect" else score_exact_match
        report[task] = {"questions": len(asked), **score(asked, answers)}
    return report


def ask(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    asked: list[tuple[Scene, Example]],
    batch_size: int,
    task: str,
) -> list[str]:
    answers = []
    for start in tqdm(range(0, len(asked), batch_size), desc=task):
        batch = asked[start : start + batch_size]
        prompts, images = [example.prompt for _, example in batch], [scene.image for scene, _ in batch]
        answers += generate(model, processor, prompts, images, MAX_NEW_TOKENS)
    return answers


def score_exact_match(asked: list[tuple[Scene, Example]], answers: list[str]) -> dict[str, float | None]:
    right = sum(answer == example.suffix for (_, example), answer in zip(asked, answers, strict=True))
    return {"exact_match": round(right / len(asked), 4) if asked else None}


def score_detections(asked: list[tuple[Scene, Example]], answers: list[str]) -> dict[str, float]:
    counts = DetectionCounts()
    for (scene, example), answer in zip(asked, answers, strict=True):
        labels = example.prompt.removeprefix("detect ").split(" ; ")
        actual = [Detection(thing.label, thing.box) for thing in scene.objects if thing.label in labels]
        counts += match_detections(parse_detections(answer, IMAGE_SIZE, IMAGE_SIZE), actual)
    measures = {"precision": counts.precision, "recall": counts.recall, "mean_iou": counts.mean_iou}
    return {name: round(value, 4) for name, value in measures.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=CHECKPOINT_DIRECTORY, help="checkpoint directory")
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file too")
    options = parser.parse_args()
    model, tokenizer = load_hf_model(options.model, options.device)
    vision_config = model.config.vision_config
    processor = PaliGemmaProcessor(tokenizer, vision_config.num_image_tokens, vision_config.image_size)
    started = time.monotonic()
    report = {
        "split": options.split,
        "scenes": options.scenes,
        "tasks": evaluate(model, processor, options.scenes, options.split),
        "seconds": None,
    }
    report["seconds"] = round(time.monotonic() - started)
    text = json.dumps(report, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
