"""Evaluate a model on Toybox scenes that are never used for training: captions, answers, boxes, masks."""

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from toybox import MASK_VQVAE_FILE
from toybox.prompts import TASKS, all_examples, sample_segment_label
from toybox.scenes import IMAGE_SIZE, SPLITS, Scene, draw_scene
from vlm.checkpoints.atomic_write import write_text
from vlm.commands.options import add_model_options, check_output, load_model
from vlm.commands.program import finish, run_as_program
from vlm.generate import generate
from vlm.metrics.detection import DetectionCounts, match_detections
from vlm.metrics.masks import match_masks
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import Detection, parse_detections
from vlm.regions.mask_vqvae import MaskDecoder, load_mask_decoder
from vlm.regions.segmentation import decode_masks

EXAMPLES = """\
examples:
  python -m toybox.evaluate                    # 1,000 test scenes, about a minute
  python -m toybox.evaluate --scenes 200 --split hard --output hard.json
  python -m toybox.evaluate --model my-fine-tune --dtype bfloat16
  python -m toybox.evaluate --adapter my-lora --fast int8
"""
MAX_NEW_TOKENS = 100  # four masks have 91

MEASURES = {
    "exact_match": "exact match",
    "precision": "precision at IoU 0.5",
    "recall": "recall at IoU 0.5",
    "mean_box_iou": "mean IoU of the boxes that matched",
    "mean_mask_iou": "mean IoU of the masks",
}


@dataclass(frozen=True)
class Question:
    """A prompt about a scene; `answer` is the right one if only one wording is right."""

    scene: Scene
    prompt: str
    answer: str | None = None


def evaluate(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    mask_decoder: MaskDecoder,
    num_scenes: int,
    split: str = "test",
    batch_size: int = 64,
) -> dict[str, dict[str, float]]:
    """Ask one question of each task about each scene, greedily, and score the answers.

    Returns:
        For each task its measures: `exact_match` of captions and answers; `precision`, `recall` (at IoU 0.5)
        and `mean_box_iou` (of the boxes that matched) of detections; `mean_mask_iou`, in which a missed object and
        an extra mask count 0; `questions`, how many were asked. A question that a scene does not allow ("where" needs
        a single object) is left out.
    """
    questions = make_questions([draw_scene(seed, split) for seed in range(num_scenes)])
    report = {}
    for task, asked in questions.items():
        answers = ask(model, processor, asked, batch_size, task)
        if task == "detect":
            measures = score_detections(asked, answers)
        elif task == "segment":
            measures = score_masks(asked, answers, mask_decoder)
        else:
            measures = score_exact_match(asked, answers)
        report[task] = {"questions": len(asked), **measures}
    return report


def make_questions(scenes: list[Scene]) -> dict[str, list[Question]]:
    """One question of each task about each scene that allows it; always the same ones."""
    rng = np.random.default_rng(0)
    questions: dict[str, list[Question]] = {task: [] for task in TASKS}
    for scene in scenes:
        for example in all_examples(scene, rng):
            questions[example.task].append(Question(scene, example.prompt, example.suffix))
        questions["segment"].append(Question(scene, f"segment {sample_segment_label(scene, rng)}"))
    return questions


def ask(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    asked: list[Question],
    batch_size: int,
    task: str,
) -> list[str]:
    answers = []
    for start in tqdm(range(0, len(asked), batch_size), desc=task):
        batch = asked[start : start + batch_size]
        prompts, images = [question.prompt for question in batch], [question.scene.image for question in batch]
        answers += generate(model, processor, prompts, images, MAX_NEW_TOKENS)
    return answers


def score_exact_match(asked: list[Question], answers: list[str]) -> dict[str, float | None]:
    right = sum(answer == question.answer for question, answer in zip(asked, answers, strict=True))
    return {"exact_match": round(right / len(asked), 4) if asked else None}


def score_detections(asked: list[Question], answers: list[str]) -> dict[str, float]:
    counts = DetectionCounts()
    for question, answer in zip(asked, answers, strict=True):
        scene, labels = question.scene, question.prompt.removeprefix("detect ").split(" ; ")
        actual = [Detection(thing.label, thing.box) for thing in scene.objects if thing.label in labels]
        counts += match_detections(parse_detections(answer, IMAGE_SIZE, IMAGE_SIZE), actual)
    measures = {"precision": counts.precision, "recall": counts.recall, "mean_box_iou": counts.mean_iou}
    return {name: round(value, 4) for name, value in measures.items()}


def score_masks(asked: list[Question], answers: list[str], mask_decoder: MaskDecoder) -> dict[str, float]:
    ious: list[float] = []
    for question, answer in zip(asked, answers, strict=True):
        scene, label = question.scene, question.prompt.removeprefix("segment ")
        actual = [scene.mask(index) for index, thing in enumerate(scene.objects) if thing.label == label]
        detections = parse_detections(answer, IMAGE_SIZE, IMAGE_SIZE)
        # A box without a mask, or with another label, counts as an empty mask.
        drawn = [replace(found, mask_codes=None) if found.label != label else found for found in detections]
        empty = np.zeros((IMAGE_SIZE, IMAGE_SIZE), dtype=bool)  # [H, W]
        masks = decode_masks(drawn, mask_decoder, IMAGE_SIZE, IMAGE_SIZE)
        ious += match_masks([empty if mask is None else mask for mask in masks], actual)
    return {"mean_mask_iou": round(float(np.mean(ious)), 4) if ious else 0.0}


def format_table(tasks: dict[str, dict[str, float]]) -> str:
    """The measures as a table in Markdown."""
    lines = ["| task | questions | measure | value |", "| --- | ---: | --- | ---: |"]
    for task, measures in tasks.items():
        for name, value in measures.items():
            if name != "questions":
                shown = "" if value is None else f"{value:.3f}"
                lines.append(f"| {task} | {measures['questions']:,} | {MEASURES[name]} | {shown} |")
    return "\n".join(lines)


def run(options: argparse.Namespace) -> int:
    """Evaluate the model that the options name, print the table, write the file."""
    if options.scenes < 1:
        raise ValueError(f"--scenes is {options.scenes}: expected at least 1")
    if options.output:
        check_output(options.output)
    model, processor = load_model(options)
    started = time.monotonic()
    tasks = evaluate(model, processor, load_mask_decoder(MASK_VQVAE_FILE), options.scenes, options.split)
    seconds = round(time.monotonic() - started)
    report = {"split": options.split, "scenes": options.scenes, "tasks": tasks, "seconds": seconds}
    print(f"{options.scenes} scenes of the {options.split} split in {seconds} s\n")
    print(format_table(tasks))
    if options.output:
        write_text(options.output, json.dumps(report, indent=2) + "\n")
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m toybox.evaluate",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scenes", type=int, default=1000, help="number of scenes (default: %(default)s)")
    parser.add_argument("--split", choices=SPLITS, default="test", help="which scenes (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="also write the results to this JSON file")
    add_model_options(parser)
    options = parser.parse_args(arguments)
    return finish("toybox.evaluate", lambda: run(options))


if __name__ == "__main__":
    run_as_program("toybox.evaluate", main)
