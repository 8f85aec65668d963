"""Evaluate a model on Toybox scenes that are never used for training: captions, answers, boxes, masks."""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path

from toybox import MASK_VQVAE_FILE
from toybox.questions import STRANGERS, Question, ask, make_questions
from toybox.scenes import SPLITS, draw_scene
from toybox.scoring import (
    Measures,
    score_detections,
    score_exact_match,
    score_masks,
    score_referring,
    score_strangers,
)
from vlm.checkpoints.atomic_write import write_text
from vlm.commands.options import add_model_options, check_output, load_model
from vlm.commands.program import finish, run_as_program
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.regions.mask_vqvae import MaskDecoder, load_mask_decoder

EXAMPLES = """\
examples:
  python -m toybox.evaluate                    # 1,000 test scenes, a few minutes
  python -m toybox.evaluate --bars             # with the least that each value should be
  python -m toybox.evaluate --scenes 200 --split hard --output hard.json
  python -m toybox.evaluate --model my-fine-tune --dtype bfloat16
  python -m toybox.evaluate --adapter my-lora --fast int8
"""
ALL_ANSWERS = "all answers"

MEASURES = {
    "exact_match": "exact match",
    "precision": "precision at IoU 0.5",
    "recall": "recall at IoU 0.5",
    "mean_box_iou": "mean IoU of the boxes that matched",
    "right": "all boxes right at IoU 0.5",
    "mean_mask_iou": "mean IoU of the masks",
    "says_no": 'says "no"',
    "draws_nothing": "draws no box",
    "degenerate": "repeat themselves or never end",
}
# The least that the shipped model must reach on 1,000 scenes of the test split (for `degenerate`, the most).
BARS = {
    "caption": {"exact_match": 0.90},
    "count": {"exact_match": 0.95},
    "presence": {"exact_match": 0.95},
    "where": {"exact_match": 0.95},
    "left": {"exact_match": 0.95},
    "color": {"exact_match": 0.95},
    "detect": {"precision": 0.95, "recall": 0.95, "mean_box_iou": 0.82},
    "refer": {"right": 0.90},
    "segment": {"mean_mask_iou": 0.75},
    "ocr": {"exact_match": 0.85},
    STRANGERS: {"says_no": 0.95, "draws_nothing": 0.95},
    ALL_ANSWERS: {"degenerate": 0},
}


def evaluate(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    mask_decoder: MaskDecoder,
    num_scenes: int,
    split: str = "test",
    batch_size: int = 64,
) -> dict[str, Measures]:
    """Ask one question of each task about each scene, greedily, and score the answers.

    Returns:
        For each task its measures: `exact_match` of captions and answers; `precision`, `recall` (at IoU 0.5)
        and `mean_box_iou` (of the boxes that matched) of detections; `right`, the fraction of phrases such as
        "left cat" that got all their boxes and no other; `mean_mask_iou`, in which a missed object and an extra mask
        count 0; `questions`, how many were asked. A question that a scene does not allow ("where" needs a single
        object) is skipped. Under "strangers", about things that are not in the Toybox: how often the model `says_no`
        and `draws_nothing`. Under "all answers": how many are `degenerate`.
    """
    questions = make_questions([draw_scene(seed, split) for seed in range(num_scenes)])
    report, is_degenerate = {}, []
    for task, asked in questions.items():
        answers = ask(model, processor, asked, batch_size, task)
        is_degenerate += [answer.is_degenerate for answer in answers]
        measures = score(task, asked, [answer.text for answer in answers], mask_decoder)
        report[task] = {"questions": len(asked), **measures}
    report[ALL_ANSWERS] = {"questions": len(is_degenerate), "degenerate": sum(is_degenerate)}
    return report


def score(task: str, asked: list[Question], answers: list[str], mask_decoder: MaskDecoder) -> Measures:
    if task == "detect":
        return score_detections(asked, answers)
    if task == "refer":
        return score_referring(asked, answers)
    if task == "segment":
        return score_masks(asked, answers, mask_decoder)
    if task == STRANGERS:
        return score_strangers(asked, answers)
    return score_exact_match(asked, answers)


def format_table(tasks: Mapping[str, Measures], bars: Mapping[str, Measures] | None = None) -> str:
    """The measures as a table in Markdown; `bars` is the least of each measure, and the most degenerate answers."""
    lines = ["| task | questions | measure | value |", "| --- | ---: | --- | ---: |"]
    if bars is not None:
        lines = [f"{lines[0]} bar |", f"{lines[1]} ---: |"]
    for task, measures in tasks.items():
        for name, value in measures.items():
            if name == "questions":
                continue
            line = f"| {task} | {measures['questions']:,} | {MEASURES[name]} | {_format(value)} |"
            if bars is not None:
                line += f" {_format_bar(name, value, bars.get(task, {}).get(name))} |"
            lines.append(line)
    return "\n".join(lines)


def _format(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _format_bar(name: str, value: float | None, bar: float | None) -> str:
    if value is None or bar is None:
        return ""
    is_missed = value > bar if name == "degenerate" else value < bar
    return f"{_format(bar)} missed" if is_missed else _format(bar)


def run(options: argparse.Namespace) -> int:
    """Evaluate the chosen model, print the table, write the file."""
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
    print(format_table(tasks, BARS if options.bars else None))
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
    parser.add_argument("--bars", action="store_true", help="show what the shipped model must reach")
    add_model_options(parser)
    options = parser.parse_args(arguments)
    return finish("toybox.evaluate", lambda: run(options))


if __name__ == "__main__":
    run_as_program("toybox.evaluate", main)
