"""How a program of this course ends: 0 done, 1 error (one line on stderr), 2 invalid options, 130 interrupted."""

import os
import sys
from collections.abc import Callable


def finish(name: str, work: Callable[[], int]) -> int:
    """Run `work` and return the exit code; an error becomes one line that begins with the program's name."""
    try:
        code = work()
        sys.stdout.flush()  # here, where a closed pipe can still be handled
        return code
    except BrokenPipeError:  # the reader has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        print(f"{name}: {str(error) or type(error).__name__}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted", file=sys.stderr)
        return 130


def leave(code: int):
    """End the process. After Ctrl-C it does not wait for threads that still download: they write temporary files."""
    if code == 130:
        os._exit(code)
    sys.exit(code)
