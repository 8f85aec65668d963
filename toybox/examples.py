"""The shipped images with their ground truth, which stay the same when the world of the Toybox changes.

    scene_0.png    the image
    owner_0.png    gray, 0 where there is no toy, i + 1 where toy i of the image is visible
    truths.json    a line for each image: its toys, its ground, its sign

The first six are from an earlier, smaller Toybox: one to four toys of 26 to 56 pixels on the six named grounds.
`python -m toybox.examples 12` adds scene 12 of the test split, which is never used for training.
"""

import argparse
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from toybox.scenes import Scene, SceneObject, draw_scene
from vlm.checkpoints.atomic_write import write_text

DIRECTORY = Path(__file__).parent / "example_pictures"


def example_path(index: int) -> Path:
    """The PNG file of one example."""
    return DIRECTORY / f"scene_{index}.png"


def example_image(index: int) -> Image.Image:
    """One shipped image, 112 x 112, RGB."""
    return Image.open(example_path(index)).convert("RGB")


@cache
def example_scene(index: int) -> Scene:
    """The same image as a scene, with its ground truth."""
    truth = read_truths()[index]
    objects = [SceneObject(**{**thing, "box": tuple(thing["box"])}) for thing in truth["objects"]]
    with Image.open(DIRECTORY / f"owner_{index}.png") as image:
        owner = np.array(image).astype(np.int8) - 1  # [H, W]
    sign_box = tuple(truth["sign_box"]) if truth["sign_box"] else None
    return Scene(np.array(example_image(index)), tuple(objects), owner, truth["background"], truth["sign"], sign_box)


def read_truths() -> list[dict]:
    """The contents of truths.json, one entry for each image; an empty list if there is no such file."""
    file = DIRECTORY / "truths.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []


def add_example(scene: Scene) -> int:
    """Add a scene to the examples. Returns its index."""
    DIRECTORY.mkdir(exist_ok=True)
    truths = read_truths()
    index = len(truths)
    scene.image.save(example_path(index), optimize=True)
    Image.fromarray((scene.owner + 1).astype(np.uint8)).save(DIRECTORY / f"owner_{index}.png", optimize=True)
    truth = {name: getattr(scene, name) for name in ("background", "sign", "sign_box")}
    truths.append({**truth, "objects": [asdict(thing) for thing in scene.objects]})
    write_text(DIRECTORY / "truths.json", "[\n" + ",\n".join(map(json.dumps, truths)) + "\n]\n")
    return index


def main():
    parser = argparse.ArgumentParser(
        description="Add a scene of the test split, with its ground truth, to the examples."
    )
    parser.add_argument("seed", type=int, help="number of the scene")
    print(example_path(add_example(draw_scene(parser.parse_args().seed, "test"))))


if __name__ == "__main__":
    main()
