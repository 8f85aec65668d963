"""Sends a message whose parts are of other kinds than the grader's own."""

import gc
import os
from multiprocessing.connection import Connection

from grader.encoding import encode


def patch_of_pixel(y, x, width, patch_size):
    [wire] = [thing for thing in gc.get_objects() if isinstance(thing, Connection)]
    wire.send_bytes(encode({"answers": {"a": 1}, "arguments": 3, "skipped": None, "printed": [1], "case": "first"}))
    os._exit(0)
