"""Runs mutants in a process of its own, so that one that crashes or never ends costs only itself."""

import dataclasses
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import ModuleType

from grader.sandbox import set_limits
from tools.holes.questions import Question, wrong

PATIENCE = 600.0  # seconds, until a worker that says nothing is ended


@dataclass(frozen=True)
class Finding:
    """What a mutant got wrong.

    Attributes:
        passed: the numbers of the seeds whose own cases it passes.
        question: the index of the first wide question that it gets wrong; -1 if there is none.
        problem: what is wrong there.
        is_final: whether all was asked, or the mutant may end the process with the next question.
    """

    passed: tuple[int, ...] = ()
    question: int = -1
    problem: str = ""
    is_final: bool = True


def examine(
    texts: Sequence[str], own: Sequence[Sequence[Question]], wide: Sequence[Question], seconds: float
) -> Iterator[Finding]:
    """Ask each mutant the grader's own questions, for each seed, and if it passes at one, the wide ones too.

    Args:
        seconds: of CPU time for each mutant, so that a busy machine makes no difference.
    """
    done = 0
    while done < len(texts):
        last = Finding()
        for finding in ask_worker(texts[done:], own, wide, seconds):
            last = finding
            if finding.is_final:
                yield finding
                done += 1
                last = Finding()
        if done < len(texts):  # the worker ended before it was through
            yield dataclasses.replace(last, problem="it does not finish" if last.passed else "", is_final=True)
            done += 1


def ask_worker(
    texts: Sequence[str], own: Sequence[Sequence[Question]], wide: Sequence[Question], seconds: float
) -> Iterator[Finding]:
    """The findings that a new process sends before it ends."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(sender, texts, own, wide, seconds), daemon=True)
    process.start()
    sender.close()
    try:
        while receiver.poll(PATIENCE):
            yield receiver.recv()
    except EOFError:
        pass
    finally:
        process.kill()
        process.join()
        receiver.close()


def work(
    sender: Connection,
    texts: Sequence[str],
    own: Sequence[Sequence[Question]],
    wide: Sequence[Question],
    seconds: float,
):
    """The main function of the process."""
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    set_limits()
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # it ends the process
    for text in texts:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        for finding in findings(text, own, wide):
            sender.send(finding)
    sender.close()
    os._exit(0)


def findings(text: str, own: Sequence[Sequence[Question]], wide: Sequence[Question]) -> Iterator[Finding]:
    """What is known before each wide question, and the result at the end."""
    try:
        submission = module_from(text)
    except Exception:
        yield Finding()
        return
    passed = tuple(seed for seed, questions in enumerate(own) if not any(wrong(q, submission) for q in questions))
    if passed:
        yield Finding(passed, is_final=False)
        for index, question in enumerate(wide):
            if problem := wrong(question, submission):
                yield Finding(passed, index, problem)
                return
    yield Finding(passed)


def module_from(text: str) -> ModuleType:
    """A module with the code of a file."""
    module = ModuleType("submission")
    sys.modules["submission"] = module  # dataclasses look up their module
    exec(compile(text, "submission.py", "exec"), module.__dict__)
    return module
