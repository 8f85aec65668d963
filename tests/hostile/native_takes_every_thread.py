"""Starts threads until the machine has no numbers for new processes."""

import threading


def patch_of_pixel(y, x, width, patch_size):
    threading.stack_size(32768)
    end = threading.Event()
    try:
        for _ in range(3000):
            threading.Thread(target=end.wait, daemon=True).start()
    finally:
        end.set()
