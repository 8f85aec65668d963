"""Gives back a list without an end."""

import time


class Endless(list):
    def __iter__(self):
        while True:
            time.sleep(0.01)
            yield 0


def patch_of_pixel(y, x, width, patch_size):
    return Endless()
