"""Occlusion: covers a part of an image to see what changes. Shapes: H W height and width, P side of a cell."""

from collections.abc import Callable

import numpy as np
from PIL import Image

GREY = 128


def cover(image: Image.Image, box: tuple[int, int, int, int], value: int = GREY) -> Image.Image:
    """A copy of the image with a rectangle painted over.

    Args:
        box: (y_min, x_min, y_max, x_max) in pixels, the maxima excluded.
        value: for all channels, 0..255.
    """
    y_min, x_min, y_max, x_max = box
    pixels = np.array(image.convert("RGB"))  # [H, W, 3]
    pixels[y_min:y_max, x_min:x_max] = value
    return Image.fromarray(pixels)


def occlusion_map(
    score: Callable[[list[Image.Image]], np.ndarray], image: Image.Image, stride: int, side: int
) -> np.ndarray:
    """How much the score drops when a square of the image is covered, for each cell of a grid.

    Args:
        score: from images to one number each, such as the log probability of an answer.
        stride: P, side of a cell of the grid, in pixels.
        side: of the square, in pixels; it is centered on the cell.

    Returns:
        [H / P, W / P], rounded up; negative where covering raises the score.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (arXiv 1311.2901), section 4.2.
    """
    width, height = image.size
    grow = (side - stride) // 2
    covered = [
        cover(image, (max(y - grow, 0), max(x - grow, 0), y - grow + side, x - grow + side))
        for y in range(0, height, stride)
        for x in range(0, width, stride)
    ]
    whole, *others = score([image, *covered])
    return (whole - np.array(others)).reshape(-(-height // stride), -(-width // stride))
