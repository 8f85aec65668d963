"""Where toys go: what may lie outside, what may be hidden, and how large they are."""

from dataclasses import dataclass

import numpy as np
import pytest

from toybox import placement
from toybox.grounds import SIDE
from toybox.placement import (
    LARGEST,
    OPAQUE,
    SMALLEST,
    Layout,
    Table,
    draw_layout,
    make_sprite,
    overlap,
)
from toybox.scenes import Scene, draw_scene


@dataclass
class Placed:
    """A toy that was put down: how much of it is inside of the picture, and how much of that is seen."""

    layout: Layout
    is_special: bool
    inside: float
    visible: float
    size: int  # the longer side of its solid part, in pixels


def draw_and_watch(monkeypatch, split: str, seeds: range) -> list[tuple[Scene, list[Placed]]]:
    calls = []
    place = Table.place

    def spy(table, label, color, layout, is_special, rng):
        found = place(table, label, color, layout, is_special, rng)
        if found is not None:
            calls.append((layout, is_special, *found))
        return found

    drawn = []
    with monkeypatch.context() as patch:
        patch.setattr(Table, "place", spy)
        for seed in seeds:
            calls.clear()
            scene = draw_scene(seed, split)
            toys = []
            for index, (layout, is_special, sprite, y, x) in enumerate(calls):
                solid = sprite[..., 3] >= OPAQUE
                padded = np.zeros((3 * SIDE, 3 * SIDE), bool)  # the picture, and as much around it
                padded[y + SIDE : y + SIDE + len(solid), x + SIDE : x + SIDE + solid.shape[1]] = solid
                inside = np.count_nonzero(padded[SIDE : 2 * SIDE, SIDE : 2 * SIDE])
                size = max(np.ptp(np.flatnonzero(solid.any(axis))) + 1 for axis in (0, 1))
                visible = scene.mask(index).sum() / inside
                toys.append(Placed(layout, is_special, inside / solid.sum(), visible, size))
            assert len(toys) == len(scene.objects)
            drawn.append((scene, toys))
    return drawn


@pytest.fixture(scope="module")
def plain() -> list[tuple[Scene, list[Placed]]]:
    with pytest.MonkeyPatch.context() as patch:
        return draw_and_watch(patch, "train", range(450))


@pytest.fixture(scope="module")
def hard() -> list[tuple[Scene, list[Placed]]]:
    with pytest.MonkeyPatch.context() as patch:
        return draw_and_watch(patch, "hard", range(150))


def test_a_toy_lies_outside_only_where_the_layout_says_so_and_then_by_as_much(plain, hard):
    cut = []
    for _, toys in plain + hard:
        for toy in toys:
            if toy.layout.outside and toy.is_special:
                least, most = toy.layout.outside
                assert least <= 1 - toy.inside <= most
                cut.append(1 - toy.inside)
            else:
                assert toy.inside == 1
    assert len(cut) > 40
    assert max(cut) > 0.3


def test_a_toy_is_hidden_only_where_the_layout_says_so_and_then_by_as_much(plain, hard):
    for scenes, expected in ((plain, (0.36, 0.75)), (hard, (0.2, 0.5))):
        hidden, others = [], []
        for _, toys in scenes:
            for index, toy in enumerate(toys):
                is_hidden = toy.layout.visible and index == 0 and len(toys) > 1
                (hidden if is_hidden else others).append(toy.visible)
        assert expected[0] <= min(hidden) < expected[0] + 0.06
        assert expected[1] - 0.06 < max(hidden) <= expected[1]
        assert len(hidden) > 50
        assert min(others) >= 0.75
        assert sum(share < 1 for share in others) > 50  # toys touch, so the line above says something


def test_one_toy_in_ten_scenes_lies_partly_outside_and_another_is_hidden(plain):
    cut = np.mean([any(toy.inside < 1 for toy in toys) for _, toys in plain])
    hidden = np.mean([any(toy.visible < 0.75 for toy in toys) for _, toys in plain])
    assert 0.07 < cut < 0.2
    assert 0.1 < hidden < 0.25


def test_toys_are_small_and_large(plain, hard):
    sizes = [toy.size for _, toys in plain for toy in toys]
    assert min(sizes) < 14 and max(sizes) > 80  # of the toy itself; its square is larger
    small = [toy.layout.sizes for _, toys in hard for toy in toys if toy.layout.sizes[0] == 12]
    assert small and set(small) == {(12, 16)}


@pytest.mark.parametrize("num_toys", range(7))
def test_the_layouts_of_a_number_of_toys_lie_between_the_smallest_and_the_largest(num_toys):
    rng = np.random.default_rng(0)
    layouts = [draw_layout(rng, num_toys) for _ in range(300)]
    assert all(SMALLEST <= layout.sizes[0] < layout.sizes[1] <= LARGEST for layout in layouts)
    assert not any(layout.outside and layout.visible for layout in layouts)
    assert any(layout.outside for layout in layouts)
    assert any(layout.visible for layout in layouts) == (num_toys > 1)
    assert any(layout.sizes[1] == LARGEST for layout in layouts) == (num_toys == 1)


def test_a_full_picture_has_no_place_left_and_one_that_is_nearly_full_a_small_one():
    layout, rng = Layout((40, 60)), np.random.default_rng(0)
    table = Table()
    table.reserved[:] = True
    assert table.place("cat", None, layout, False, rng) is None
    assert table.areas == [] and (table.owner == -1).all()
    table.reserved[30:80, 30:80] = False  # 40 pixels fit, 60 do not
    sprite, y, x = table.place("cat", None, layout, False, rng)
    assert y >= 24 and x >= 24 and max(sprite.shape[:2]) < 60  # the solid part is a little smaller than the sprite
    assert not table.reserved[table.owner == 0].any()


def test_a_toy_so_large_that_it_sticks_out_when_turned_is_made_smaller():
    for seed in range(60):
        table = Table()
        sprite, _, _ = table.place("house", None, Layout((104, LARGEST)), False, np.random.default_rng(seed))
        assert table.areas == [np.count_nonzero(sprite[..., 3] >= OPAQUE)]


def test_the_table_knows_whose_each_pixel_is():
    layout, rng = Layout((30, 50)), np.random.default_rng(1)
    table = Table()
    for number, label in enumerate(("cat", "dog", "fish")):
        before = table.owner.copy()
        sprite, y, x = table.place(label, None, layout, False, rng)
        mine = np.zeros((SIDE, SIDE), bool)
        mine[y : y + len(sprite), x : x + sprite.shape[1]] = sprite[..., 3] >= OPAQUE
        assert (table.owner[mine] == number).all()
        assert np.array_equal(table.owner[~mine], before[~mine])
        assert table.areas[number] == mine.sum()


@pytest.mark.parametrize(
    ("corner", "window", "part"),
    [
        ((10, 20), (10, 30, 20, 50), (0, 20, 0, 30)),
        ((-5, -7), (0, 15, 0, 23), (5, 20, 7, 30)),
        ((100, 105), (100, 112, 105, 112), (0, 12, 0, 7)),
    ],
)
def test_the_overlap_of_a_toy_of_20_by_30_with_the_picture(corner, window, part):
    def slices(top: int, bottom: int, left: int, right: int) -> tuple[slice, slice]:
        return slice(top, bottom), slice(left, right)

    assert overlap((20, 30), *corner) == (slices(*window), slices(*part))


def test_a_sprite_is_flipped_and_turned_as_asked():
    plain, flipped = (make_sprite("bus", None, 40, flip, 0.0) for flip in (False, True))
    assert plain.shape == (40, 40, 4) and plain.dtype == np.uint8
    assert np.array_equal(plain[:, ::-1], flipped)
    turned = make_sprite("bus", None, 40, False, 20.0)
    assert turned.shape[0] > 48 and not turned[[0, 0, -1, -1], [0, -1, 0, -1], 3].any()
    y, x = np.nonzero(turned[..., 3] >= OPAQUE)
    assert np.corrcoef(y, x)[0, 1] < -0.1  # counterclockwise: what is right of the middle goes up
    assert (turned[..., 3] >= OPAQUE).sum() == pytest.approx((plain[..., 3] >= OPAQUE).sum(), rel=0.03)


def test_a_sprite_in_a_color_is_that_toy_in_that_color():
    red, green = (make_sprite("car", color, 40, False, 0.0) for color in ("red", "green"))
    assert np.array_equal(red, make_sprite("car", None, 40, False, 0.0))  # its picture is red
    assert np.array_equal(red[..., 3], green[..., 3])
    solid = red[..., 3] == 255
    assert red[solid][:, 0].mean() > green[solid][:, 0].mean() + 40
    assert green[solid][:, 1].mean() > red[solid][:, 1].mean() + 40


def test_toys_are_turned_by_twenty_degrees_at_most_and_two_fifths_of_them_at_all(monkeypatch):
    tilts, make = [], placement.make_sprite

    def spy(label, color, size, flip, tilt):
        tilts.append(tilt)
        return make(label, color, size, flip, tilt)

    monkeypatch.setattr(placement, "make_sprite", spy)
    for seed in range(150):
        draw_scene(seed)
    assert -20 <= min(tilts) < -17 and 17 < max(tilts) <= 20
    assert 0.3 < np.mean([tilt != 0 for tilt in tilts]) < 0.5
