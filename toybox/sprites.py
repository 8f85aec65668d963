"""The twenty toys, and one more that the shipped model has never seen: their names and their images.

The images are Microsoft's Fluent Emoji, under the MIT license: see sprite_pictures/README.md.
"""

from functools import cache
from pathlib import Path

from PIL import Image

LABELS: tuple[str, ...] = (
    "apple",
    "ball",
    "banana",
    "bird",
    "boat",
    "bus",
    "butterfly",
    "cake",
    "car",
    "cat",
    "clock",
    "dog",
    "fish",
    "flower",
    "frog",
    "house",
    "pizza",
    "rocket",
    "tree",
    "turtle",
)
NEW_TOYS: tuple[str, ...] = ("penguin",)

_ADDED: dict[str, Image.Image] = {}
_PICTURES = Path(__file__).parent / "sprite_pictures"
_IRREGULAR_PLURALS = {"fish": "fish"}


def plural(label: str) -> str:
    """The plural of a label: "cat" -> "cats", "bus" -> "buses", "fish" -> "fish"."""
    if label in _IRREGULAR_PLURALS:
        return _IRREGULAR_PLURALS[label]
    if label.endswith(("ch", "sh", "s", "x")):
        return f"{label}es"
    if label.endswith("y") and label[-2] not in "aeiou":
        return f"{label[:-1]}ies"
    return f"{label}s"


def add_toy(label: str, path: str | Path) -> None:
    """Add an image of your own as a toy, until Python exits: `draw_scene(seed, labels=(label, ...))` then draws it.

    Args:
        label: its name, in the singular; `plural` makes the plural.
        path: an image with a transparent background.

    Raises:
        ValueError: the name is taken, or the image has no transparent pixels: its background would be part of the toy.
    """
    if label in (*LABELS, *NEW_TOYS, *_ADDED):
        raise ValueError(f"there is a toy named {label!r} already: choose another name")
    image = Image.open(path).convert("RGBA")
    if image.getchannel("A").getextrema()[0] > 0:
        raise ValueError(f"{path} has no transparent pixels: cut the toy out, and save it as PNG or WebP")
    _ADDED[label] = image


@cache
def load_sprite(label: str) -> Image.Image:
    """The image of a toy, RGBA, 256 x 256 pixels, transparent around it.

    The image is read once and shared by all callers: copy it before you change it.

    Raises:
        ValueError: there is no toy of that name.
    """
    if label in _ADDED:
        return _ADDED[label]
    if label not in LABELS + NEW_TOYS:
        raise ValueError(f"there is no toy named {label!r}: choose one of {', '.join(LABELS + NEW_TOYS)}")
    return Image.open(_PICTURES / f"{label}.webp").convert("RGBA")
