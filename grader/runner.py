"""Starts the process in which a submission runs, enforces the time limit, and reads what the process sends."""

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Lock, Timer
from types import ModuleType
from typing import Any

from grader import sandbox
from grader.encoding import MAX_MESSAGE_BYTES, decode
from grader.exercise import Exercise
from grader.gate import Gate
from grader.places import EXPECTED, ROOT

MAX_SOURCE_BYTES = 1_000_000
_MAIN_LOCK = Lock()
_PRELOADED = ["torch", "torch._dynamo", "safetensors.torch", "grader.sandbox", "vlm"]
_STARTUP_SECONDS = 120.0  # for importing torch on a busy machine; it does not count as the submission's time


@dataclass(frozen=True)
class Outcome:
    """The outcome of running an exercise: answers for every case, or a problem.

    Attributes:
        problem: "" or one of "not written", "partly written", "calls the unwritten", "too large", "error", "syntax",
            "forbidden", "not allowed", "exit", "time", "memory", "crash", "garbled".
        what: details of the problem.
        answers: for each case the returned value.
        arguments: for each case the arguments as they are afterwards.
        skipped: the cases on the meta device that failed because the submission needs data; they do not count.
        printed: the beginning of the printed output.
        case: the index of the case with the problem, counted from 0; -1 if the problem is not about a case.
        refused: the first action that was refused, whatever happened afterwards.
    """

    problem: str = ""
    what: str = ""
    answers: list[Any] = field(default_factory=list)
    arguments: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    printed: str = ""
    case: int = -1
    refused: str = ""

    def __post_init__(self):
        """Check the types: a submission may have forged the message, so it can contain anything."""
        for part in fields(self):
            if type(getattr(self, part.name)) is not (kind := getattr(part.type, "__origin__", part.type)):
                raise TypeError(f"{part.name} is not a {kind.__name__}")


class Runner:
    """Runs exercises of submissions, each in a fresh process.

    On Linux a server process imports torch once and is forked for each exercise, which takes a few hundredths
    of a second. On other systems each process imports torch again.

    Args:
        hidden: files and folders that no submission may read, in addition to the repository's: those of other students.
    """

    def __init__(self, hidden: Sequence[Path] = ()):
        self.hidden = list(hidden)
        self.gate = Gate()
        can_fork = sys.platform == "linux"
        self.context = multiprocessing.get_context("forkserver" if can_fork else "spawn")
        if can_fork:
            self.context.set_forkserver_preload(_PRELOADED)

    def run(self, exercise: Exercise, submission: Path, checks: Path, seed: int, solutions: Path) -> Outcome:
        """Run one exercise. If a signal kills it, run it again, alone: the signal may have come from elsewhere.

        Args:
            submission: the file that the student wrote.
            checks: the file that defines the exercise.
            solutions: a folder that the submission may not read. Of this repository it may read only the package,
                and of the home folder nothing.
        """
        if not submission.is_file():
            return Outcome("not written", f"there is no file {submission.name}")
        if submission.stat().st_size > MAX_SOURCE_BYTES:
            return Outcome("too large")
        home = Path(os.path.expanduser("~"))
        private = [path.resolve() for path in (ROOT, EXPECTED, solutions, *self.hidden, *({home} - {Path("/")}))]
        arguments = (submission.resolve(), checks.resolve(), exercise.name, seed, private)
        with self.gate.together(), self.start(sandbox.work, *arguments) as (process, receiver):
            outcome = self.read(process, receiver, exercise.seconds)
        if outcome.problem == "crash" and outcome.what.startswith("SIG"):
            with self.gate.alone(), self.start(sandbox.work, *arguments) as (process, receiver):
                outcome = self.read(process, receiver, exercise.seconds)
        return outcome

    def missing_confinement(self) -> list[str]:
        """What this machine lacks to confine a submission, in words."""
        with self.start(sandbox.report_confinement) as (_, receiver):
            return decode(receiver.recv_bytes(MAX_MESSAGE_BYTES))

    @contextmanager
    def start(self, target: Callable, *arguments: Any) -> Iterator[tuple[multiprocessing.Process, Connection]]:
        """Start a process that runs `target` with a connection and the arguments; yield it and the receiving end."""
        receiver, sender = self.context.Pipe(duplex=False)
        process = self.context.Process(target=target, args=(sender, *arguments), daemon=True)
        with _without_main(), _without_ctrl_c():
            process.start()
        sender.close()
        try:
            yield process, receiver
        finally:
            end(process)
            receiver.close()
            process.join()

    def read(self, process, receiver, seconds: float) -> Outcome:
        late = Event()

        def stop():
            late.set()
            end(process)

        # A time limit for the first byte would not be enough: a submission may send one itself, and then nothing more.
        timer = Timer(seconds, stop)
        try:
            if not receiver.poll(_STARTUP_SECONDS):
                return Outcome("crash", "it did not start")
            receiver.recv_bytes(2 * len(b"ready"))  # the submission's time starts now
            timer.start()
            return Outcome(**decode(receiver.recv_bytes(MAX_MESSAGE_BYTES)))
        except (EOFError, ValueError, TypeError, OSError) as error:
            if late.is_set():
                return Outcome("time", f"{seconds:g}")
            if isinstance(error, EOFError):
                process.join(5)
                return Outcome("crash", describe_exit(process.exitcode))
            return Outcome("garbled", str(error))
        finally:
            timer.cancel()


def end(process: multiprocessing.Process):
    """Kill a process, and all processes that it has started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module: otherwise a new process would run its file again, even if it is a learner's script."""
    with _MAIN_LOCK:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Block Ctrl-C in a process that starts in here: a terminal sends it to both, and this process ends the other."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # otherwise `start` would start it, and unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def describe_exit(code: int | None) -> str:
    """The name of the signal that killed a process, or its exit code."""
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"
