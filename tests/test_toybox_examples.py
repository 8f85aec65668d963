"""The pictures that ship are scenes of the test split, and the demo's questions suit them."""

import numpy as np
import pytest
from PIL import Image

from toybox import examples
from toybox.demo import PROMPTS
from toybox.examples import DIRECTORY, SEEDS, example_image, example_path, example_scene, write_examples
from toybox.scenes import draw_scene
from toybox.sprites import LABELS, plural

INDICES = range(len(SEEDS))


@pytest.mark.parametrize("index", INDICES)
def test_the_png_file_is_the_test_scene_pixel_for_pixel(index):
    scene = draw_scene(SEEDS[index], "test")
    with Image.open(DIRECTORY / f"scene_{index}.png") as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (112, 112))
        assert np.array_equal(np.asarray(picture), scene.pixels)


@pytest.mark.parametrize("index", INDICES)
def test_image_and_truth_are_of_the_same_scene(index):
    image, scene = example_image(index), example_scene(index)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), scene.pixels)


def test_there_is_a_file_for_each_seed_and_no_other():
    assert sorted(DIRECTORY.iterdir()) == [example_path(index) for index in INDICES]
    assert len(set(SEEDS)) == len(SEEDS)


def test_drawing_them_again_gives_the_same_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "DIRECTORY", tmp_path / "new")
    write_examples()
    for index in INDICES:
        with Image.open(tmp_path / "new" / f"scene_{index}.png") as drawn:
            assert np.array_equal(np.asarray(drawn), example_scene(index).pixels)


@pytest.mark.parametrize("index", PROMPTS)
def test_the_demo_asks_mostly_about_what_is_there(index):
    labels = {thing.label for thing in example_scene(index).objects}
    *questions, detection, segmentation = PROMPTS[index]
    asked = detection.removeprefix("detect ").split(" ; ")
    assert detection.startswith("detect ") and set(asked) == labels
    assert segmentation.removeprefix("segment ") in labels
    words = " ".join(questions).replace("?", "").split()
    assert any(word in words for label in labels for word in (label, plural(label)))
    assert all(label in LABELS for label in asked)
