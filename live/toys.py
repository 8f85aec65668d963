"""Writes the toys' pictures as a script: a page that was opened as a file may show other files, but not read them."""

import base64
import json
from pathlib import Path

PICTURES = Path(__file__).resolve().parent.parent / "toybox" / "sprite_pictures"


def write_toys(path: Path) -> None:
    """Write `VLM.toyPictures = {"apple": "data:image/webp;base64,...", ...}`, one picture a line."""
    encoded = {
        picture.stem: f"data:image/webp;base64,{base64.b64encode(picture.read_bytes()).decode()}"
        for picture in sorted(PICTURES.glob("*.webp"))
    }
    path.write_text(f"VLM.toyPictures = {json.dumps(encoded, indent=0)}\n", encoding="utf-8")
