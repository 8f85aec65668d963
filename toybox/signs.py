"""Signs: a small board with one word on it, to be read by `ocr`."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from toybox.camera import photograph
from toybox.grounds import SIDE, paint_ground

# All words that a sign may have: the model learns to tell these apart, not to read any word at all.
WORDS: tuple[str, ...] = (
    "ART", "BUS", "CAFE", "EXIT", "FARM", "GYM", "HOTEL", "ICE",
    "MENU", "OPEN", "PARK", "SALE", "SHOP", "STOP", "TAXI", "ZOO",
)  # fmt: skip
SMALLEST_SIGN, LARGEST_SIGN = 18, 28  # height in pixels
_MAX_TILT = 6.0
# Board and letters, RGB.
_PAINTS = (
    ((250, 250, 245), (30, 30, 40)),
    ((250, 210, 60), (30, 30, 30)),
    ((200, 30, 40), (255, 255, 255)),
    ((20, 90, 60), (255, 255, 255)),
    ((30, 60, 150), (255, 255, 255)),
)
_SHEETS = 101  # the random stream of the sheets, distinct from those of the scenes
_TRIES = 9  # attempts to put a sign on a sheet
_OVERSIZE = 3  # signs are drawn three times as large, then scaled down, for smooth edges


def draw_sign(word: str, height: int, paint: int, tilt: float) -> np.ndarray:
    """uint8 [h, w, 4]: a board of this height in pixels, as wide as the word needs, rotated by `tilt` degrees.

    Args:
        paint: index of a pair of colors in _PAINTS.
    """
    board = draw_board(word, height, *_PAINTS[paint])
    sign = board.resize((max(1, round(board.width / _OVERSIZE)), height), Image.Resampling.BICUBIC)
    if tilt:
        sign = sign.rotate(tilt, Image.Resampling.BICUBIC, expand=True)
    return np.array(sign)


def draw_board(word: str, height: int, board: tuple[int, int, int], letters: tuple[int, int, int]) -> Image.Image:
    """The board of a sign of this height before it is scaled down, RGBA, in the colors of its board and letters."""
    font = _font(round(0.74 * height * _OVERSIZE))
    left, top, right, bottom = font.getbbox(word)
    margin = round(0.22 * height * _OVERSIZE)
    size = (right - left + 2 * margin, height * _OVERSIZE)
    sign = Image.new("RGBA", size, (*board, 0))
    draw = ImageDraw.Draw(sign)
    draw.rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius=2 * _OVERSIZE, fill=(*board, 255))
    draw.text((margin - left, (size[1] - (bottom - top)) / 2 - top), word, fill=(*letters, 255), font=font)
    return sign


def random_sign(rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """A random word and its sign, uint8 [h, w, 4]."""
    word = WORDS[rng.integers(len(WORDS))]
    height = int(rng.integers(SMALLEST_SIGN, LARGEST_SIGN + 1))
    tilt = float(rng.uniform(-_MAX_TILT, _MAX_TILT)) if rng.random() < 0.5 else 0.0
    return word, draw_sign(word, height, int(rng.integers(len(_PAINTS))), tilt)


@dataclass(frozen=True, eq=False)
class SignSheet:
    """An image with nothing but signs, which teaches the tower to read.

    Attributes:
        pixels: uint8 [H, W, 3].
        words: the words on the signs.
        boxes: of the signs, each (y_min, x_min, y_max, x_max) in pixels.
    """

    pixels: np.ndarray
    words: tuple[str, ...]
    boxes: tuple[tuple[int, int, int, int], ...]


def draw_sign_sheet(seed: int) -> SignSheet:
    """A few signs that do not overlap, on any ground; only for training."""
    rng = np.random.default_rng((_SHEETS, seed))
    pixels, _ = paint_ground(rng)  # [H, W, 3]
    taken = np.zeros((SIDE, SIDE), bool)
    words, boxes = [], []
    for _ in range(_TRIES):
        word, sign = random_sign(rng)
        height, width = sign.shape[:2]
        y, x = (int(rng.integers(0, SIDE - side + 1)) for side in (height, width))
        window = (slice(y, y + height), slice(x, x + width))
        if taken[window].any():
            continue
        taken[window] = True
        alpha = sign[..., 3:] / np.float32(255)  # [h, w, 1]
        pixels[window] += alpha * (sign[..., :3] - pixels[window])
        words.append(word)
        boxes.append((y, x, y + height, x + width))
    return SignSheet(photograph(pixels, rng), tuple(words), tuple(boxes))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
