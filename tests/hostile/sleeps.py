"""Never comes back."""

import time


def patch_of_pixel(y, x, width, patch_size):
    time.sleep(1000)
