"""Runs one side in its own process, which loads the model and then takes a turn on each request.

The parent process writes a line "turn TOKENS MAX_NEW_TOKENS" to its stdin, and reads a line of JSON from its stdout.
"""

import argparse
import json
import logging
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from benchmark.models import make_inputs
from benchmark.sides import SIDES, Ours, Theirs
from vlm.checkpoints.devices import DTYPES


class Worker:
    """The parent's end: starts the process, and requests turns."""

    def __init__(self, side: str, directory: Path, dtype: str, batch_size: int):
        command = [sys.executable, "-m", "benchmark.worker", side, str(directory), dtype, str(batch_size)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.loaded = self.read()

    def turn(self, num_tokens: int, max_new_tokens: int | None = None) -> dict:
        self.process.stdin.write(f"turn {num_tokens} {max_new_tokens or num_tokens}\n")
        self.process.stdin.flush()
        return self.read()

    def read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args[3]!r} ended with code {self.process.wait()}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@torch.inference_mode()
def take_turn(side: Ours | Theirs, inputs: dict[str, Tensor], num_tokens: int, max_new_tokens: int) -> dict:
    """Time prefill (s) and decode (tokens/s, all rows together); also return the tokens and the peak memory (GB)."""
    start = time.perf_counter()
    side.prefill(inputs)
    prefill = time.perf_counter() - start
    tokens, times = zip(*side.decode(inputs, num_tokens, max_new_tokens), strict=True)
    batch_size = len(inputs["input_ids"])
    speed = batch_size * (num_tokens - 1) / (times[-1] - times[0])  # the first token belongs to the prefill
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"prefill": prefill, "decode": speed, "tokens": tokens, "memory": gigabytes}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("directory", type=Path)
    parser.add_argument("dtype", choices=DTYPES)
    parser.add_argument("batch_size", type=int)
    options = parser.parse_args()
    answers, sys.stdout = sys.stdout, sys.stderr  # so that output of libraries is not mistaken for an answer
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)  # no long warnings about graph breaks in transformers
    side, dtype = SIDES[options.side], DTYPES[options.dtype]
    inputs = make_inputs(options.directory, options.batch_size)
    inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
    start = time.perf_counter()
    side.load(options.directory, dtype, options.batch_size)
    loaded = time.perf_counter() - start
    take_turn(side, inputs, 4, 4)  # loads the weights into memory and compiles; not measured
    ready = time.perf_counter() - start
    print(json.dumps({"load": loaded, "ready": ready}), file=answers, flush=True)
    for line in sys.stdin:
        _, num_tokens, max_new_tokens = line.split()
        print(json.dumps(take_turn(side, inputs, int(num_tokens), int(max_new_tokens))), file=answers, flush=True)


if __name__ == "__main__":
    main()
