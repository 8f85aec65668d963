"""Where toys go: sizes, tilts, how much of one may be hidden, and how much may lie outside the image.

Shapes: H W height and width of the image, h w those of one toy.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from toybox.colors import colored_sprite
from toybox.grounds import SIDE

SMALLEST, LARGEST = 14, 105  # side of a toy's square, in pixels
MIN_VISIBLE = 0.75  # of a toy, unless the layout hides one on purpose
OPAQUE = 128  # from this alpha on (of 255), a pixel belongs to the toy
_TRIES, _SHRINKS = 25, 4
_SHRINK = 0.8
_MAX_TILT = 20.0
_TILT_CHANCE = 0.4


@dataclass(frozen=True)
class Layout:
    """The constraints of a scene.

    Attributes:
        sizes: the smallest and the largest side of a toy, in pixels.
        outside: the least and the largest fraction of one toy outside the image, or None: all are inside.
        visible: the least and the largest visible fraction of one hidden toy, or None: all show at least MIN_VISIBLE.
    """

    sizes: tuple[int, int]
    outside: tuple[float, float] | None = None
    visible: tuple[float, float] | None = None


def draw_layout(rng: np.random.Generator, num_toys: int) -> Layout:
    """A random layout, as for scenes of the first three splits."""
    if num_toys == 1 and rng.random() < 0.2:
        return Layout((60, LARGEST), (0.0, 0.3) if rng.random() < 0.2 else None)
    if rng.random() < 0.1:
        return Layout((SMALLEST, 24))
    largest = (72, 72, 64, 56, 48, 40, 36)[num_toys]
    sizes = (26 if num_toys < 4 else 21, largest)
    chance = rng.random()
    if chance < 0.15:
        return Layout(sizes, outside=(0.08, 0.38))
    if chance < 0.42 and num_toys > 1:
        return Layout(sizes, visible=(0.36, 0.75))
    return Layout(sizes)


class Table:
    """The state of the image while toys are placed.

    Attributes:
        owner: int8 [H, W], the index of the toy visible at each pixel, -1 for the ground.
        areas: for each toy, how many of its pixels are inside the image, hidden or not.
        reserved: bool [H, W], where no toy may lie.
    """

    def __init__(self):
        self.owner = np.full((SIDE, SIDE), -1, np.int8)
        self.reserved = np.zeros((SIDE, SIDE), bool)
        self.areas: list[int] = []

    def place(
        self, label: str, color: str | None, layout: Layout, is_special: bool, rng: np.random.Generator
    ) -> tuple[np.ndarray, int, int] | None:
        """Find a position for one toy, place it, and return its sprite uint8 [h, w, 4] and its corner (y, x).

        The toy gets smaller after some failed tries; None if none succeeds.

        Args:
            is_special: this toy is the one that lies partly outside, or that hides the one before it.
        """
        size = float(rng.uniform(*layout.sizes))
        flip = bool(rng.integers(2))
        tilt = float(rng.uniform(-_MAX_TILT, _MAX_TILT)) if rng.random() < _TILT_CHANCE else 0.0
        for _ in range(_SHRINKS):
            sprite = make_sprite(label, color, round(size), flip, tilt)
            solid = sprite[..., 3] >= OPAQUE  # [h, w]
            for _ in range(_TRIES):
                y, x = self._draw_corner(sprite.shape, layout, is_special, rng)
                after, area = self._after(solid, y, x)
                if self._allows(after, area, int(solid.sum()), layout, is_special):
                    self.owner = after
                    self.areas.append(area)
                    return sprite, y, x
            size = max(size * _SHRINK, min(SMALLEST, layout.sizes[0]))
        return None

    def _draw_corner(self, shape: tuple, layout: Layout, is_special: bool, rng: np.random.Generator) -> tuple[int, int]:
        height, width = shape[:2]
        if is_special and layout.outside:
            reach = max(height, width) // 2
            y = rng.integers(-reach, SIDE - height + reach + 1)
            x = rng.integers(-reach, SIDE - width + reach + 1)
        elif is_special and layout.visible:  # near the toy before it
            rows, columns = np.nonzero(self.owner == len(self.areas) - 1)
            y = int(rng.choice(rows)) - rng.integers(height)
            x = int(rng.choice(columns)) - rng.integers(width)
            y, x = np.clip(y, 0, max(SIDE - height, 0)), np.clip(x, 0, max(SIDE - width, 0))
        else:
            y = rng.integers(0, max(SIDE - height, 0) + 1)
            x = rng.integers(0, max(SIDE - width, 0) + 1)
        return int(y), int(x)

    def _after(self, solid: np.ndarray, y: int, x: int) -> tuple[np.ndarray, int]:
        """The owners with the toy at this corner, and how many of its pixels are inside the image."""
        window, part = overlap(solid.shape, y, x)
        after = self.owner.copy()
        after[window][solid[part]] = len(self.areas)
        return after, int(solid[part].sum())

    def _allows(self, after: np.ndarray, area: int, whole: int, layout: Layout, is_special: bool) -> bool:
        if is_special and layout.outside:
            least, most = layout.outside
            if not least <= 1 - area / whole <= most:
                return False
        elif area < whole:
            return False
        if self.reserved[after == len(self.areas)].any():
            return False
        for index, before in enumerate(self.areas):
            share = np.count_nonzero(after == index) / before
            # The first toy is the one that is hidden; the second, which is special, hides it.
            least = layout.visible[0] if layout.visible and index == 0 else MIN_VISIBLE
            most = layout.visible[1] if layout.visible and is_special else 1.0
            if not least <= share <= most:
                return False
        return True


def overlap(shape: tuple[int, ...], y: int, x: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """For a toy [h, w] at a corner: the window of the image that it covers, and the part of the toy inside."""
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + shape[0], SIDE), min(x + shape[1], SIDE)
    return (slice(top, bottom), slice(left, right)), (slice(top - y, bottom - y), slice(left - x, right - x))


def make_sprite(label: str, color: str | None, size: int, flip: bool, tilt: float) -> np.ndarray:
    """uint8 [h, w, 4]: a toy of `size` x `size` pixels, rotated by `tilt` degrees, which enlarges the array."""
    sprite = _resized(label, color, size)
    if flip:
        sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if tilt:
        sprite = sprite.rotate(tilt, Image.Resampling.BICUBIC, expand=True)
    return np.array(sprite)


@lru_cache(maxsize=4000)
def _resized(label: str, color: str | None, size: int) -> Image.Image:
    # PIL weights colors by alpha when it averages them: transparent pixels leave no dark rim.
    return colored_sprite(label, color).resize((size, size), Image.Resampling.BICUBIC)
