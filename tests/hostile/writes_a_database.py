"""Writes a file by a library that does not use Python's."""

import sqlite3
from pathlib import Path


def patch_of_pixel(y, x, width, patch_size):
    sqlite3.connect(Path(__file__).with_name("new.db")).execute("create table t (x)")
