"""Training examples as files: one line of JSON for each, and the pictures beside them."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from vlm.checkpoints.atomic_write import write_aside, write_text
from vlm.image_processing import to_rgb
from vlm.training.finetune import TrainingExample

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
        image = to_rgb(example.image)
        name = f"images/{picture_key(image)}.png"
        if not (path.parent / name).is_file():
            with write_aside(path.parent / name) as partial:
                image.save(partial, format="PNG")
        lines.append(json.dumps({"image": name, "prompt": example.prompt, "suffix": example.suffix}))
    write_text(path, "".join(f"{line}\n" for line in lines))


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
        except (ValueError, TypeError, OSError, SyntaxError, Image.DecompressionBombError) as error:  # PIL's words
            raise ValueError(f"{path.name}, line {number}: {error}") from None
    return examples


def picture_key(image: Image.Image) -> str:
    """16 characters that depend on the pixels alone: two pictures with the same key are the same."""
    image = to_rgb(image)
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()[:16]


def _read_line(line: str, folder: Path) -> TrainingExample:
    values = json.loads(line)
    if not isinstance(values, dict) or not all(isinstance(values.get(field), str) for field in _FIELDS):
        raise ValueError(f"expected an object with the texts {', '.join(_FIELDS)}")
    place = (folder / values["image"]).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise ValueError(f"the picture {values['image']} is outside the folder")
    with Image.open(place) as image:
        return TrainingExample(to_rgb(image), values["prompt"], values["suffix"])
