"""Signs: a small board with one word on it, to be read by `ocr`."""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# All words that a sign may have: the model learns to tell these apart, not to read any word at all.
WORDS: tuple[str, ...] = (
    "ART", "BAKERY", "BANK", "BUS", "CAFE", "CLOSED", "EXIT", "FARM", "GYM", "HOTEL", "ICE", "LIBRARY",
    "MENU", "MUSEUM", "OPEN", "PARK", "PIZZA", "SALE", "SCHOOL", "SHOP", "SLOW", "STOP", "TAXI", "ZOO",
)  # fmt: skip
SMALLEST_SIGN, LARGEST_SIGN = 16, 26  # height in pixels
_MAX_TILT = 6.0
# Board and letters, red-green-blue.
_PAINTS = (
    ((250, 250, 245), (30, 30, 40)),
    ((250, 210, 60), (30, 30, 30)),
    ((200, 30, 40), (255, 255, 255)),
    ((20, 90, 60), (255, 255, 255)),
    ((30, 60, 150), (255, 255, 255)),
)
_OVERSIZE = 3  # drawn three times as large, then made smaller, for smooth edges


def draw_sign(word: str, height: int, paint: int, tilt: float) -> np.ndarray:
    """uint8 [h, w, 4]: a board of that height in pixels, as wide as the word asks for, turned by `tilt` degrees.

    Args:
        paint: which pair of colors, by its index in _PAINTS.
    """
    board, letters = _PAINTS[paint]
    font = _font(round(0.74 * height * _OVERSIZE))
    left, top, right, bottom = font.getbbox(word)
    margin = round(0.22 * height * _OVERSIZE)
    size = (right - left + 2 * margin, height * _OVERSIZE)
    sign = Image.new("RGBA", size, (*board, 0))
    draw = ImageDraw.Draw(sign)
    draw.rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius=2 * _OVERSIZE, fill=(*board, 255))
    draw.text((margin - left, (size[1] - (bottom - top)) / 2 - top), word, fill=(*letters, 255), font=font)
    sign = sign.resize((max(1, round(size[0] / _OVERSIZE)), height), Image.Resampling.BICUBIC)
    if tilt:
        sign = sign.rotate(tilt, Image.Resampling.BICUBIC, expand=True)
    return np.array(sign)


def random_sign(rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """A word and the board with it, uint8 [h, w, 4]."""
    word = WORDS[rng.integers(len(WORDS))]
    height = int(rng.integers(SMALLEST_SIGN, LARGEST_SIGN + 1))
    tilt = float(rng.uniform(-_MAX_TILT, _MAX_TILT)) if rng.random() < 0.5 else 0.0
    return word, draw_sign(word, height, int(rng.integers(len(_PAINTS))), tilt)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
