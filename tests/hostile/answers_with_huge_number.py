"""Gives back a number that no float can hold."""


def patch_of_pixel(y, x, width, patch_size):
    return 10**4000
