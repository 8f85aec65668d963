"""Measure a model on scenes of the Toybox: captions, answers, boxes, masks."""

import argparse
import json
import time
from pathlib import Path

from vlm.commands.options import add_model_options, load_model
from vlm.mask_vqvae import load_mask_decoder
from vlm.shards import write_text
from vlm.toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE
from vlm.toybox.evaluate import evaluate, format_table
from vlm.toybox.scenes import SPLITS

EXAMPLES = """\
examples:
  vlm eval                                  # 1,000 test scenes, about a minute
  vlm eval --scenes 200 --split hard --output hard.json
  vlm eval --model my-fine-tune --dtype bfloat16
  vlm eval --fast int8                      # what do eight bits cost?
"""


def add_options(parser: argparse.ArgumentParser):
    parser.add_argument("--scenes", type=int, default=1000, help="how many (default: %(default)s)")
    parser.add_argument("--split", choices=SPLITS, default="test", help="which (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file too")
    add_model_options(parser, str(CHECKPOINT_DIRECTORY))


def run(options: argparse.Namespace) -> int:
    if options.scenes < 1:
        raise ValueError(f"--scenes is {options.scenes}: expected at least 1")
    if options.output and (options.output.is_dir() or not options.output.parent.is_dir()):
        raise FileNotFoundError(f"--output {options.output} cannot be written: expected a file in a directory there is")
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
