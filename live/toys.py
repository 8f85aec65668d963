"""Writes the images of toys and signs as a script: a page opened from disk may not read the pixels of image files."""

import base64
import io
import json
from pathlib import Path

from PIL import Image

from toybox.signs import LARGEST_SIGN, SMALLEST_SIGN, WORDS, draw_board

PICTURES = Path(__file__).resolve().parent.parent / "toybox" / "sprite_pictures"


def write_toys(path: Path) -> None:
    """Write `VLM.toyPictures = {"apple": "data:image/webp;base64,...", ...}`, one image per line, and `VLM.signs`."""
    toys = {toy.stem: as_address(toy.read_bytes()) for toy in sorted(PICTURES.glob("*.webp"))}
    sheet, boxes = draw_letters()
    file = io.BytesIO()
    sheet.save(file, "WEBP", lossless=True)
    signs = {"sheet": as_address(file.getvalue()), "places": boxes}
    text = f"VLM.toyPictures = {json.dumps(toys, indent=0)}\nVLM.signs = {json.dumps(signs, separators=(',', ':'))}\n"
    path.write_text(text, encoding="utf-8")


def draw_letters() -> tuple[Image.Image, dict[str, dict[int, tuple[int, int, int]]]]:
    """All words in all sizes, white on black boards, three times as large as signs: the page colors and scales them.

    Returns:
        The sheet, RGBA, and the top, left side and width of each board on it, by word and height of the sign.
    """
    rows = []
    for height in range(SMALLEST_SIGN, LARGEST_SIGN + 1):
        rows.append((height, [draw_board(word, height, (0, 0, 0), (255, 255, 255)) for word in WORDS]))
    width = max(sum(board.width for board in boards) for _, boards in rows)
    sheet = Image.new("RGBA", (width, sum(boards[0].height for _, boards in rows)))
    boxes: dict[str, dict[int, tuple[int, int, int]]] = {word: {} for word in WORDS}
    y = 0
    for height, boards in rows:
        x = 0
        for word, board in zip(WORDS, boards, strict=True):
            sheet.paste(board, (x, y))
            boxes[word][height] = (y, x, board.width)
            x += board.width
        y += boards[0].height
    return sheet, boxes


def as_address(image: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(image).decode()}"
