"""The twenty toys: their names and their pictures.

The pictures are Microsoft's Fluent Emoji, under the MIT licence: see sprite_pictures/README.md.
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

_PICTURES = Path(__file__).parent / "sprite_pictures"
_IRREGULAR_PLURALS = {"bus": "buses", "butterfly": "butterflies", "fish": "fish"}


def plural(label: str) -> str:
    """The word for several: "cat" -> "cats", "bus" -> "buses", "fish" -> "fish"."""
    return _IRREGULAR_PLURALS.get(label, f"{label}s")


@cache
def load_sprite(label: str) -> Image.Image:
    """The picture of a toy, RGBA, 256 x 256 pixels, transparent around it.

    Everyone gets the same picture, which is read only once: copy it before you change it.

    Raises:
        ValueError: if there is no toy of that name.
    """
    if label not in LABELS:
        raise ValueError(f"there is no toy named {label!r}: choose one of {', '.join(LABELS)}")
    return Image.open(_PICTURES / f"{label}.webp").convert("RGBA")
