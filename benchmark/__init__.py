"""Times this package beside transformers: `python -m benchmark`."""

import vlm.commands.ctrl_c  # noqa: F401 (before torch, so that Ctrl-C ends a program that is still importing it)
