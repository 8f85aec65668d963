"""Exit codes of the course's programs: 0 done, 1 error (one line on stderr), 2 invalid options, 130 interrupted."""

import atexit
import os
import signal
import sys
from collections.abc import Callable

from vlm.commands.ctrl_c import INTERRUPTED, end_now_on_ctrl_c, raise_on_ctrl_c


def run_as_program(name: str, main: Callable[[], int | None]):
    """Run `main` as this process's whole program."""
    open_streams()
    try:
        code = finish(name, main)
    finally:
        end_now_on_ctrl_c()  # Python waits for threads, calls what is registered here, then shuts down
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    leave(code)


def finish(name: str, work: Callable[[], int | None]) -> int:
    """Run `work` and return the exit code; an error becomes one line that begins with the program's name."""
    try:
        raise_on_ctrl_c()
        code = work() or 0
        sys.stdout.flush()  # now, while an error can still be handled
        return code
    except BrokenPipeError:  # the reader stopped early, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        print(f"{name}: {str(error) or type(error).__name__}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted", file=sys.stderr)
        return INTERRUPTED


def open_streams():
    """Replace a closed stream (`>&-`) with an empty one, and print ? for characters that stdout cannot encode."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (open as long as the process)
    sys.stdout.reconfigure(errors="replace")


def leave(code: int):
    """End the process. After Ctrl-C, do not wait for threads that still download: they write temporary files."""
    if code == INTERRUPTED:
        os._exit(code)
    sys.exit(code)
