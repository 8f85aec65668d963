"""Augmentation: what a camera does to an image, with light, contrast, blur, noise and JPEG compression."""

import io

import numpy as np
from PIL import Image, ImageFilter

_CHANCE = 0.35  # that an image is changed at all
_EACH = 0.5  # of each kind of change, if the image is changed
_BRIGHTNESS, _CONTRAST = (0.75, 1.25), (0.75, 1.2)
_MAX_BLUR = 0.8  # pixels
_MAX_NOISE = 7.0  # of 255
_QUALITY = (45, 90)


def photograph(pixels: np.ndarray, rng: np.random.Generator, always: bool = False) -> np.ndarray:
    """float32 [H, W, 3] in 0..255 -> uint8 of the same shape.

    Args:
        always: consider every image; otherwise 65 % of them are only rounded.
    """
    if not always and rng.random() >= _CHANCE:
        return _to_bytes(pixels)
    light, contrast, blur, noise, jpeg = rng.random(5) < _EACH
    if light:
        pixels = pixels * np.float32(rng.uniform(*_BRIGHTNESS))
    if contrast:
        mean = pixels.mean()
        pixels = mean + (pixels - mean) * np.float32(rng.uniform(*_CONTRAST))
    if noise:
        pixels = pixels + rng.normal(0, rng.uniform(0, _MAX_NOISE), pixels.shape).astype(np.float32)
    image = Image.fromarray(_to_bytes(pixels))
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, _MAX_BLUR)))
    if jpeg:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(rng.integers(*_QUALITY)))
        image = Image.open(file)
    return np.array(image)


def _to_bytes(pixels: np.ndarray) -> np.ndarray:
    return (np.clip(pixels, 0, 255) + 0.5).astype(np.uint8)
