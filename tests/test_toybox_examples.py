"""The pictures that ship, and the truth beside them, which no change of the scenes' generator touches."""

import hashlib
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from toybox import examples
from toybox.colors import NATURAL_COLORS
from toybox.examples import (
    DIRECTORY,
    add_example,
    example_image,
    example_path,
    example_scene,
    main,
    read_truths,
)
from toybox.grounds import BACKGROUNDS
from toybox.prompts import caption
from toybox.scenes import draw_scene
from toybox.signs import WORDS
from toybox.sprites import LABELS

INDICES = range(len(read_truths()))
# The chapters and the demo speak of these pictures: SHA-256 of their pixels, the first 16 digits.
PIXELS = (
    "2e41290f1a83a3ed",
    "dffa3dc5bc4644a3",
    "6b091db1d425cee4",
    "16b4d5a6bf9ec581",
    "59649104a8eb4060",
    "c1bf545bd6d4db34",
    "9ace66d5c6b23352",
    "9070552fe50adfb7",
)
CAPTIONS = (
    "two birds and two cats on grass",
    "a car and two dogs at night",
    "two apples, a clock and a flower on water",
    "two frogs, a rocket and a turtle on snow",
    "a house and a turtle on sand",
    "a frog and a rocket in the sky",
    "a dog and three fish in the sky",
    "a rocket and two trees on sand",
)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Examples in a folder of their own, empty at first."""
    monkeypatch.setattr(examples, "DIRECTORY", tmp_path / "pictures")
    example_scene.cache_clear()
    yield tmp_path / "pictures"
    example_scene.cache_clear()


@pytest.mark.parametrize("index", INDICES)
def test_they_are_the_pictures_that_the_chapters_and_the_demo_speak_of(index):
    pixels = np.asarray(example_image(index))
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == PIXELS[index]
    assert caption(example_scene(index)).suffix == CAPTIONS[index]


@pytest.mark.parametrize("index", INDICES)
def test_image_and_truth_are_of_the_same_scene(index):
    image, scene = example_image(index), example_scene(index)
    with Image.open(example_path(index)) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (112, 112))
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), scene.pixels)


@pytest.mark.parametrize("index", INDICES)
def test_each_box_lies_around_the_pixels_of_its_toy(index):
    scene = example_scene(index)
    assert set(np.unique(scene.owner)) == {-1, *range(len(scene.objects))}
    assert scene.owner.dtype == np.int8
    for number, thing in enumerate(scene.objects):
        rows, columns = np.nonzero(scene.mask(number))
        assert thing.box == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)


@pytest.mark.parametrize("index", INDICES)
def test_the_truth_has_words_of_the_toybox(index):
    scene = example_scene(index)
    assert scene.background in (*BACKGROUNDS, None) and scene.sign in (*WORDS, None)
    assert (scene.sign is None) == (scene.sign_box is None)
    for thing in scene.objects:
        assert thing.label in LABELS
        assert (thing.color is not None) == (thing.label in NATURAL_COLORS)


def test_there_are_two_files_for_each_picture_and_no_other():
    names = {f"{kind}_{index}.png" for kind in ("scene", "owner") for index in INDICES}
    assert {path.name for path in DIRECTORY.iterdir()} == {*names, "truths.json"}


def test_a_scene_that_was_kept_is_read_back_whole(elsewhere):
    kept = [draw_scene(seed, "test") for seed in range(4)]
    kept.append(replace(kept[0], sign="STOP", sign_box=(1, 2, 20, 40), background=None))
    assert [add_example(scene) for scene in kept] == [0, 1, 2, 3, 4]
    for index, scene in enumerate(kept):
        read = example_scene(index)
        assert np.array_equal(read.pixels, scene.pixels) and np.array_equal(read.owner, scene.owner)
        assert (read.objects, read.background) == (scene.objects, scene.background)
        assert (read.sign, read.sign_box) == (scene.sign, scene.sign_box)


def test_the_program_keeps_the_scene_of_that_number(elsewhere, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["examples", "12"])
    main()
    assert capsys.readouterr().out == f"{elsewhere / 'scene_0.png'}\n"
    assert np.array_equal(example_scene(0).pixels, draw_scene(12, "test").pixels)
