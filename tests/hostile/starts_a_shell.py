"""Runs a command."""

import os


def patch_of_pixel(y, x, width, patch_size):
    return os.system("true")
