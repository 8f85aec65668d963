"""Compares the speed of this package with that of transformers: `python -m benchmark`."""

import vlm.commands.ctrl_c  # noqa: F401 (before torch, so that Ctrl-C works while torch is being imported)
