"""Scenes from a generator that shares nothing with the training's but the toys' pictures and the class `Scene`.

The model's promises are measured on these. They have grounds of their own, drawn in another way, another resampling,
other random numbers; a scene depends on its row and number alone.

Shapes: S side of the picture.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from toybox.scenes import Scene, SceneObject
from toybox.sprites import LABELS, load_sprite

SIDE = 112
MOST_KINDS = 3  # what one prompt of `detect` names at most
_SOLID = 128  # from this alpha on (of 255), a pixel belongs to the toy
_SPRITE_SIDE = 256
_OVERSIZE = 3  # named grounds are drawn three times as large, then made smaller
_TRIES = 100
_REPEAT_CHANCE, _TILT_CHANCE, _MAX_TILT = 0.35, 0.3, 15  # so tilted, a toy of 105 px still fits into the picture


@dataclass(frozen=True)
class Row:
    """What the scenes of one row of the table have.

    Attributes:
        title: how the table says it.
        grounds: keys of NAMED, which captions name, and of UNNAMED.
        sizes: the smallest and the largest side of a toy's square. The toy itself fills about 7/8 of it.
        numbers: the fewest and the most toys.
        outside: how much of the last toy lies outside of the picture, or None: all are inside.
        visible: how much of the first toy the second leaves to be seen, or None: no toy hides another.
    """

    title: str
    grounds: tuple[str, ...]
    sizes: tuple[int, int]
    numbers: tuple[int, int] = (1, 4)
    outside: tuple[float, float] | None = None
    visible: tuple[float, float] | None = None


def draw_outside_scene(row: str, number: int) -> Scene:
    """The scene of that number, 0 or more, in a row of ROWS."""
    rng = np.random.Generator(np.random.MT19937([list(ROWS).index(row), number]))
    wanted = ROWS[row]
    ground = str(rng.choice(wanted.grounds))
    image = NAMED[ground](rng) if ground in NAMED else UNNAMED[ground](rng)
    labels = _choose_labels(rng, int(rng.integers(wanted.numbers[0], wanted.numbers[1] + 1)))
    placed = None
    while placed is None:
        placed = _place_all(rng, labels, wanted)
    owner = np.full((SIDE, SIDE), -1, np.int8)  # [S, S]
    for index, (sprite, corner) in enumerate(placed):
        image.paste(sprite, corner, sprite)
        owner[_solid(sprite, corner)] = index
    things = tuple(SceneObject(label, _box(owner == index)) for index, label in enumerate(labels))
    return Scene(np.array(image), things, owner, ground if ground in NAMED else None)


def _choose_labels(rng: np.random.Generator, number: int) -> list[str]:
    labels: list[str] = []
    while len(labels) < number:
        repeat = labels and (rng.random() < _REPEAT_CHANCE or len(set(labels)) == MOST_KINDS)
        labels.append(str(rng.choice(labels if repeat else LABELS)))
    return labels


def _place_all(
    rng: np.random.Generator, labels: list[str], row: Row
) -> list[tuple[Image.Image, tuple[int, int]]] | None:
    """Each toy's sprite and its corner (x, y); None if there is no room for one of them."""
    placed: list[tuple[Image.Image, tuple[int, int]]] = []
    taken = np.zeros((SIDE, SIDE), bool)  # [S, S]
    for index, label in enumerate(labels):
        sprite = _turned_sprite(rng, label, rng.uniform(*row.sizes))
        leaves = row.outside is not None and index == len(labels) - 1
        hides = row.visible is not None and index == 1
        for _ in range(_TRIES):
            corner = _draw_corner(rng, sprite.size, leaves)
            solid = _solid(sprite, corner)
            lost = 1 - solid.sum() / (np.array(sprite)[..., 3] >= _SOLID).sum()
            still_seen = 1 - (taken & solid).sum() / max(taken.sum(), 1)
            fits = not leaves or row.outside[0] <= lost <= row.outside[1]
            allowed = row.visible[0] <= still_seen <= row.visible[1] if hides else still_seen == 1
            if fits and allowed:
                break
        else:
            return None
        placed.append((sprite, corner))
        taken |= solid
    return placed


def _turned_sprite(rng: np.random.Generator, label: str, size: float) -> Image.Image:
    """A toy, mirrored or not, sometimes tilted, without the transparent margin."""
    sprite = load_sprite(label)
    if rng.random() < 0.5:
        sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < _TILT_CHANCE:
        sprite = sprite.rotate(rng.uniform(-_MAX_TILT, _MAX_TILT), Image.Resampling.BICUBIC, expand=True)
    sprite = sprite.crop(sprite.getchannel("A").getbbox())
    scale = size / _SPRITE_SIDE
    return sprite.resize((round(sprite.width * scale), round(sprite.height * scale)), Image.Resampling.LANCZOS)


def _draw_corner(rng: np.random.Generator, size: tuple[int, int], leaves: bool) -> tuple[int, int]:
    """(x, y): anywhere inside, or beyond one edge or two."""
    reach = [side // 2 if leaves else 0 for side in size]
    x, y = (int(rng.integers(-over, SIDE - side + over + 1)) for side, over in zip(size, reach, strict=True))
    return x, y


def _solid(sprite: Image.Image, corner: tuple[int, int]) -> np.ndarray:
    """bool [S, S]: the pixels of the picture that belong to the toy."""
    alpha = Image.new("L", (SIDE, SIDE))
    alpha.paste(sprite.getchannel("A"), corner)
    return np.array(alpha) >= _SOLID


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    y, x = np.nonzero(mask)
    return int(y.min()), int(x.min()), int(y.max()) + 1, int(x.max()) + 1


# Grounds that captions name. Each begins with the color that the trained ground has on average.


def _grass(rng: np.random.Generator) -> Image.Image:
    image, draw, side = _begin(rng, (149, 189, 71))
    for _ in range(1500):
        x, y, length, lean, shade = rng.uniform((0, 0, 12, -6, -32), (side, side + 20, 30, 6, 32))
        color = tuple(int(value + shade) for value in (149, 189, 71))
        draw.line((x, y, x + lean, y - length), fill=color, width=3)
    return _finish(image)


def _sand(rng: np.random.Generator) -> Image.Image:
    image, draw, side = _begin(rng, (225, 205, 143))
    for y in np.arange(0, side, rng.uniform(20, 36)):
        _wave(draw, rng, y, fill=(210, 186, 120), width=5)
    image = image.filter(ImageFilter.GaussianBlur(4))
    grain = rng.normal(0, 14, (side, side, 1))
    return _finish(Image.fromarray(np.clip(np.array(image) + grain, 0, 255).astype(np.uint8)))


def _snow(rng: np.random.Generator) -> Image.Image:
    image, draw, side = _begin(rng, (236, 242, 250))
    for _ in range(14):
        x, y, width, height = rng.uniform((-40, 0, 60, 15), (side, side, 200, 45))
        draw.ellipse((x, y, x + width, y + height), fill=(196, 212, 238))
    return _finish(image.filter(ImageFilter.GaussianBlur(14)))


def _water(rng: np.random.Generator) -> Image.Image:
    image, draw, side = _begin(rng, (45, 122, 154))
    for y in np.arange(0, side + 10, rng.uniform(11, 16)):
        _wave(draw, rng, y, fill=(96, 180, 198), width=4)
    return _finish(image.filter(ImageFilter.GaussianBlur(1)))


def _sky(rng: np.random.Generator) -> Image.Image:
    image, _, side = _begin(rng, (104, 172, 238))
    clouds = Image.new("L", image.size)
    draw = ImageDraw.Draw(clouds)
    for _ in range(int(rng.integers(4, 8))):
        x, y = rng.uniform(0, side, 2)
        for _ in range(7):
            dx, dy, radius = rng.uniform((-50, -14, 12), (50, 14, 32))
            draw.ellipse((x + dx - radius, y + dy - radius, x + dx + radius, y + dy + radius), fill=235)
    image.paste((248, 250, 253), mask=clouds.filter(ImageFilter.GaussianBlur(7)))
    return _finish(image)


def _night(rng: np.random.Generator) -> Image.Image:
    image, draw, side = _begin(rng, (24, 28, 62))
    for _ in range(70):
        x, y, radius, light = rng.uniform((0, 0, 1.5, 150), (side, side, 2.5, 250))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(int(light), int(light), int(0.9 * light)))
    return _finish(image)


def _begin(rng: np.random.Generator, color: tuple[int, int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """A plain picture of nearly that color, a little lighter or darker below; what draws on it; its side."""
    tint, slope, side = rng.uniform(-8, 8, 3), rng.uniform(-12, 12), SIDE * _OVERSIZE
    rows = np.array(color) + tint + slope * np.linspace(-1, 1, side)[:, None, None]  # [side, 1, 3]
    pixels = np.broadcast_to(np.clip(rows, 0, 255), (side, side, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    return image, ImageDraw.Draw(image), side


def _finish(image: Image.Image) -> Image.Image:
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _wave(draw: ImageDraw.ImageDraw, rng: np.random.Generator, y: float, fill: tuple[int, int, int], width: int):
    x = np.arange(-10, SIDE * _OVERSIZE + 10, 6)
    height, length, phase = rng.uniform((2, 30, 0), (7, 70, 6.3))
    points = np.stack([x, y + height * np.sin(x / length * 6.3 + phase)], axis=-1)  # [points, 2]
    draw.line([tuple(point) for point in points.tolist()], fill=fill, width=width)


# Grounds that captions do not name.


def _plain(rng: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), tuple(rng.integers(0, 256, 3).tolist()))


def _corners(rng: np.random.Generator) -> Image.Image:
    """A gradient between the four corners' colors."""
    corners = Image.fromarray(rng.integers(0, 256, (2, 2, 3), np.uint8))
    return corners.resize((2 * SIDE, 2 * SIDE), Image.Resampling.BILINEAR).crop((SIDE // 2,) * 2 + (3 * SIDE // 2,) * 2)


def _glow(rng: np.random.Generator) -> Image.Image:
    """A gradient from a middle outward."""
    middle, colors = rng.uniform(0, SIDE, 2), rng.uniform(0, 255, (2, 3))
    y, x = np.mgrid[:SIDE, :SIDE]
    level = np.minimum(np.hypot(y - middle[0], x - middle[1]) / SIDE, 1)[..., None]  # [S, S, 1]
    return Image.fromarray((colors[0] * (1 - level) + colors[1] * level).astype(np.uint8))


def _noise(rng: np.random.Generator) -> Image.Image:
    """Specks of one pixel, gray or colored."""
    channels, strength = (1 if rng.random() < 0.5 else 3), rng.uniform(15, 70)
    specks = rng.uniform(-strength, strength, (SIDE, SIDE, channels))
    return Image.fromarray(np.clip(rng.uniform(0, 255, 3) + specks, 0, 255).astype(np.uint8))


def _patches(rng: np.random.Generator) -> Image.Image:
    """Soft spots of some pixels."""
    grid, strength = int(rng.integers(8, 24)), rng.uniform(15, 60)
    spots = rng.uniform(0, 255, 3) + rng.uniform(-strength, strength, (grid, grid, 3))
    image = Image.fromarray(np.clip(spots, 0, 255).astype(np.uint8))
    return image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _stripes(rng: np.random.Generator) -> Image.Image:
    return _two_colors(rng, np.floor(_across(rng)) % 2 == 0)


def _checks(rng: np.random.Generator) -> Image.Image:
    angle, width = rng.uniform(0, np.pi), rng.uniform(8, 26)
    squares = np.floor(_along(angle) / width) + np.floor(_along(angle + np.pi / 2) / width)
    return _two_colors(rng, squares % 2 == 0)


def _across(rng: np.random.Generator) -> np.ndarray:
    """float [S, S]: how many stripes lie between a pixel and the corner."""
    return _along(rng.uniform(0, np.pi)) / rng.uniform(5, 22)


def _along(angle: float) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.cos(angle) * x + np.sin(angle) * y


def _two_colors(rng: np.random.Generator, first: np.ndarray) -> Image.Image:
    """One color where `first` [S, S] is true, another elsewhere."""
    colors = rng.integers(0, 256, (2, 3), np.uint8)
    return Image.fromarray(np.where(first[..., None], colors[0], colors[1]))


NAMED: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "grass": _grass,
    "sand": _sand,
    "snow": _snow,
    "water": _water,
    "sky": _sky,
    "night": _night,
}
UNNAMED: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "plain": _plain,
    "corners": _corners,
    "glow": _glow,
    "noise": _noise,
    "patches": _patches,
    "stripes": _stripes,
    "checks": _checks,
}
_ANY_COLOR = ("plain", "corners", "glow", "noise", "patches")
_MIXED = (*NAMED, "plain", "plain", "plain", "corners", "corners", "glow")  # half of them have a name
ROWS: dict[str, Row] = {
    "near": Row("colors near the trained ones", tuple(NAMED), (26, 56)),
    "any_color": Row("backgrounds of any color, gradient, noise", _ANY_COLOR, (26, 56)),
    "outside": Row("10 to 35 % of a toy outside", _MIXED, (26, 56), (1, 3), outside=(0.10, 0.35)),
    "hidden": Row("40 to 70 % visible behind another", _MIXED, (26, 56), (2, 3), visible=(0.40, 0.70)),
    "small": Row("toys 18 to 22 px", _MIXED, (18, 22)),
    "large": Row("one toy 70 to 105 px", _MIXED, (70, 105), (1, 1)),
    "patterns": Row("stripes and checks", ("stripes", "checks"), (26, 56)),
    "smallest": Row("toys 14 to 18 px", _MIXED, (14, 18)),
}
