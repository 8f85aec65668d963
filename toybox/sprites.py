"""The twenty toys, and one more that the shipped model has never seen: their names and their pictures.

The pictures are Microsoft's Fluent Emoji, under the MIT license: see sprite_pictures/README.md.
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
    """The word for several: "cat" -> "cats", "bus" -> "buses", "fish" -> "fish"."""
    if label in _IRREGULAR_PLURALS:
        return _IRREGULAR_PLURALS[label]
    if label.endswith(("ch", "sh", "s", "x")):
        return f"{label}es"
    if label.endswith("y") and label[-2] not in "aeiou":
        return f"{label[:-1]}ies"
    return f"{label}s"


def add_toy(label: str, path: str | Path) -> None:
    """Let a picture of your own be a toy, until Python ends: `draw_scene(seed, labels=(label, ...))` then draws it.

    Args:
        label: its name, in the singular; the plural gets an "s".
        path: a picture with a transparent background.

    Raises:
        ValueError: the name is taken, or nothing of the picture is transparent: its ground would be a part of the toy.
    """
    if label in (*LABELS, *NEW_TOYS, *_ADDED):
        raise ValueError(f"there is a toy named {label!r} already: choose another name")
    picture = Image.open(path).convert("RGBA")
    if picture.getchannel("A").getextrema()[0] > 0:
        raise ValueError(f"nothing of {path} is transparent: cut the toy out, and save it as PNG or WebP")
    _ADDED[label] = picture


@cache
def load_sprite(label: str) -> Image.Image:
    """The picture of a toy, RGBA, 256 x 256 pixels, transparent around it.

    Everyone gets the same picture, which is read only once: copy it before you change it.

    Raises:
        ValueError: if there is no toy of that name.
    """
    if label in _ADDED:
        return _ADDED[label]
    if label not in LABELS + NEW_TOYS:
        raise ValueError(f"there is no toy named {label!r}: choose one of {', '.join(LABELS + NEW_TOYS)}")
    return Image.open(_PICTURES / f"{label}.webp").convert("RGBA")
