"""Scenes of the Toybox: up to six toys on any ground, with the ground truth about each of them.

A scene depends on its seed and split alone: the same two give the same bytes, in whatever order scenes are drawn.

Shapes: H W height and width of the image (both IMAGE_SIZE), h w those of one toy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from toybox.camera import photograph
from toybox.colors import COLORS, NATURAL_COLORS
from toybox.grounds import BACKGROUNDS, SIDE, add_clutter, paint_ground, paint_photograph  # noqa: F401
from toybox.placement import Layout, Table, draw_layout, overlap
from toybox.signs import random_sign
from toybox.sprites import LABELS

IMAGE_SIZE = SIDE
SPLITS = ("train", "validation", "test", "hard")
MAX_OBJECTS = 6
MAX_OBJECTS_HARD = 8
_NUMBERS = (0.04, 0.24, 0.26, 0.21, 0.12, 0.08, 0.05)  # the probability of 0, 1, ... 6 toys
_REPEAT_CHANCE = 0.4  # that a further toy is of a kind already there: otherwise there is little to count
_NATURAL_CHANCE = 0.5  # that a toy that comes in colors has its original color
_SIGN_CHANCE = 0.18  # of scenes with three toys or fewer, none of them large
_LARGEST_WITH_SIGN = 40
_CLUTTER_CHANCE = 0.06


@dataclass(frozen=True)
class SceneObject:
    """One toy in a scene.

    Attributes:
        label: its kind.
        box: (y_min, x_min, y_max, x_max) in pixels around its visible part; the maxima are excluded.
        color: a key of COLORS, for kinds that come in colors; else None.
    """

    label: str
    box: tuple[int, int, int, int]
    color: str | None = None

    @property
    def center(self) -> tuple[float, float]:
        """(y, x) of the middle of the box, in pixels."""
        y_min, x_min, y_max, x_max = self.box
        return (y_min + y_max) / 2, (x_min + x_max) / 2

    @property
    def area(self) -> int:
        """The area of the box, in pixels."""
        y_min, x_min, y_max, x_max = self.box
        return (y_max - y_min) * (x_max - x_min)


@dataclass(frozen=True, eq=False)
class Scene:
    """An image and what is in it.

    Attributes:
        pixels: uint8 [H, W, 3].
        objects: the toys in the order they were put down: a later one may hide part of an earlier one.
        owner: int8 [H, W], the index in `objects` of the toy visible at each pixel, -1 where there is none.
        background: a key of BACKGROUNDS, or None if the ground has no name.
        sign: the word on the sign, or None if there is no sign.
        sign_box: the box of the sign, (y_min, x_min, y_max, x_max) in pixels; no toy covers it.
    """

    pixels: np.ndarray
    objects: tuple[SceneObject, ...]
    owner: np.ndarray
    background: str | None
    sign: str | None = None
    sign_box: tuple[int, int, int, int] | None = None

    def mask(self, index: int) -> np.ndarray:
        """Where the toy `objects[index]` is visible: bool [H, W]."""
        if not 0 <= index < len(self.objects):
            raise IndexError(f"no object {index}: the scene has {len(self.objects)}, numbered from 0")
        return self.owner == index

    @property
    def image(self) -> Image.Image:
        """The image for PIL, RGB."""
        return Image.fromarray(self.pixels)


def draw_scene(seed: int, split: str = "train", labels: Sequence[str] = LABELS) -> Scene:
    """Draw the scene with this seed. Scenes of different splits come from different random streams.

    Args:
        seed: 0 or more.
        split: one of SPLITS. The first three have the same distribution. "hard" is never trained on: grounds like
            blurred photographs, full of objects without a name; up to eight toys, all of 12 to 16 pixels in some
            scenes, and in the others one of them hidden by up to 80 %.
        labels: the kinds to choose from; one that is listed twice appears twice as often.

    Raises:
        ValueError: there is no such split, or the seed is negative.
    """
    if split not in SPLITS:
        raise ValueError(f"there is no split {split!r}: choose one of {', '.join(SPLITS)}")
    rng = np.random.default_rng((SPLITS.index(split), seed))
    is_hard = split == "hard"
    if is_hard:
        pixels, background = paint_photograph(rng), None  # [H, W, 3]
        add_clutter(pixels, int(rng.integers(3, 9)), rng)
        number, layout = int(rng.integers(1, MAX_OBJECTS_HARD + 1)), _draw_hard_layout(rng)
    else:
        pixels, background = paint_ground(rng)
        if rng.random() < _CLUTTER_CHANCE:
            add_clutter(pixels, int(rng.integers(1, 4)), rng)
        number = int(rng.choice(len(_NUMBERS), p=_NUMBERS))
        layout = draw_layout(rng, number)

    table, word, sign_box = Table(), None, None
    if not is_hard and number < 4 and layout.sizes[0] < _LARGEST_WITH_SIGN and rng.random() < _SIGN_CHANCE:
        word, sign_box = _put_up_sign(pixels, table, rng)
    placed: list[tuple[str, str | None]] = []
    for label in _choose_labels(rng, labels, number):
        color = _choose_color(rng, label)
        is_special = len(placed) == (1 if layout.visible else 0)
        found = table.place(label, color, layout, is_special, rng)
        if found is None:
            continue  # no room even for a small one: the scene has one toy fewer
        _paste(*found, pixels, rng)
        placed.append((label, color))

    objects = []
    for index, (label, color) in enumerate(placed):
        objects.append(SceneObject(label, _visible_box(table.owner == index), color))
    return Scene(photograph(pixels, rng, always=is_hard), tuple(objects), table.owner, background, word, sign_box)


def _draw_hard_layout(rng: np.random.Generator) -> Layout:
    if rng.random() < 0.25:
        return Layout((12, 16))
    return Layout((20, 44), visible=(0.2, 0.5))


def _choose_labels(rng: np.random.Generator, labels: Sequence[str], number: int) -> list[str]:
    chosen: list[str] = []
    for _ in range(number):
        choices = chosen if chosen and rng.random() < _REPEAT_CHANCE else labels
        label = choices[rng.integers(len(choices))]
        chosen.append(label if chosen.count(label) < MAX_OBJECTS else labels[rng.integers(len(labels))])
    return chosen


def _choose_color(rng: np.random.Generator, label: str) -> str | None:
    if label not in NATURAL_COLORS:
        return None
    return NATURAL_COLORS[label] if rng.random() < _NATURAL_CHANCE else tuple(COLORS)[rng.integers(len(COLORS))]


def _put_up_sign(pixels: np.ndarray, table: Table, rng: np.random.Generator) -> tuple[str, tuple[int, int, int, int]]:
    """Paint a sign somewhere, and reserve its box. Returns the word on it and the box."""
    word, sign = random_sign(rng)
    y = int(rng.integers(0, IMAGE_SIZE - sign.shape[0] + 1))
    x = int(rng.integers(0, IMAGE_SIZE - sign.shape[1] + 1))
    window, _ = overlap(sign.shape, y, x)
    table.reserved[window] = True
    _paste(sign, y, x, pixels, rng)
    return word, (y, x, y + sign.shape[0], x + sign.shape[1])


def _paste(sprite: np.ndarray, y: int, x: int, pixels: np.ndarray, rng: np.random.Generator) -> None:
    """Blend uint8 [h, w, 4] into float32 [H, W, 3], in place, with a random change of brightness."""
    window, part = overlap(sprite.shape, y, x)
    brightness = np.float32(rng.uniform(0.86, 1.08))
    color = np.minimum(sprite[part][..., :3] * brightness, 255)  # [h, w, 3]
    alpha = sprite[part][..., 3:] / np.float32(255)  # [h, w, 1]
    pixels[window] += alpha * (color - pixels[window])


def _visible_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
