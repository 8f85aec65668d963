"""Starts threads that never end, and a program for the end of the process."""

import atexit
import threading
import time

import torch


def patch_of_pixel(y, x, width, patch_size):
    atexit.register(time.sleep, 1000)
    for daemon in (False, True):
        for _ in range(20):
            threading.Thread(target=time.sleep, args=(1000,), daemon=daemon).start()
    return torch.zeros_like(y)
