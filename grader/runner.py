"""Starts the process in which a submission runs, waits no longer than allowed, and reads what it sends."""

import multiprocessing
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

from grader import sandbox
from grader.encoding import MAX_BYTES, decode
from grader.exercise import Exercise

_MAIN_LOCK = Lock()
_PRELOADED = ["torch", "torch._dynamo", "safetensors.torch", "grader.sandbox", "vlm"]
_STARTUP_SECONDS = 120.0  # for importing torch, on a busy machine: not counted as the submission's time


@dataclass(frozen=True)
class Outcome:
    """What came of running an exercise: answers for every case, or a problem.

    Attributes:
        problem: "" or one of "not written", "calls the unwritten", "error", "syntax", "forbidden", "not allowed",
            "exit", "time", "memory", "crash", "garbled".
        what: more about the problem.
        answers: for each case what was returned.
        arguments: for each case the arguments as they were afterwards.
        skipped: the cases without numbers (device "meta") that the submission wanted numbers of; they do not count.
        printed: the first characters that were printed.
        case: of which case a problem is, counted from 0; -1 if it is of none.
    """

    problem: str = ""
    what: str = ""
    answers: list[Any] = field(default_factory=list)
    arguments: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    printed: str = ""
    case: int = -1


class Runner:
    """Runs exercises of submissions, each in a fresh process.

    On Linux a server process imports torch once and is copied for each exercise, which takes a few hundredths
    of a second. Elsewhere each process imports torch anew.
    """

    def __init__(self):
        can_fork = sys.platform == "linux"
        self.context = multiprocessing.get_context("forkserver" if can_fork else "spawn")
        if can_fork:
            self.context.set_forkserver_preload(_PRELOADED)

    def run(self, exercise: Exercise, submission: Path, checks: Path, seed: int, solutions: Path) -> Outcome:
        """Run one exercise.

        Args:
            submission: the file that the student wrote.
            checks: the file that defines the exercise.
            solutions: a folder that the submission may not read.
        """
        if not submission.is_file():
            return Outcome("not written", f"there is no file {submission.name}")
        receiver, sender = self.context.Pipe(duplex=False)
        arguments = (sender, submission.resolve(), checks.resolve(), exercise.name, seed, solutions.resolve())
        process = self.context.Process(target=sandbox.work, args=arguments, daemon=True)
        with _without_main():
            process.start()
        sender.close()
        try:
            return self.read(process, receiver, exercise.seconds)
        finally:
            receiver.close()
            if process.is_alive():
                process.kill()
            process.join()

    def read(self, process, receiver, seconds: float) -> Outcome:
        try:
            if not receiver.poll(_STARTUP_SECONDS):
                return Outcome("crash", "it did not start")
            receiver.recv_bytes(2 * MAX_BYTES)  # "ready": from now on the submission's time counts
            if not receiver.poll(seconds):
                return Outcome("time", f"{seconds:g}")
            return Outcome(**decode(receiver.recv_bytes(2 * MAX_BYTES)))
        except EOFError:
            process.join(5)
            return Outcome("crash", describe_exit(process.exitcode))
        except (ValueError, TypeError, OSError) as error:
            return Outcome("garbled", str(error))


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the program that runs: a new process would else run its file again, be it a learner's own script."""
    with _MAIN_LOCK:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def describe_exit(code: int | None) -> str:
    """The signal that ended a process, by name, or its exit code."""
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"
