"""Runs a program of this repository that stalls in the middle of its work, where a test stops it.

`python tests/interrupted_worker.py HOW PROGRAM ...`: HOW is "whole" (the program is not changed), "stall:N:MARKER" (in
the middle of writing the Nth weights file it creates the file MARKER and sleeps) or "disk:N" (no file can grow beyond
N bytes, as on a full disk).
"""

import dataclasses
import resource
import sys
import time
from pathlib import Path

import vlm.checkpoints.atomic_write


def stall(number: int, marker: Path):
    save_file, calls = vlm.checkpoints.atomic_write.save_file, []

    def save_or_stall(tensors, path, metadata):
        save_file(tensors, path, metadata=metadata)
        calls.append(path)
        if len(calls) == number:
            path = Path(path)
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            marker.touch()
            time.sleep(600)

    vlm.checkpoints.atomic_write.save_file = save_or_stall


def train(arguments: list[str]):
    """The Toybox's trainer, with a model that takes a moment and a state after every step."""
    import torch
    from test_toybox_train import tiny_config

    from toybox import train as training

    @dataclasses.dataclass(frozen=True)
    class TinyRecipe(training.Recipe):
        scenes_per_step: int = 2
        look_steps: int = 2
        speak_steps: int = 4
        warmup_steps: int = 2

    torch.set_num_threads(1)
    training.Recipe, training.toybox_config = TinyRecipe, tiny_config
    training.Trainer.compile = lambda self: None
    training.SECONDS_BETWEEN_SAVES = 0
    sys.argv = ["train", *arguments]
    training.main()


def grade(arguments: list[str]):
    """The class's grader, for the exercises of one chapter."""
    from grader import classroom, grading

    checks = grading.all_checks()[:1]
    classroom.all_checks = grading.all_checks = lambda: checks
    classroom.main(arguments)


def main():
    (kind, *settings), program, arguments = sys.argv[1].split(":"), sys.argv[2], sys.argv[3:]
    if kind == "stall":
        stall(int(settings[0]), Path(settings[1]))
    if kind == "disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(settings[0]),) * 2)
    if program == "train":
        train(arguments)
    elif program == "grade":
        grade(arguments)
    else:
        from vlm.__main__ import program as command_line

        sys.argv = ["vlm", program, *arguments]
        command_line()


if __name__ == "__main__":
    main()
