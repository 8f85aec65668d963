"""Turns images of any size and mode into the pixel values that the vision tower expects.

Shapes: B batch, C channels (3: red, green, blue), H W height and width.
"""

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

# PaliGemma maps 0..1 to -1..1. These are not the statistics of ImageNet (0.485, 0.456, 0.406 and
# 0.229, 0.224, 0.225), which much other code uses.
IMAGE_MEAN = 0.5
IMAGE_STD = 0.5


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any PIL image to 8-bit RGB, upright.

    The camera's EXIF rotation is applied. Transparent pixels are blended with white. 16-bit grayscale
    (0..65535) is scaled to 8 bits, where PIL would clip it. Palette, grayscale and CMYK
    images are converted.

    Raises:
        TypeError: not a PIL image.
        ValueError: an image without pixels.
    """
    if not isinstance(image, Image.Image):
        raise TypeError(f"images must be PIL images: got {type(image).__name__}; open a file with PIL.Image.open")
    if min(image.size) < 1:
        raise ValueError(f"image is {image.width}x{image.height} pixels: expected at least 1x1")
    image = ImageOps.exif_transpose(image)
    # "I;16" and its variants, and "I", the mode in which PIL opens some 16-bit files
    if image.mode.startswith("I"):
        gray = np.asarray(image).astype(np.float64) / 257  # 65535 / 257 = 255
        image = Image.fromarray(gray.round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def resize(image: Image.Image, image_size: int) -> Image.Image:
    """Resize to a square, ignoring the aspect ratio: bicubic with antialiasing, as the published processor does."""
    return image.resize((image_size, image_size), Image.Resampling.BICUBIC)


def normalize(pixels: np.ndarray) -> Tensor:
    """Bytes [..., H, W, C] in 0..255 -> float32 [..., C, H, W] in -1..1."""
    values = torch.from_numpy(np.array(pixels, dtype=np.float32)) / 255  # [..., H, W, C]
    return ((values - IMAGE_MEAN) / IMAGE_STD).movedim(-1, -3)  # [..., C, H, W]


def process_images(images: list[Image.Image], image_size: int) -> Tensor:
    """Any PIL images -> pixel_values [B, C, image_size, image_size], in -1..1."""
    return torch.stack([normalize(np.asarray(resize(to_rgb(image), image_size))) for image in images])
