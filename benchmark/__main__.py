"""Compares the speed of this package with that of transformers: `python -m benchmark`, or `make bench`.

Each side runs in its own process. The two alternate, so that other load on the machine affects both; a ratio compares
neighboring turns. The 3B takes 6 GB of disk, 18 GB of memory and half an hour or more:

    python -m benchmark --models 3b
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

from benchmark.limit import bytes_per_token, measure_bandwidth
from benchmark.models import SUBJECTS, Subject, prepare
from benchmark.report import REFERENCE, find_bars, plot, print_bars, print_model, summarize
from benchmark.worker import Worker
from vlm.checkpoints.atomic_write import write_text
from vlm.commands.program import run_as_program

BEST = "transformers, static and compiled"
SIDES = {
    "toybox": {1: ["readable", "fast", "compiled", "int8 compiled", BEST], 8: ["readable", "packed", "compiled"]},
    "middle": {1: ["readable", "fast", "packed", "compiled", "int8", BEST], 8: ["readable", "packed", "compiled"]},
    # Not compiled transformers, which generated no token within six minutes.
    "3b": {1: ["readable", "packed", "int8"], 8: ["packed"]},
}
LARGE_CACHE = 4096  # tokens


def compare(subject: Subject, repeats: int, keep: Callable[[dict], None]):
    """Time all sides of one model, alternating with transformers; `keep` receives the report after each batch size."""
    prepare(subject)
    dtype = str(subject.dtype).removeprefix("torch.")
    bytes_read = bytes_per_token(subject.directory, subject.dtype.itemsize)
    bandwidth = measure_bandwidth(bytes_read, subject.dtype)
    limit = {"megabytes": bytes_read / 1e6, "bandwidth": bandwidth, "tokens_per_second": 1e9 * bandwidth / bytes_read}
    report = {"dtype": dtype, "new_tokens": subject.new_tokens, "limit": limit, "batches": {}}
    for batch_size, sides in SIDES[subject.name].items():
        reference = Worker(REFERENCE, subject.directory, dtype, batch_size)
        rows, own_turns = {}, []
        for side in sides:
            print(f"{subject.name}, batch of {batch_size}: {side}", flush=True)
            worker = Worker(side, subject.directory, dtype, batch_size)
            turns = [(worker.turn(subject.new_tokens), reference.turn(subject.new_tokens)) for _ in range(repeats)]
            rows[side] = worker.loaded | summarize(turns)
            own_turns += [turn for _, turn in turns]
            if (subject.name, batch_size, side) == ("middle", 1, "fast"):
                report["flat"] = measure_flatness(worker, subject.new_tokens, repeats)
            worker.close()
        rows[REFERENCE] = reference.loaded | summarize([(turn, turn) for turn in own_turns])
        reference.close()
        report["batches"][str(batch_size)] = rows
        keep(report)


def measure_flatness(worker: Worker, num_tokens: int, repeats: int) -> float:
    """Time per token with a cache of just the right size, divided by the time with a mostly empty one."""
    turns = [(worker.turn(num_tokens), worker.turn(num_tokens, LARGE_CACHE)) for _ in range(repeats)]
    return summarize([(large, small) for small, large in turns])["decode_ratio"][0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=SUBJECTS, default=["toybox", "middle"])
    parser.add_argument("--repeats", type=int, default=7, help="turns of each side (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="write the results to this JSON file")
    parser.add_argument("--plot", type=Path, help="plot them into this file")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats is {options.repeats}: expected at least 1")
    threads = torch.get_num_threads()
    report = {"torch": torch.__version__, "transformers": transformers.__version__, "threads": threads, "models": {}}
    for name in options.models:

        def keep(model: dict, name: str = name):
            report["models"][name] = model
            save(report, options.output)  # a run can take long and may be interrupted

        compare(SUBJECTS[name], options.repeats, keep)
    for name, model in report["models"].items():
        print_model(name, model)
    bars = [bar for name, model in report["models"].items() for bar in find_bars(name, model)]
    print_bars(bars)
    print(f"\nmedians of {options.repeats} turns, {threads} threads, torch {torch.__version__}; GPU: not measured")
    report["bars"] = [vars(bar) | {"is_reached": bar.is_reached} for bar in bars]
    save(report, options.output)
    if options.plot:
        plot(report["models"], options.plot)


def save(report: dict, output: Path | None):
    if output:
        write_text(output, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    run_as_program("benchmark", main)
