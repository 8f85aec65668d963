"""Writes the toys' and the signs' pictures as a script: a page opened as a file may not read pixels of others."""

import base64
import io
import json
from pathlib import Path

from PIL import Image

from toybox.signs import LARGEST_SIGN, SMALLEST_SIGN, WORDS, draw_board

PICTURES = Path(__file__).resolve().parent.parent / "toybox" / "sprite_pictures"


def write_toys(path: Path) -> None:
    """Write `VLM.toyPictures = {"apple": "data:image/webp;base64,...", ...}`, one picture a line, and `VLM.signs`."""
    toys = {picture.stem: as_address(picture.read_bytes()) for picture in sorted(PICTURES.glob("*.webp"))}
    sheet, places = draw_letters()
    file = io.BytesIO()
    sheet.save(file, "WEBP", lossless=True)
    signs = {"sheet": as_address(file.getvalue()), "places": places}
    text = f"VLM.toyPictures = {json.dumps(toys, indent=0)}\nVLM.signs = {json.dumps(signs, separators=(',', ':'))}\n"
    path.write_text(text, encoding="utf-8")


def draw_letters() -> tuple[Image.Image, dict[str, dict[int, tuple[int, int, int]]]]:
    """All words in all sizes, white on black boards, three times as large as signs: the page paints and shrinks them.

    Returns:
        The sheet, RGBA, and where on it each board is: its top, its left side and its width, by word and sign's height.
    """
    rows = []
    for height in range(SMALLEST_SIGN, LARGEST_SIGN + 1):
        rows.append((height, [draw_board(word, height, (0, 0, 0), (255, 255, 255)) for word in WORDS]))
    width = max(sum(board.width for board in boards) for _, boards in rows)
    sheet = Image.new("RGBA", (width, sum(boards[0].height for _, boards in rows)))
    places: dict[str, dict[int, tuple[int, int, int]]] = {word: {} for word in WORDS}
    y = 0
    for height, boards in rows:
        x = 0
        for word, board in zip(WORDS, boards, strict=True):
            sheet.paste(board, (x, y))
            places[word][height] = (y, x, board.width)
            x += board.width
        y += boards[0].height
    return sheet, places


def as_address(picture: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(picture).decode()}"
