"""Checkpoints as files: find, describe, read, write and convert them."""
