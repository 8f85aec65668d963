"""A few scenes of the test split as PNG files; `python -m toybox.examples` draws them."""

from functools import cache
from pathlib import Path

from PIL import Image

from toybox.scenes import Scene, draw_scene

DIRECTORY = Path(__file__).parent / "example_pictures"
SEEDS = (29, 37, 7, 18, 30, 25)  # of the test split, which training cannot reach


def example_path(index: int) -> Path:
    """The PNG file of one example."""
    return DIRECTORY / f"scene_{index}.png"


def example_image(index: int) -> Image.Image:
    """One shipped picture, 112 x 112, RGB."""
    return Image.open(example_path(index)).convert("RGB")


@cache
def example_scene(index: int) -> Scene:
    """The same picture with the truth about it."""
    return draw_scene(SEEDS[index], "test")


def write_examples():
    DIRECTORY.mkdir(exist_ok=True)
    for index in range(len(SEEDS)):
        example_scene(index).image.save(example_path(index), optimize=True)


if __name__ == "__main__":
    write_examples()
