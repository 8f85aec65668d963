"""Toys in other colors: the hue of a toy's main part is changed, its light and shade stay."""

from functools import cache

import numpy as np
from PIL import Image

from toybox.sprites import load_sprite

COLORS: dict[str, int] = {"red": 0, "yellow": 50, "green": 125, "blue": 215, "purple": 280}  # hue in degrees
# The kinds that come in all colors, and the color of their original images.
NATURAL_COLORS: dict[str, str] = {
    "ball": "blue",
    "bird": "red",
    "bus": "yellow",
    "butterfly": "red",
    "car": "red",
    "fish": "blue",
    "flower": "yellow",
    "rocket": "red",
}
# The middle of the main part's hues, in degrees; other hues, such as those of a car's windows, stay.
_MAIN_HUES = {
    "ball": 210,
    "bird": 340,
    "bus": 38,
    "butterfly": 8,
    "car": 338,
    "fish": 215,
    "flower": 45,
    "rocket": 338,
}
_MAIN_WIDTH = 40
_LEAST_SATURATION = 70  # of 255; grays have no hue to change


@cache
def colored_sprite(label: str, color: str | None) -> Image.Image:
    """The image of a toy in a color, RGBA, 256 x 256; None for its original colors.

    Raises:
        ValueError: that kind does not come in colors, or there is no such color.
    """
    sprite = load_sprite(label)
    if color is None or color == NATURAL_COLORS.get(label):
        return sprite
    if label not in NATURAL_COLORS or color not in COLORS:
        raise ValueError(f"there is no {color} {label}: {', '.join(NATURAL_COLORS)} come in {', '.join(COLORS)}")
    hue, saturation, value = (np.array(band, np.int16) for band in sprite.convert("RGB").convert("HSV").split())
    degrees = hue * (360 / 256)
    distance = np.abs((degrees - _MAIN_HUES[label] + 180) % 360 - 180)
    is_main = (distance < _MAIN_WIDTH) & (saturation > _LEAST_SATURATION)
    hue[is_main] = round(COLORS[color] * 256 / 360)
    bands = [Image.fromarray(band.astype(np.uint8)) for band in (hue, saturation, value)]
    colored = Image.merge("HSV", bands).convert("RGB")
    colored.putalpha(sprite.getchannel("A"))
    return colored
