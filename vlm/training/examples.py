"""Training examples as files: one line of JSON per example, and the images beside them."""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from vlm.checkpoints.atomic_write import write_aside, write_text
from vlm.image_processing import to_rgb
from vlm.training.finetune import TrainingExample

_FIELDS = ("image", "prompt", "suffix")
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")  # not all of PIL's: for EPS it runs another program


def write_examples(path: str | Path, examples: Sequence[TrainingExample]):
    """Write a file such as train.jsonl, and its images to `images/` beside it.

    A line is {"image": "images/0123456789abcdef.png", "prompt": "...", "suffix": "..."}. An image is named after a
    hash of its pixels, so an image with several prompts is written once.
    """
    path = Path(path)
    (path.parent / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for example in examples:
        image = to_rgb(example.image)
        name = f"images/{picture_key(image)}.png"
        if not (path.parent / name).is_file():
            with write_aside(path.parent / name) as partial:
                image.save(partial, format="PNG")
        lines.append(json.dumps({"image": name, "prompt": example.prompt, "suffix": example.suffix}))
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_examples(path: str | Path, max_pixels: float = math.inf) -> list[TrainingExample]:
    """Read a file of examples, one JSON object per line. "prefix", big_vision's name for the prompt, works too.

    Args:
        max_pixels: of all images together, which are kept in memory; set it for files that you do not trust.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not an example, or its image is missing, unreadable, too large or outside the folder of
            the file; the message begins with the file and the line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    examples, num_pixels = [], 0
    with open(path, "rb") as file:  # bytes: as text, U+2028 inside a JSON string might count as a line break
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8-sig")
                if text.strip():
                    examples.append(_read_line(text, path.parent, max_pixels - num_pixels))
                    num_pixels += math.prod(examples[-1].image.size)
            except Exception as error:  # PIL raises all kinds of errors for a damaged file
                raise ValueError(f"{path.name}, line {number}: {error}") from None
    return examples


def picture_key(image: Image.Image) -> str:
    """A hash of the size and the pixels, 16 characters: images with the same key are equal."""
    image = to_rgb(image)
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()[:16]


def _read_line(text: str, folder: Path, max_pixels: float) -> TrainingExample:
    values = json.loads(text)
    if isinstance(values, dict) and "prefix" in values:
        if "prompt" in values:
            raise ValueError("prompt and prefix are two names of the same field: give one of them")
        values["prompt"] = values["prefix"]
    if not isinstance(values, dict) or not all(isinstance(values.get(field), str) for field in _FIELDS):
        raise ValueError(f"expected an object with the strings {', '.join(_FIELDS)}")
    path = (folder / values["image"]).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"the image {values['image']!r} is outside the folder")
    if not path.is_file():
        raise FileNotFoundError(f"there is no image {values['image']!r}")
    with Image.open(path, formats=_FORMATS) as image:
        if math.prod(image.size) > max_pixels:
            raise ValueError("the images have too many pixels together: use fewer or smaller ones")
        return TrainingExample(to_rgb(image), values["prompt"], values["suffix"])
