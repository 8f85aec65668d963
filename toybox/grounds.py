"""The backgrounds of scenes: six grounds that captions name, and many that they do not.

Shapes: S side of the image, T side of a texture.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

SIDE = 112
BACKGROUNDS: dict[str, str] = {  # name -> its phrase in a caption
    "grass": "on grass",
    "sand": "on sand",
    "snow": "on snow",
    "water": "on water",
    "sky": "in the sky",
    "night": "at night",
}
_NAMED_CHANCE = 0.5
_OTHER_TEXTURE_CHANCE = 0.4  # of a named ground: else the model would know only one drawing of grass
# An unnamed texture must not look like a named ground: it is at least this far from its shades, or has more contrast.
_NEAR_SHADE, _WIDEST_SPREAD = 35.0, 45.0
_TEXTURE_SIZE = 4 * SIDE
_NUM_PHOTOGRAPHS = 8  # textures of hills at all scales


def paint_ground(rng: np.random.Generator) -> tuple[np.ndarray, str | None]:
    """A ground, float32 [S, S, 3] in 0..255, and its name if it has one."""
    if rng.random() < _NAMED_CHANCE:
        name = tuple(BACKGROUNDS)[rng.integers(len(BACKGROUNDS))]
        return paint_named(name, rng), name
    painters = (_plain, _gradient, _noise, _stripes, _checks, paint_photograph)
    painter = painters[rng.choice(len(painters), p=(0.25, 0.2, 0.1, 0.12, 0.12, 0.21))]
    while True:
        pixels = painter(rng)
        if painter in (_plain, _gradient) or not has_shades_of_a_named_ground(pixels):
            return pixels, None


def has_shades_of_a_named_ground(pixels: np.ndarray) -> bool:
    """Whether float32 [S, S, 3] has the colors of a named ground on average, so that it could be mistaken for it."""
    mean, spread = pixels.mean((0, 1)), pixels.std((0, 1)).max()
    if spread > _WIDEST_SPREAD:
        return False
    for dark, light in np.array(list(_SHADES.values()), np.float32):
        share = np.clip((mean - dark) @ (light - dark) / ((light - dark) @ (light - dark)), 0, 1)
        if np.linalg.norm(dark + share * (light - dark) - mean) < _NEAR_SHADE:
            return True
    return False


def paint_named(name: str, rng: np.random.Generator) -> np.ndarray:
    """float32 [S, S, 3]: a texture, colored from one shade of that ground to another.

    Where the texture is 0, the dark shade appears, and where it is 1, the light one. No two images look the same: the
    crop of the texture, or another texture, both shades and the slope of light from top to bottom are random.
    """
    shades = np.array(_SHADES[name], np.float32)  # [2, 3]: dark, light
    shades += rng.normal(0, 5, (2, 3)) + rng.normal(0, 6)  # a tint for each, and one brightness for both
    dark, light = shades.astype(np.float32)
    steepness = np.float32(rng.uniform(-0.35, 0.35))
    slope = steepness * np.linspace(-0.5, 0.5, SIDE, dtype=np.float32)[:, None]
    texture = _other_texture(name, rng) if rng.random() < _OTHER_TEXTURE_CHANCE else _crop(_texture(name), rng)
    level = texture + slope  # [S, S]
    return np.clip(dark + level[..., None] * (light - dark), 0, 255)


def paint_photograph(rng: np.random.Generator) -> np.ndarray:
    """float32 [S, S, 3]: blurred shapes of three colors, the large ones dominating, as in most photographs."""
    colors = rng.uniform(0, 255, (3, 3)).astype(np.float32)
    crops = [_crop(_hills(rng.integers(_NUM_PHOTOGRAPHS)), rng) for _ in range(2)]
    first, second = (np.clip(3 * hills - 1, 0, 1)[..., None] for hills in crops)  # each [S, S, 1]
    return (colors[0] * (1 - first) + colors[1] * first) * (1 - second) + colors[2] * second


def add_clutter(pixels: np.ndarray, number: int, rng: np.random.Generator) -> None:
    """Paint ellipses and rectangles of any color into float32 [S, S, 3], in place: objects without a name."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)  # each [S, S]
    for _ in range(number):
        middle_y, middle_x = rng.uniform(0, SIDE, 2)
        height, width = rng.uniform(3, 14, 2)
        angle = rng.uniform(0, np.pi)
        along = (np.cos(angle) * (x - middle_x) + np.sin(angle) * (y - middle_y)) / width
        across = (np.cos(angle) * (y - middle_y) - np.sin(angle) * (x - middle_x)) / height
        inside = (along**2 + across**2 < 1) if rng.integers(2) else (np.maximum(abs(along), abs(across)) < 1)
        pixels[inside] = rng.uniform(0, 255, 3)


def _plain(rng: np.random.Generator) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), rng.uniform(0, 255, 3), np.float32)


def _gradient(rng: np.random.Generator) -> np.ndarray:
    colors = rng.uniform(0, 255, (2, 3)).astype(np.float32)
    return colors[0] + _ramp(rng)[..., None] * (colors[1] - colors[0])


def _noise(rng: np.random.Generator) -> np.ndarray:
    deviation = rng.uniform(8, 45)
    channels = 3 if rng.integers(2) else 1
    noise = rng.normal(0, deviation, (SIDE, SIDE, channels)).astype(np.float32)
    return np.clip(_plain(rng) + noise, 0, 255)


def _stripes(rng: np.random.Generator) -> np.ndarray:
    colors = _two_colors(rng)
    waves = np.sin(_ramp(rng) * rng.uniform(4, 14) * 2 * np.pi)
    sharpness = 8 if rng.integers(2) else 1
    level = np.clip(0.5 + sharpness * waves / 2, 0, 1)[..., None].astype(np.float32)  # [S, S, 1]
    return colors[0] + level * (colors[1] - colors[0])


def _checks(rng: np.random.Generator) -> np.ndarray:
    colors, width = _two_colors(rng), int(rng.integers(6, 29))
    y, x = np.mgrid[:SIDE, :SIDE] + rng.integers(0, width, 2)[:, None, None]
    return colors[(y // width + x // width) % 2]


def _two_colors(rng: np.random.Generator) -> np.ndarray:
    """float32 [2, 3]; the second may be any color, or one near the first."""
    first, second = rng.uniform(0, 255, (2, 3))
    share = rng.uniform(0.15, 1)
    return np.array([first, first + share * (second - first)], np.float32)


def _ramp(rng: np.random.Generator) -> np.ndarray:
    """float32 [S, S], 0..1 along a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    ramp = np.cos(angle) * x + np.sin(angle) * y
    return ((ramp - ramp.min()) / (ramp.max() - ramp.min())).astype(np.float32)


def _crop(texture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    y, x = rng.integers(0, _TEXTURE_SIZE - SIDE + 1, size=2)
    crop = texture[y : y + SIDE, x : x + SIDE]
    return crop[:, ::-1] if rng.integers(2) else crop


def _other_texture(name: str, rng: np.random.Generator) -> np.ndarray:
    """float32 [S, S]: the ground's own texture, larger or smaller, or another with a similar range of levels."""
    own = _texture(name)
    if rng.random() < 0.4:
        side = int(rng.uniform(SIDE // 2, 2 * SIDE))
        y, x = rng.integers(0, _TEXTURE_SIZE - side + 1, size=2)
        return _resize(own[y : y + side, x : x + side])
    if name == "night":
        return _stars(rng)
    height, width = np.exp(rng.uniform(np.log(3), np.log(60), 2)).astype(int)
    hills = _resize(rng.random((height, width), np.float32)) + rng.uniform(0, 0.3) * rng.random((SIDE, SIDE))
    if rng.random() < 0.4:
        hills = np.sin(_ramp(rng) * rng.uniform(10, 50) + rng.uniform(0, 6) * hills)  # waves, furrows, blades
    hills = (hills - hills.mean()) / hills.std()
    level = own.mean() + rng.uniform(0.4, 1.1) * own.std() * hills
    return (np.clip(level, 0, 1) if name == "sky" else level).astype(np.float32)


def _stars(rng: np.random.Generator) -> np.ndarray:
    """float32 [S, S]: some stars of one to four pixels."""
    level = np.full((SIDE, SIDE), rng.uniform(0, 0.1), np.float32)
    for _ in range(int(rng.integers(20, 90))):
        (y, x), (height, width) = rng.integers(0, SIDE, 2), rng.integers(1, 3, 2)
        level[y : y + height, x : x + width] = rng.uniform(0.4, 1)
    return level


def _resize(values: np.ndarray) -> np.ndarray:
    """float32 [h, w] of any size -> [S, S]."""
    return np.asarray(Image.fromarray(values).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


@cache
def _texture(name: str) -> np.ndarray:
    """float32 [T, T], about 0..1. It has its own seed, so it does not depend on which scene is drawn first."""
    return _TEXTURES[name](np.random.default_rng(list(BACKGROUNDS).index(name))).astype(np.float32)


@cache
def _hills(number: int) -> np.ndarray:
    """float32 [T, T], 0..1: hills on hills on hills."""
    rng = np.random.default_rng(len(BACKGROUNDS) + number)
    hills = sum(_blobs(rng, 6 * 2**octave, 6 * 2**octave) / 2**octave for octave in range(6))
    lowest, highest = np.quantile(hills, (0.02, 0.98))
    return np.clip((hills - lowest) / (highest - lowest), 0, 1).astype(np.float32)


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
# Dark and light, RGB.
_SHADES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "grass": ((106, 154, 44), (194, 224, 96)),
    "sand": ((204, 178, 112), (246, 230, 172)),
    "snow": ((176, 198, 232), (244, 248, 254)),
    "water": ((20, 92, 130), (104, 190, 206)),
    "sky": ((96, 168, 236), (244, 248, 252)),
    "night": ((14, 18, 52), (250, 246, 214)),
}
