"""Scenes of the Toybox: one to four toys on a background, and the truth about where each of them is.

A scene is drawn from its seed alone: the same seed and split give the same bytes, in whatever order you ask.

Shapes: H W height and width of the picture (both IMAGE_SIZE), h w those of one toy, T the side of a texture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from toybox.sprites import LABELS, load_sprite

IMAGE_SIZE = 112
SPLITS = ("train", "validation", "test", "hard")
BACKGROUNDS: dict[str, str] = {  # name -> how a caption says it
    "grass": "on grass",
    "sand": "on sand",
    "snow": "on snow",
    "water": "on water",
    "sky": "in the sky",
    "night": "at night",
}

MAX_OBJECTS = 4
MIN_VISIBLE = 0.8
_SMALLEST, _LARGEST = 26, 56  # side of a toy's square, in pixels
_REPEAT_CHANCE = 0.35  # that a further toy is of a kind already there: else there is little to count
_OPAQUE = 128  # from this alpha on (of 255), a pixel belongs to the toy
_TEXTURE_SIZE = 4 * IMAGE_SIZE
# Of the "hard" split: degrees either way, and by how much the whole picture is multiplied.
_HARD_TURN = 15.0
_HARD_BRIGHTNESS = (0.6, 1.4)


@dataclass(frozen=True)
class SceneObject:
    """One toy in a scene.

    Attributes:
        label: its kind.
        box: (y_min, x_min, y_max, x_max) in pixels around what is visible of it; the maxima are not included.
    """

    label: str
    box: tuple[int, int, int, int]

    @property
    def center(self) -> tuple[float, float]:
        """(y, x) of the middle of the box, in pixels."""
        y_min, x_min, y_max, x_max = self.box
        return (y_min + y_max) / 2, (x_min + x_max) / 2


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture and what is in it.

    Attributes:
        pixels: uint8 [H, W, 3].
        objects: the toys in the order they were put down: a later one may hide part of an earlier one.
        owner: int8 [H, W], the index in `objects` of the toy seen at each pixel, -1 for the background.
        background: a key of BACKGROUNDS.
    """

    pixels: np.ndarray
    objects: tuple[SceneObject, ...]
    owner: np.ndarray
    background: str

    def mask(self, index: int) -> np.ndarray:
        """Where the toy `objects[index]` is visible: bool [H, W]."""
        if not 0 <= index < len(self.objects):
            raise IndexError(f"no object {index}: the scene has {len(self.objects)}, numbered from 0")
        return self.owner == index

    @property
    def image(self) -> Image.Image:
        """The picture for PIL, RGB."""
        return Image.fromarray(self.pixels)


def draw_scene(seed: int, split: str = "train", labels: Sequence[str] = LABELS) -> Scene:
    """Draw the scene of that number. Scenes of different splits come from different random streams.

    Args:
        seed: 0 or more.
        split: one of SPLITS. The first three have the same distribution. "hard" is never trained on: clouds of light
            and dark in the background's colours instead of its texture, toys turned by up to 15 degrees, and a
            picture that may be much too dark or too bright.
        labels: the kinds to choose from; one that is named twice comes twice as often.

    Raises:
        ValueError: if there is no such split, or the seed is negative.
    """
    if split not in SPLITS:
        raise ValueError(f"there is no split {split!r}: choose one of {', '.join(SPLITS)}")
    rng = np.random.default_rng((SPLITS.index(split), seed))
    background = tuple(BACKGROUNDS)[rng.integers(len(BACKGROUNDS))]
    hard = split == "hard"
    pixels = _paint_background(background, rng, hard)  # [H, W, 3]
    owner = np.full((IMAGE_SIZE, IMAGE_SIZE), -1, np.int8)  # [H, W]

    placed_labels: list[str] = []
    areas: list[int] = []
    for label in _choose_labels(rng, labels):
        turn = float(rng.uniform(-_HARD_TURN, _HARD_TURN)) if hard else 0.0
        placed = _find_place(label, owner, areas, rng, turn)
        if placed is None:
            continue  # no room even for a small one: the scene has a toy less (of 12,000 scenes, none had)
        sprite, window = placed
        _paste(sprite, pixels[window], rng)
        solid = sprite[..., 3] >= _OPAQUE  # [h, w]
        owner[window][solid] = len(placed_labels)
        placed_labels.append(label)
        areas.append(int(solid.sum()))

    objects = tuple(SceneObject(label, _visible_box(owner == index)) for index, label in enumerate(placed_labels))
    if hard:
        pixels = np.clip(pixels * np.float32(rng.uniform(*_HARD_BRIGHTNESS)), 0, 255)  # [H, W, 3]
    return Scene((pixels + 0.5).astype(np.uint8), objects, owner, background)


def _choose_labels(rng: np.random.Generator, labels: Sequence[str]) -> list[str]:
    chosen: list[str] = []
    for _ in range(rng.integers(1, MAX_OBJECTS + 1)):
        choices = chosen if chosen and rng.random() < _REPEAT_CHANCE else labels
        chosen.append(choices[rng.integers(len(choices))])
    return chosen


def _find_place(
    label: str, owner: np.ndarray, areas: list[int], rng: np.random.Generator, turn: float
) -> tuple[np.ndarray, tuple[slice, slice]] | None:
    """A sprite, uint8 [h, w, 4], and a window of the picture where it may be pasted.

    Each toy below must keep MIN_VISIBLE of its area. None if no try succeeds: there are 31 at most.

    Args:
        owner: int8 [H, W], the toys put down so far.
        areas: for each of them, how many pixels it would show if nothing hid it.
        turn: by how many degrees it is turned, counter-clockwise.
    """
    flip = bool(rng.integers(2))
    for largest in range(_LARGEST, _SMALLEST - 1, -1):  # the fuller the picture, the smaller what we try
        size = int(rng.integers(_SMALLEST, largest + 1))
        y, x = rng.integers(0, IMAGE_SIZE - size + 1, size=2)
        sprite = _resized_sprite(label, size, flip)
        if turn:
            sprite = np.array(Image.fromarray(sprite).rotate(turn, Image.Resampling.BICUBIC))
        window = (slice(y, y + size), slice(x, x + size))
        after = owner.copy()
        after[window][sprite[..., 3] >= _OPAQUE] = len(areas)
        if all(np.count_nonzero(after == index) >= MIN_VISIBLE * area for index, area in enumerate(areas)):
            return sprite, window
    return None


@cache
def _resized_sprite(label: str, size: int, flip: bool) -> np.ndarray:
    """uint8 [size, size, 4]. Of the twenty there are 20 x 31 x 2, 9 MB in all, so each is made only once."""
    # PIL weights colours by alpha when it averages them: transparent pixels leave no dark rim.
    sprite = np.array(load_sprite(label).resize((size, size), Image.Resampling.BICUBIC))
    return np.ascontiguousarray(sprite[:, ::-1]) if flip else sprite


def _paste(sprite: np.ndarray, window: np.ndarray, rng: np.random.Generator) -> None:
    """Blend uint8 [h, w, 4] into float32 [h, w, 3], in place, a little brighter or darker than it is."""
    brightness = np.float32(rng.uniform(0.88, 1.08))
    color = np.minimum(sprite[..., :3] * brightness, 255)  # [h, w, 3]
    alpha = sprite[..., 3:] / np.float32(255)  # [h, w, 1]
    window += alpha * (color - window)


def _visible_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _paint_background(name: str, rng: np.random.Generator, hard: bool) -> np.ndarray:
    """float32 [H, W, 3] in 0..255: a crop of the kind's texture, coloured from one shade to another.

    Where the texture is 0 we see the dark shade, where it is 1 the light one. No two pictures look the same:
    the crop, both shades and the slope of light from top to bottom are drawn anew.
    """
    y, x = rng.integers(0, _TEXTURE_SIZE - IMAGE_SIZE + 1, size=2)
    texture = (_clouds() if hard else _texture(name))[y : y + IMAGE_SIZE, x : x + IMAGE_SIZE]  # [H, W]
    if rng.integers(2):
        texture = texture[:, ::-1]
    shades = np.array(_SHADES[name], np.float32)  # [2, 3]: dark, light
    shades += rng.normal(0, 5, (2, 3)) + rng.normal(0, 6)  # a new tint for each, and one brightness for both
    dark, light = shades.astype(np.float32)
    steepness = np.float32(rng.uniform(-0.35, 0.35))
    level = texture + steepness * np.linspace(-0.5, 0.5, IMAGE_SIZE, dtype=np.float32)[:, None]  # [H, W]
    return np.clip(dark + level[..., None] * (light - dark), 0, 255)


@cache
def _texture(name: str) -> np.ndarray:
    """float32 [T, T], about 0..1. Its seed is its own, so it does not depend on which scene asks first."""
    return _TEXTURES[name](np.random.default_rng(list(BACKGROUNDS).index(name))).astype(np.float32)


@cache
def _clouds() -> np.ndarray:
    """float32 [T, T], 0..1: hills on hills on hills, as strong at each scale as it is large, like most photographs."""
    rng = np.random.default_rng(len(BACKGROUNDS))
    hills = sum(_blobs(rng, 4 * 2**octave, 4 * 2**octave) / 2**octave for octave in range(7))
    lowest, highest = hills.min(), hills.max()
    return ((hills - lowest) / (highest - lowest)).astype(np.float32)


def _blobs(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Smooth random hills, [T, T], about 0..1: a height x width grid of random numbers, enlarged."""
    grid = Image.fromarray(rng.random((height, width), np.float32))
    return np.asarray(grid.resize((_TEXTURE_SIZE, _TEXTURE_SIZE), Image.Resampling.BICUBIC))


def _grass(rng: np.random.Generator) -> np.ndarray:
    blades = _blobs(rng, 80, 300)  # hills far higher than wide
    return 0.45 * _blobs(rng, 16, 16) + 0.55 * blades


def _sand(rng: np.random.Generator) -> np.ndarray:
    return 0.55 * _blobs(rng, 20, 12) + 0.45 * rng.random((_TEXTURE_SIZE, _TEXTURE_SIZE))


def _snow(rng: np.random.Generator) -> np.ndarray:
    drifts = _blobs(rng, 20, 10)
    return np.minimum(1.3 * drifts, 1) + 0.1 * rng.random((_TEXTURE_SIZE, _TEXTURE_SIZE))


def _water(rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:_TEXTURE_SIZE, :_TEXTURE_SIZE]  # each [T, T]
    bend = 1.2 * np.sin(x / 5) + 10 * _blobs(rng, 12, 12)
    crests = np.maximum(np.sin(y / 1.8 + bend), 0) ** 3
    return 0.5 * _blobs(rng, 14, 8) + 0.6 * crests


def _sky(rng: np.random.Generator) -> np.ndarray:
    hills = 0.75 * _blobs(rng, 20, 12) + 0.25 * _blobs(rng, 60, 40)
    return np.clip(3 * (hills - 0.5), 0, 1)  # clouds are the upper parts of the hills


def _night(rng: np.random.Generator) -> np.ndarray:
    texture = 0.12 * _blobs(rng, 12, 12)
    y, x = rng.integers(0, _TEXTURE_SIZE, size=(2, 900))
    texture[y, x] = rng.uniform(0.4, 1, size=900)  # stars, one pixel each
    return texture


_TEXTURES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "grass": _grass,
    "sand": _sand,
    "snow": _snow,
    "water": _water,
    "sky": _sky,
    "night": _night,
}
# Dark and light, red-green-blue.
_SHADES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "grass": ((106, 154, 44), (194, 224, 96)),
    "sand": ((204, 178, 112), (246, 230, 172)),
    "snow": ((176, 198, 232), (244, 248, 254)),
    "water": ((20, 92, 130), (104, 190, 206)),
    "sky": ((96, 168, 236), (244, 248, 252)),
    "night": ((14, 18, 52), (250, 246, 214)),
}
