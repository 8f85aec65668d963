"""Fuzzes the three parsers with random bytes: `python tools/fuzz.py checkpoint|config|boxes -max_total_time=200`.

This needs atheris, which the course does not: install it with `pip install atheris` into a separate environment. All
further options are libFuzzer's. A parser may return a result or raise a ValueError; anything else ends the run and is a
bug.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["vlm", "json"]):
    import torch

    from vlm.checkpoints.headers import read_headers
    from vlm.config import PaliGemmaConfig
    from vlm.loader import read_tensors
    from vlm.regions.boxes import format_detections, parse_detections

FOLDER = TemporaryDirectory()


def fuzz_checkpoint(data: bytes):
    path = Path(FOLDER.name) / "model.safetensors"
    path.write_bytes(data)
    try:
        read_headers([path])
        read_tensors(path, "cpu", torch.float32)
    except ValueError:
        pass


def fuzz_config(data: bytes):
    path = Path(FOLDER.name) / "config.json"
    path.write_bytes(data)
    try:
        config = PaliGemmaConfig.from_json(path)
    except ValueError:
        return
    assert PaliGemmaConfig.from_dict(config.to_dict()) == config


def fuzz_boxes(data: bytes):
    height, width = 1 + data[0] if data else 1, 1 + 7 * len(data)
    found = parse_detections(data.decode("utf-8", errors="replace"), height, width)
    assert parse_detections(format_detections(found, height, width), height, width) == found


if __name__ == "__main__":
    target = {"checkpoint": fuzz_checkpoint, "config": fuzz_config, "boxes": fuzz_boxes}[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
