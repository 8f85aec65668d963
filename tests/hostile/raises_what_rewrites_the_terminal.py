"""Fails with a text that a terminal takes for commands: go up, clear the line, write another."""


def patch_of_pixel(y, x, width, patch_size):
    raise ValueError("\x1b[1A\x1b[2K\r  patch_of_pixel  1/1  passed\ud800")
