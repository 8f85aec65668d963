"""Training examples as files: one line of JSON for each, and the pictures beside them."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from vlm.finetune import TrainingExample

_FIELDS = ("image", "prompt", "suffix")


def write_examples(path: str | Path, examples: Sequence[TrainingExample]):
    """Write a file such as train.jsonl, and its pictures into `images/` beside it.

    A line is {"image": "images/0123456789abcdef.png", "prompt": "...", "suffix": "..."}. A picture is named by its
    content, so one that is asked about several times is written once.
    """
    path = Path(path)
    (path.parent / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for example in examples:
        image = example.image.convert("RGB")
        name = f"images/{picture_key(image)}.png"
        if not (path.parent / name).is_file():
            image.save(path.parent / name)
        lines.append(json.dumps({"image": name, "prompt": example.prompt, "suffix": example.suffix}))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_examples(path: str | Path) -> list[TrainingExample]:
    """Read such a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is no example, or its picture is not there, no picture, or outside the file's folder; the
            line is named.
    """
    path = Path(path)
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            examples.append(_read_line(line, path.parent))
        except (ValueError, TypeError, OSError, UnidentifiedImageError) as error:
            raise ValueError(f"{path.name}, line {number}: {error}") from None
    return examples


def picture_key(image: Image.Image) -> str:
    """16 characters that depend on the pixels alone: two pictures with the same key are the same."""
    image = image.convert("RGB")
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()[:16]


def _read_line(line: str, folder: Path) -> TrainingExample:
    values = json.loads(line)
    if not isinstance(values, dict) or not all(isinstance(values.get(field), str) for field in _FIELDS):
        raise ValueError(f"expected an object with the texts {', '.join(_FIELDS)}")
    place = (folder / values["image"]).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise ValueError(f"the picture {values['image']} is outside the folder")
    with Image.open(place) as image:
        return TrainingExample(image.convert("RGB"), values["prompt"], values["suffix"])
