"""The grounds: six that have names, and many that have none."""

from collections import Counter

import numpy as np
import pytest

from toybox import grounds
from toybox.grounds import (
    BACKGROUNDS,
    SIDE,
    add_clutter,
    has_shades_of_a_named_ground,
    paint_ground,
    paint_named,
    paint_photograph,
)

UNNAMED = (grounds._plain, grounds._gradient, grounds._noise, grounds._stripes, grounds._checks, paint_photograph)


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def steps_between_neighbors(pixels: np.ndarray) -> float:
    return float(np.abs(np.diff(pixels, axis=1)).mean() + np.abs(np.diff(pixels, axis=0)).mean())


@pytest.mark.parametrize("painter", UNNAMED)
def test_a_ground_is_a_float_picture_that_repeats_with_its_seed_alone(painter):
    pictures = [painter(rng_of(seed)) for seed in range(20)]
    for picture in pictures:
        assert (picture.dtype, picture.shape) == (np.float32, (SIDE, SIDE, 3))
        assert picture.min() >= 0 and picture.max() <= 255
    assert all(np.array_equal(picture, painter(rng_of(seed))) for seed, picture in enumerate(pictures))
    assert len({picture.tobytes() for picture in pictures}) == 20


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_a_named_ground_has_its_shades_and_is_new_each_time(name):
    pictures = [paint_named(name, rng_of(seed)) for seed in range(20)]
    dark, light = np.array(grounds._SHADES[name], float)
    for picture in pictures:
        assert (picture.dtype, picture.shape) == (np.float32, (SIDE, SIDE, 3))
        assert picture.min() >= 0 and picture.max() <= 255
        mean = picture.mean((0, 1))
        assert (mean > np.minimum(dark, light) - 25).all() and (mean < np.maximum(dark, light) + 25).all()
        assert picture.std((0, 1)).max() > 5  # it has a texture
        without_light = picture - picture.mean(1, keepdims=True)  # which changes from row to row alone
        assert without_light.std() > 3
    assert len({picture.tobytes() for picture in pictures}) == 20


def test_the_named_grounds_can_be_told_apart_by_their_mean_colors():
    means = {name: [paint_named(name, rng_of(s)).mean((0, 1)) for s in range(20)] for name in BACKGROUNDS}
    middles = {name: np.mean(colors, 0) for name, colors in means.items()}
    for name, colors in means.items():
        assert {min(middles, key=lambda m: np.abs(middles[m] - c).sum()) for c in colors} == {name}


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_a_named_ground_has_other_textures_with_the_same_light_and_dark(name):
    own = grounds._texture(name)
    others = [grounds._other_texture(name, rng_of(seed)) for seed in range(60)]
    assert all((level.dtype, level.shape) == (np.float32, (SIDE, SIDE)) for level in others)
    assert abs(np.mean(others) - own.mean()) < 0.08
    assert min(level.std() for level in others) > 0.02
    roughness = [steps_between_neighbors(level) for level in others]
    assert max(roughness) > 1.5 * min(roughness)  # fine and coarse


def test_a_plain_picture_in_the_shade_of_a_named_ground_has_its_shades_and_far_colors_have_not():
    for dark, light in grounds._SHADES.values():
        for color in (dark, light, np.mean([dark, light], 0)):
            assert has_shades_of_a_named_ground(np.full((SIDE, SIDE, 3), color, np.float32))
    for color in ((255, 0, 0), (255, 0, 255), (120, 60, 0), (0, 255, 0)):
        assert not has_shades_of_a_named_ground(np.full((SIDE, SIDE, 3), color, np.float32))


def test_a_texture_without_a_name_keeps_away_from_the_shades_of_those_with_one():
    """Plain colors and gradients may be of any color: they have no texture that one could mistake."""
    rng, near = rng_of(0), Counter()
    for _ in range(800):
        pixels, name = paint_ground(rng)
        if name is None and has_shades_of_a_named_ground(pixels):
            near[float(np.abs(np.diff(pixels, axis=1)).max()) < 5] += 1
    assert near[True] > 10 and near[False] == 0


def test_textures_do_not_depend_on_which_is_asked_for_first():
    def paint_all(names: list[str]) -> dict[str, bytes]:
        grounds._texture.cache_clear()
        return {name: paint_named(name, rng_of(0)).tobytes() for name in names}

    assert paint_all(list(BACKGROUNDS)) == paint_all(list(reversed(BACKGROUNDS)))


def test_painting_on_a_ground_leaves_the_textures_alone():
    before = [paint_named("sand", rng_of(3)), paint_photograph(rng_of(3))]
    for ground in (paint_named("sand", rng_of(3)), paint_photograph(rng_of(3))):
        ground[:] = 0
    after = [paint_named("sand", rng_of(3)), paint_photograph(rng_of(3))]
    assert all(map(np.array_equal, before, after))


def test_half_of_the_grounds_have_names_each_as_often_as_another():
    rng = rng_of(0)
    names = Counter(paint_ground(rng)[1] for _ in range(1000))
    assert set(names) == {None, *BACKGROUNDS}
    assert 430 < names[None] < 570
    assert all(50 < names[name] < 120 for name in BACKGROUNDS)


def test_the_unnamed_grounds_are_of_six_kinds(monkeypatch):
    drawn = Counter()
    for painter in UNNAMED:

        def count(rng, name=painter.__name__):
            drawn[name] += 1
            return np.zeros((SIDE, SIDE, 3), np.float32)

        monkeypatch.setattr(grounds, painter.__name__, count)
    rng = rng_of(0)
    for _ in range(1000):
        paint_ground(rng)
    assert set(drawn) == {painter.__name__ for painter in UNNAMED}
    assert min(drawn.values()) > 30


def test_plain_is_one_color_and_any_color():
    pictures = [grounds._plain(rng_of(seed)) for seed in range(200)]
    assert all((picture == picture[0, 0]).all() for picture in pictures)
    colors = np.array([picture[0, 0] for picture in pictures])
    assert (colors.min(0) < 15).all() and (colors.max(0) > 240).all()


def test_a_gradient_goes_from_one_color_to_another_without_a_step():
    for seed in range(20):
        picture = grounds._gradient(rng_of(seed))
        assert np.abs(np.diff(picture, axis=0)).max() < 5 and np.abs(np.diff(picture, axis=1)).max() < 5
        assert np.ptp(picture, axis=(0, 1)).max() > 15


def test_noise_changes_from_pixel_to_pixel():
    assert all(steps_between_neighbors(grounds._noise(rng_of(seed))) > 10 for seed in range(20))


def test_checks_have_two_colors_and_cross():
    for seed in range(20):
        picture = grounds._checks(rng_of(seed))
        colors = np.unique(picture.reshape(-1, 3), axis=0)
        assert len(colors) == 2
        first = (picture == colors[0]).all(-1)  # the same up to a turn of colors in each row
        assert all((row == first[0]).all() or (row != first[0]).all() for row in first)
        assert 0 < first[0].mean() < 1 and 0 < first[:, 0].mean() < 1


def test_stripes_lie_between_two_colors_and_come_back():
    for seed in range(20):
        picture = grounds._stripes(rng_of(seed)).reshape(-1, 3).astype(float)
        along = picture - picture.mean(0)
        strengths = np.linalg.svd(along, compute_uv=False)
        assert strengths[1] < 0.01 * strengths[0]  # all colors on one line
        level = (along @ np.linalg.svd(along, full_matrices=False)[2][0]).reshape(SIDE, SIDE)
        changes = [np.count_nonzero(np.diff(np.sign(line))) for line in (level[SIDE // 2], level[:, SIDE // 2])]
        assert max(changes) >= 4


def test_photographs_are_smooth_where_noise_is_not_and_have_large_shapes():
    for seed in range(20):
        picture = paint_photograph(rng_of(seed))
        small, large = steps_between_neighbors(picture), steps_between_neighbors(picture[::16, ::16])
        assert small < large
        assert picture.std((0, 1)).max() > 10


def test_clutter_covers_a_little_more_with_each_thing():
    covered = []
    for number in (1, 4, 8):
        areas = []
        for seed in range(40):
            pixels = np.full((SIDE, SIDE, 3), -1, np.float32)
            add_clutter(pixels, number, rng_of(seed))
            is_clutter = (pixels >= 0).all(-1)
            assert (pixels[~is_clutter] == -1).all()
            assert 1 <= len(np.unique(pixels[is_clutter], axis=0)) <= number
            areas.append(is_clutter.mean())
        covered.append(np.mean(areas))
    assert 0.005 < covered[0] < covered[1] < covered[2] < 0.3
