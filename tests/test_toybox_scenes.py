"""The Toybox's scenes: always the same for a seed, and true to what they say of themselves."""

from collections import Counter

import numpy as np
import pytest

from toybox import grounds, placement, scenes
from toybox.colors import COLORS, NATURAL_COLORS, colored_sprite
from toybox.grounds import BACKGROUNDS
from toybox.scenes import IMAGE_SIZE, MAX_OBJECTS, MAX_OBJECTS_HARD, SPLITS, Scene, SceneObject, draw_scene
from toybox.signs import WORDS
from toybox.sprites import LABELS, load_sprite


@pytest.fixture(scope="module")
def many() -> list[Scene]:
    return [draw_scene(seed) for seed in range(600)]


@pytest.fixture(scope="module")
def hard() -> list[Scene]:
    return [draw_scene(seed, "hard") for seed in range(300)]


def clear_caches():
    for cached in (load_sprite, colored_sprite, placement._resized, grounds._texture, grounds._hills):
        cached.cache_clear()


def test_scenes_of_the_twenty_are_what_they_were_and_new_toys_come_when_named():
    assert draw_scene(5, "test").pixels.tobytes() == draw_scene(5, "test", LABELS).pixels.tobytes()
    labels = {thing.label for seed in range(20) for thing in draw_scene(seed, "test", ("penguin", "cat")).objects}
    assert labels == {"penguin", "cat"}


def test_a_scene_is_a_picture_of_112_by_112_with_an_owner_map():
    scene = draw_scene(0)
    assert (scene.pixels.dtype, scene.pixels.shape) == (np.uint8, (IMAGE_SIZE, IMAGE_SIZE, 3))
    assert (scene.owner.dtype, scene.owner.shape) == (np.int8, (IMAGE_SIZE, IMAGE_SIZE))
    assert (scene.image.mode, scene.image.size) == ("RGB", (IMAGE_SIZE, IMAGE_SIZE))


@pytest.mark.parametrize("split", SPLITS)
def test_same_seed_same_bytes_in_whatever_order_scenes_are_drawn(split):
    clear_caches()
    forward = [draw_scene(seed, split) for seed in range(30)]
    clear_caches()
    backward = [draw_scene(seed, split) for seed in reversed(range(30))][::-1]
    for first, second in zip(forward, backward, strict=True):
        assert first.pixels.tobytes() == second.pixels.tobytes()
        assert first.owner.tobytes() == second.owner.tobytes()
        assert (first.objects, first.background, first.sign) == (second.objects, second.background, second.sign)


def test_no_picture_comes_twice_in_a_split_or_across_splits():
    pictures = {draw_scene(seed, split).pixels.tobytes() for split in SPLITS for seed in range(100)}
    assert len(pictures) == 100 * len(SPLITS)


def test_an_unknown_split_is_named_in_the_error():
    with pytest.raises(ValueError, match="'training'"):
        draw_scene(0, "training")


def test_a_negative_seed_is_an_error():
    with pytest.raises(ValueError):
        draw_scene(-1)


def test_boxes_are_the_extent_of_the_owner_map(many, hard):
    for scene in many + hard:
        for index, thing in enumerate(scene.objects):
            ys, xs = np.nonzero(scene.mask(index))
            assert thing.box == (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1)


def test_the_owner_map_knows_the_objects_and_the_background_and_nothing_else(many, hard):
    for scene in many + hard:
        assert set(np.unique(scene.owner)) == {-1, *range(len(scene.objects))}


def test_the_mask_of_an_object_that_is_not_there_is_an_error():
    scene = draw_scene(0)
    for index in (-1, len(scene.objects)):
        with pytest.raises(IndexError, match=str(index)):
            scene.mask(index)


def test_there_are_none_to_six_toys_two_most_often(many):
    numbers = Counter(len(scene.objects) for scene in many)
    assert set(numbers) == set(range(MAX_OBJECTS + 1))
    for number, share in enumerate(scenes._NUMBERS):
        assert numbers[number] / len(many) == pytest.approx(share, abs=0.06)
    assert sum(scenes._NUMBERS) == pytest.approx(1)


def test_an_empty_scene_is_ground_alone(many):
    empty = [scene for scene in many if not scene.objects]
    assert len(empty) > 10
    assert all((scene.owner == -1).all() for scene in empty)
    assert {scene.background is None for scene in empty} == {True, False}


def test_a_third_to_a_half_of_pairs_are_twins(many):
    pairs = [scene.objects for scene in many if len(scene.objects) == 2]
    twins = sum(first.label == second.label for first, second in pairs) / len(pairs)
    assert 0.25 < twins < 0.5


def test_all_labels_are_about_equally_common(many, hard):
    for drawn in (many, hard):
        labels = Counter(thing.label for scene in drawn for thing in scene.objects)
        assert set(labels) == set(LABELS)
        assert max(labels.values()) < 3 * min(labels.values())


def test_half_of_the_grounds_are_named_and_of_these_each_as_often_as_another(many):
    backgrounds = Counter(scene.background for scene in many)
    assert set(backgrounds) == {None, *BACKGROUNDS}
    assert 0.42 < backgrounds.pop(None) / len(many) < 0.58
    assert max(backgrounds.values()) < 2 * min(backgrounds.values())


def test_a_label_that_is_named_twice_comes_more_often():
    drawn = [draw_scene(seed, labels=["cat", "cat", "dog"]) for seed in range(60)]
    labels = Counter(thing.label for scene in drawn for thing in scene.objects)
    assert labels["cat"] > 1.3 * labels["dog"]


def test_the_hard_split_has_six_of_a_kind_at_most_and_eight_where_there_is_one_kind_alone():
    counts = [max(Counter(t.label for t in draw_scene(seed, "hard").objects).values()) for seed in range(200)]
    assert 4 <= max(counts) <= MAX_OBJECTS
    assert max(len(draw_scene(seed, "hard", ["cat"]).objects) for seed in range(40)) == MAX_OBJECTS_HARD


def test_kinds_that_come_in_colors_have_one_and_others_none(many):
    natural, drawn = [], Counter()
    for scene in many:
        for thing in scene.objects:
            assert (thing.color is not None) == (thing.label in NATURAL_COLORS)
            if thing.color is not None:
                natural.append(thing.color == NATURAL_COLORS[thing.label])
                drawn[thing.color] += 1
    assert 0.5 < np.mean(natural) < 0.7  # half of them by choice, and a fifth of the others by chance
    assert set(drawn) == set(COLORS)


def test_the_color_that_a_scene_names_is_seen():
    """Of all the colors that a kind comes in, the named one is nearest to its pixels."""
    right = []
    for seed in range(200):
        scene = draw_scene(seed)
        for index, thing in enumerate(scene.objects):
            mask = scene.mask(index)
            if thing.color is None or mask.sum() < 200:
                continue
            means = {}
            for color in COLORS:
                sprite = np.array(colored_sprite(thing.label, color), float)
                means[color] = sprite[sprite[..., 3] > 128][:, :3].mean(0)
            seen = scene.pixels[mask].mean(0)
            # Without what is brightness alone, which the scene and the camera change.
            apart = {color: np.abs((mean - mean.mean()) - (seen - seen.mean())).sum() for color, mean in means.items()}
            right.append(min(apart, key=apart.get) == thing.color)
    assert len(right) > 100
    assert np.mean(right) > 0.85  # parts that are hidden or cut off change the mean


def test_signs_stand_in_scenes_of_up_to_three_toys_and_nothing_lies_on_them(many):
    with_sign = [scene for scene in many if scene.sign is not None]
    assert 0.08 < len(with_sign) / len(many) < 0.18
    assert {scene.sign for scene in with_sign} <= set(WORDS)
    assert {len(scene.objects) for scene in with_sign} == {0, 1, 2, 3}


def test_the_sign_is_seen_whole_and_its_box_is_around_it(monkeypatch):
    put_up, painted = scenes._put_up_sign, []

    def spy(pixels, table, rng):
        before = pixels.copy()
        found = put_up(pixels, table, rng)
        painted.append((before != pixels).any(-1))
        return found

    monkeypatch.setattr(scenes, "_put_up_sign", spy)
    drawn = [draw_scene(seed) for seed in range(200)]
    with_sign = [scene for scene in drawn if scene.sign is not None]
    assert all(scene.sign_box is None for scene in drawn if scene.sign is None)
    assert len(with_sign) == len(painted) > 15
    for scene, where in zip(with_sign, painted):
        y_min, x_min, y_max, x_max = scene.sign_box
        assert where.sum() > 250 and where[y_min:y_max, x_min:x_max].sum() == where.sum()
        assert (scene.owner[y_min:y_max, x_min:x_max] == -1).all()
        rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
        edges = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
        assert np.abs(np.subtract(edges, scene.sign_box)).max() <= 3  # a turned sign has empty corners


def test_nearly_every_object_stands_out_from_its_ground(many):
    """Grounds have any color, so now and then a toy is hard to see; two fifths of its pixels differ clearly, mostly."""
    shares = []
    for scene in many:
        ground = scene.pixels[scene.owner == -1].mean(axis=0)
        for index in range(len(scene.objects)):
            difference = np.abs(scene.pixels[scene.mask(index)] - ground).max(axis=1)
            shares.append((difference > 40).mean())
    assert np.mean(np.array(shares) > 0.4) > 0.98
    assert min(shares) > 0.1


def test_an_object_is_seen_where_the_owner_map_says(monkeypatch):
    """The same scene with no toy pasted shows which pixels the toys changed."""
    monkeypatch.setattr(scenes, "photograph", lambda pixels, rng, always: pixels)
    paste = scenes._paste
    for seed in range(30):
        scene = draw_scene(seed)
        with monkeypatch.context() as patch:
            patch.setattr(scenes, "_paste", lambda sprite, y, x, pixels, rng: rng.uniform())
            bare = draw_scene(seed)
        assert scenes._paste is paste
        if scene.sign is None and scene.objects:
            changed = (np.abs(scene.pixels - bare.pixels) > 0.5).any(axis=-1)
            assert changed[scene.owner >= 0].mean() > 0.95
            assert changed[scene.owner == -1].mean() < 0.05  # the soft rims


def test_center_and_area_of_an_object_are_those_of_its_box():
    thing = SceneObject("cat", (10, 20, 41, 40))
    assert (thing.center, thing.area) == ((25.5, 30.0), 31 * 20)


def test_the_hard_split_is_fuller_and_smaller_and_has_no_named_ground_and_no_sign(many, hard):
    numbers = Counter(len(scene.objects) for scene in hard)
    assert set(numbers) == set(range(1, MAX_OBJECTS_HARD + 1))
    assert all(scene.background is None and scene.sign is None for scene in hard)
    sides = [
        np.array([max(y1 - y0, x1 - x0) for scene in drawn for y0, x0, y1, x1 in (t.box for t in scene.objects)])
        for drawn in (many, hard)
    ]
    assert (sides[1] <= 16).mean() > 3 * (sides[0] <= 16).mean()
    assert sides[1].max() < 50 < 80 < sides[0].max()
