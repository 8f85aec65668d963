"""Toys in other colors: the main part is painted anew, and nothing else."""

import numpy as np
import pytest
from PIL import Image

from toybox.colors import COLORS, NATURAL_COLORS, colored_sprite
from toybox.sprites import LABELS, load_sprite

ROUNDING = 6  # of 255: what a picture loses that goes to hues and back
OTHERS = [(label, color) for label in NATURAL_COLORS for color in COLORS if color != NATURAL_COLORS[label]]


def hues(pixels: np.ndarray) -> np.ndarray:
    """uint8 [..., 3] -> hues in degrees."""
    return np.asarray(Image.fromarray(pixels).convert("HSV"))[..., 0] * (360 / 256)


def repainted(label: str, color: str) -> np.ndarray:
    """bool [256, 256]: where the toy itself is seen, and no longer looks as it did."""
    before, after = (np.array(sprite, int) for sprite in (load_sprite(label), colored_sprite(label, color)))
    return (np.abs(before - after)[..., :3].max(-1) > ROUNDING) & (before[..., 3] > 0)


def test_the_kinds_that_come_in_colors_are_toys_and_have_one_of_the_colors():
    assert set(NATURAL_COLORS) <= set(LABELS)
    assert set(NATURAL_COLORS.values()) <= set(COLORS)


@pytest.mark.parametrize(("label", "color"), OTHERS)
def test_what_is_repainted_has_the_new_hue(label, color):
    where = repainted(label, color)
    pixels = np.array(colored_sprite(label, color))[..., :3]
    distance = np.abs((hues(pixels)[where] - COLORS[color] + 180) % 360 - 180)
    assert np.quantile(distance, 0.95) < 6  # red, green and blue are rounded, the more so where it is dark


@pytest.mark.parametrize(("label", "color"), OTHERS)
def test_light_and_shade_stay(label, color):
    """The brightest of red, green and blue: "value", as the hue's color model has it."""
    before, after = load_sprite(label).convert("RGB"), colored_sprite(label, color).convert("RGB")
    values = [np.asarray(picture.convert("HSV"))[..., 2].astype(int) for picture in (before, after)]
    assert np.abs(values[0] - values[1]).max() <= 2


@pytest.mark.parametrize("label", NATURAL_COLORS)
def test_much_of_a_toy_is_repainted_and_the_rest_stays(label):
    color = "green" if NATURAL_COLORS[label] != "green" else "red"
    solid = np.array(load_sprite(label))[..., 3] > 0
    assert 0.15 < repainted(label, color).sum() / solid.sum() < 0.95
    alphas = [np.array(sprite)[..., 3] for sprite in (load_sprite(label), colored_sprite(label, color))]
    assert np.array_equal(*alphas)


@pytest.mark.parametrize("label", ["car", "bus", "rocket"])
@pytest.mark.parametrize("color", ["purple", "green"])
def test_windows_keep_their_blue(label, color):
    before = np.array(load_sprite(label))
    window = (np.abs(hues(before[..., :3]) - 200) < 15) & (before[..., 3] == 255)  # light blue
    assert window.sum() > 400
    assert not repainted(label, color)[window].any()


def test_no_two_colors_of_a_toy_look_alike():
    """Where it is repainted, the mean color of a toy differs by far from that in each other color."""
    for label in NATURAL_COLORS:
        where = np.logical_and.reduce([repainted(label, c) for c in COLORS if c != NATURAL_COLORS[label]])
        means = [np.array(colored_sprite(label, color))[..., :3][where].mean(0) for color in COLORS]
        apart = [np.abs(a - b).max() for index, a in enumerate(means) for b in means[:index]]
        assert min(apart) > 60, (label, min(apart))


def test_a_toy_in_its_own_color_is_its_picture():
    for label in LABELS:
        assert colored_sprite(label, NATURAL_COLORS.get(label)) is load_sprite(label)
        assert colored_sprite(label, None) is load_sprite(label)


@pytest.mark.parametrize(("label", "color"), [("cat", "blue"), ("car", "pink"), ("car", "")])
def test_colors_that_are_not_there_are_named_in_the_error(label, color):
    with pytest.raises(ValueError, match=f"there is no {color} {label}"):
        colored_sprite(label, color)
