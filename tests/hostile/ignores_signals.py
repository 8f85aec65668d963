"""Never comes back, and ignores whoever tells it to."""

import contextlib
import signal

for number in signal.valid_signals():
    with contextlib.suppress(OSError, ValueError):
        signal.signal(number, signal.SIG_IGN)


def patch_of_pixel(y, x, width, patch_size):
    while True:
        with contextlib.suppress(BaseException):
            pass
