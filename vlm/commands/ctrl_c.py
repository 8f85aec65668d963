"""Ctrl-C ends a program of this course at any moment with exit code 130, even while torch is still being imported.

Each package imports this module before anything slow. It does nothing unless one of our programs is starting, as
`python -m PACKAGE...` or as the command `vlm`; in notebooks and other programs Ctrl-C keeps its usual meaning. If a
program starts with SIGINT ignored, as under `nohup` or in a script's background job, it stays ignored.
"""

import os
import signal
import sys

PACKAGES = ("vlm", "toybox", "benchmark", "grader")
INTERRUPTED = 130


def is_starting() -> bool:
    """Whether this process is one of our programs, before its work begins."""
    if sys.argv[0] == "-m":  # replaced by a path once the module's parent packages are imported
        arguments = sys.orig_argv
        return "-m" in arguments and arguments[arguments.index("-m") + 1].partition(".")[0] in PACKAGES
    return os.path.basename(sys.argv[0]) in ("vlm", "vlm.exe")


def end_now(*_):
    """A signal handler. Raises nothing: a library that is being imported may catch KeyboardInterrupt and continue."""
    os._exit(INTERRUPTED)


def end_now_on_ctrl_c():
    """While there is no work to clean up: before it begins and after it ends."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_now)


def raise_on_ctrl_c():
    """While there is work to clean up: Ctrl-C raises KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is end_now:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if is_starting():
    end_now_on_ctrl_c()
