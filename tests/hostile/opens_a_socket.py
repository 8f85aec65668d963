"""Asks the network."""

import socket


def patch_of_pixel(y, x, width, patch_size):
    socket.create_connection(("127.0.0.1", 9), timeout=1)
