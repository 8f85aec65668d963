"""Starts a program by the function below subprocess, which reports nothing."""

import os
from _posixsubprocess import fork_exec


def patch_of_pixel(y, x, width, patch_size):
    out, end = os.pipe()
    nothing = [-1] * 6
    words = [b"/bin/sleep", b"60"]
    return fork_exec(
        words, [words[0]], True, (), None, None, *nothing, out, end, True, True, -1, None, None, None, -1, None, True
    )
