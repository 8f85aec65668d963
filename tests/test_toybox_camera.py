"""The camera: it changes a part of the pictures, always alike for a seed, and never beyond recognition."""

import numpy as np
import pytest

from toybox.camera import photograph


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Smooth colors with a sharp edge, away from black and white: float32 [112, 112, 3]."""
    y, x = np.mgrid[:112, :112].astype(np.float32)
    pixels = np.stack([60 + y, 180 - x, 90 + (x + y) / 4], axis=-1)
    pixels[:, 56:] += 20
    return pixels


def rounded(pixels: np.ndarray) -> np.ndarray:
    return (pixels + 0.5).astype(np.uint8)


@pytest.mark.parametrize("always", [False, True])
def test_the_same_seed_gives_the_same_bytes(picture, always):
    for seed in range(20):
        first, second = (photograph(picture, np.random.default_rng(seed), always) for _ in range(2))
        assert (first.dtype, first.shape) == (np.uint8, picture.shape)
        assert np.array_equal(first, second)


def test_a_third_of_the_pictures_is_changed_and_the_others_are_rounded(picture):
    changed = [not np.array_equal(photograph(picture, np.random.default_rng(s)), rounded(picture)) for s in range(400)]
    assert 0.27 < np.mean(changed) < 0.41


def test_always_means_nearly_always_since_each_change_is_made_half_of_the_time(picture):
    rng = np.random.default_rng(0)
    changed = [not np.array_equal(photograph(picture, rng, always=True), rounded(picture)) for _ in range(200)]
    assert 0.92 < np.mean(changed) < 1  # one in 2 ** 5 is left


def test_the_picture_it_gets_is_left_alone(picture):
    before = picture.copy()
    for seed in range(20):
        photograph(picture, np.random.default_rng(seed), always=True)
    assert np.array_equal(picture, before)


def test_what_comes_out_is_still_that_picture(picture):
    """It is bright and dark where it was, and its light changes by a quarter at most."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        taken = photograph(picture, rng, always=True).astype(float)
        assert np.corrcoef(taken.ravel(), picture.ravel())[0, 1] > 0.9
        assert 0.74 < taken.mean() / picture.mean() < 1.26


def test_bright_and_dark_are_cut_off_not_wrapped_around():
    pixels = np.zeros((8, 8, 3), np.float32)
    pixels[4:] = 255
    rng = np.random.default_rng(0)
    for _ in range(100):
        taken = photograph(pixels, rng, always=True)
        assert taken[:2].mean() < 60 and taken[-2:].mean() > 150


class Strongest:
    """Makes one change of the five, as strong as it may be."""

    def __init__(self, change: int):
        self.change, self.normal = change, np.random.default_rng(3).normal

    def random(self, size: int) -> np.ndarray:
        return np.where(np.arange(size) == self.change, 0.0, 1.0)

    def uniform(self, low: float, high: float) -> float:
        return high

    def integers(self, low: int, high: int) -> int:
        return low


@pytest.mark.parametrize("change", range(5))
def test_each_of_the_five_changes_does_its_own(picture, change):
    taken = photograph(picture, Strongest(change), always=True).astype(float)
    light, contrast = taken.mean() / picture.mean(), taken.std() / picture.std()
    edge = np.abs(taken[:, 56] - taken[:, 55]).mean() / np.abs(picture[:, 56] - picture[:, 55]).mean()
    rows_bend = np.abs(np.diff(taken, 2, axis=0)).mean()  # on smooth colors, this is noise
    differs = np.abs(taken - picture).max()
    if change == 0:
        assert light == pytest.approx(1.25, abs=0.02)
    else:
        assert light == pytest.approx(1, abs=0.01)
    if change == 1:
        assert contrast == pytest.approx(1.2, abs=0.02)
    if change == 2:
        assert edge < 0.6 and rows_bend < 1
    if change == 3:
        assert rows_bend > 10
    if change == 4:
        assert 3 < differs < 30 and contrast == pytest.approx(1, abs=0.01)
