"""The Toybox's scenes: always the same for a seed, and true to what they say of themselves."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from toybox import scenes, sprites
from toybox.scenes import BACKGROUNDS, IMAGE_SIZE, MIN_VISIBLE, SPLITS, Scene, SceneObject, draw_scene
from toybox.sprites import LABELS, load_sprite, plural


@pytest.fixture(scope="module")
def many() -> list[Scene]:
    return [draw_scene(seed) for seed in range(600)]


def clear_caches():
    load_sprite.cache_clear()
    scenes._resized_sprite.cache_clear()
    scenes._texture.cache_clear()


def test_a_picture_of_ones_own_becomes_a_toy(tmp_path, monkeypatch):
    monkeypatch.setattr(sprites, "_ADDED", {})
    picture = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    picture.paste((255, 0, 255, 255), (5, 5, 35, 35))
    picture.save(tmp_path / "mine.png")
    sprites.add_toy("testling", tmp_path / "mine.png")
    scene = draw_scene(3, labels=["testling"])
    assert {thing.label for thing in scene.objects} == {"testling"}
    inside = scene.pixels[scene.mask(0)].astype(int)
    assert np.median(inside[:, 0]) > 200 > 60 > np.median(inside[:, 1])
    with pytest.raises(ValueError, match="'testling' already"):
        sprites.add_toy("testling", tmp_path / "mine.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "solid.png")
    with pytest.raises(ValueError, match="transparent"):
        sprites.add_toy("block", tmp_path / "solid.png")


def test_scenes_of_the_twenty_are_what_they_were_and_new_toys_come_when_named():
    assert draw_scene(5, "test").pixels.tobytes() == draw_scene(5, "test", LABELS).pixels.tobytes()
    labels = {thing.label for seed in range(20) for thing in draw_scene(seed, "test", ("penguin", "cat")).objects}
    assert labels == {"penguin", "cat"}


def test_there_are_twenty_labels_in_alphabetical_order():
    assert len(set(LABELS)) == 20
    assert list(LABELS) == sorted(LABELS)


def test_each_sprite_is_256_pixels_wide_and_high_and_transparent_around_the_toy():
    loaded = {label: load_sprite(label) for label in LABELS}
    assert {(sprite.mode, sprite.size) for sprite in loaded.values()} == {("RGBA", (256, 256))}
    alphas = {label: np.asarray(sprite)[..., 3] for label, sprite in loaded.items()}
    assert [label for label, alpha in alphas.items() if alpha[0, 0] or alpha[-1, -1]] == []
    assert [label for label, alpha in alphas.items() if (alpha == 255).mean() <= 0.2] == []


def test_no_two_sprites_are_the_same_picture():
    assert len({load_sprite(label).tobytes() for label in LABELS}) == len(LABELS)


def test_an_unknown_sprite_is_named_in_the_error():
    with pytest.raises(ValueError, match="unicorn"):
        load_sprite("unicorn")


def test_plurals_are_those_of_english():
    plurals = {"cat": "cats", "bus": "buses", "butterfly": "butterflies", "fish": "fish"}
    assert {label: plural(label) for label in plurals} == plurals


def test_a_scene_is_a_picture_of_112_by_112_with_an_owner_map():
    scene = draw_scene(0)
    assert (scene.pixels.dtype, scene.pixels.shape) == (np.uint8, (IMAGE_SIZE, IMAGE_SIZE, 3))
    assert (scene.owner.dtype, scene.owner.shape) == (np.int8, (IMAGE_SIZE, IMAGE_SIZE))
    assert (scene.image.mode, scene.image.size) == ("RGB", (IMAGE_SIZE, IMAGE_SIZE))


@pytest.mark.parametrize("split", SPLITS)
def test_same_seed_same_bytes_in_whatever_order_scenes_are_drawn(split):
    clear_caches()
    forward = [draw_scene(seed, split) for seed in range(12)]
    clear_caches()
    backward = [draw_scene(seed, split) for seed in reversed(range(12))][::-1]
    for first, second in zip(forward, backward, strict=True):
        assert first.pixels.tobytes() == second.pixels.tobytes()
        assert first.owner.tobytes() == second.owner.tobytes()
        assert (first.objects, first.background) == (second.objects, second.background)


def test_no_picture_comes_twice_in_a_split_or_across_splits():
    pictures = {draw_scene(seed, split).pixels.tobytes() for split in SPLITS for seed in range(100)}
    assert len(pictures) == 100 * len(SPLITS)


def test_an_unknown_split_is_named_in_the_error():
    with pytest.raises(ValueError, match="'training'"):
        draw_scene(0, "training")


def test_boxes_are_the_extent_of_the_owner_map(many):
    for scene in many:
        for index, thing in enumerate(scene.objects):
            ys, xs = np.nonzero(scene.mask(index))
            assert thing.box == (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1)


def test_the_owner_map_knows_the_objects_and_the_background_and_nothing_else(many):
    for scene in many:
        assert set(np.unique(scene.owner)) == {-1, *range(len(scene.objects))}


def test_the_mask_of_an_object_that_is_not_there_is_an_error():
    scene = draw_scene(0)
    for index in (-1, len(scene.objects)):
        with pytest.raises(IndexError, match=str(index)):
            scene.mask(index)


def test_every_object_is_at_least_80_percent_visible(monkeypatch):
    whole_areas = []
    find_place = scenes._find_place

    def spy(label, owner, areas, rng, turn):
        placed = find_place(label, owner, areas, rng, turn)
        whole_areas.append(np.count_nonzero(placed[0][..., 3] >= 128))
        return placed

    monkeypatch.setattr(scenes, "_find_place", spy)
    shares = []
    for seed in range(600):
        whole_areas.clear()
        scene = draw_scene(seed)
        shares += [scene.mask(index).sum() / area for index, area in enumerate(whole_areas)]
    assert min(shares) >= MIN_VISIBLE
    assert sum(share < 1 for share in shares) > 50  # there are overlaps, so the line above says something


def test_an_object_that_fits_nowhere_is_given_up():
    owner = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.int8)
    just_visible_enough = owner.size / MIN_VISIBLE
    assert scenes._find_place("cat", owner, [just_visible_enough], np.random.default_rng(0), 0.0) is None


def test_one_to_four_objects_are_equally_common(many):
    numbers = Counter(len(scene.objects) for scene in many)
    assert set(numbers) == {1, 2, 3, 4}
    assert all(abs(number / len(many) - 1 / 4) < 0.07 for number in numbers.values())


def test_a_third_to_a_half_of_pairs_are_twins(many):
    pairs = [scene.objects for scene in many if len(scene.objects) == 2]
    twins = sum(first.label == second.label for first, second in pairs) / len(pairs)
    assert 0.25 < twins < 0.5


def test_all_labels_and_backgrounds_are_about_equally_common(many):
    labels = Counter(thing.label for scene in many for thing in scene.objects)
    assert set(labels) == set(LABELS)
    assert max(labels.values()) < 3 * min(labels.values())
    backgrounds = Counter(scene.background for scene in many)
    assert set(backgrounds) == set(BACKGROUNDS)
    assert max(backgrounds.values()) < 2 * min(backgrounds.values())


def test_every_object_stands_out_from_its_background(many):
    """Two fifths of its pixels or more differ clearly from the mean colour of the background."""
    for scene in many:
        ground = scene.pixels[scene.owner == -1].mean(axis=0)
        for index in range(len(scene.objects)):
            difference = np.abs(scene.pixels[scene.mask(index)] - ground).max(axis=1)
            assert (difference > 40).mean() > 0.4


def test_an_object_is_seen_where_the_owner_map_says(monkeypatch):
    """The same scene with no toy pasted shows which pixels the toys changed."""
    scene = draw_scene(7)
    monkeypatch.setattr(scenes, "_paste", lambda sprite, window, rng: rng.uniform())
    bare = draw_scene(7)
    changed = (scene.pixels != bare.pixels).any(axis=-1)
    assert changed[scene.owner >= 0].mean() > 0.98
    assert changed[scene.owner == -1].mean() < 0.05  # the soft rims


def test_the_center_of_an_object_is_the_middle_of_its_box():
    assert SceneObject("cat", (10, 20, 41, 40)).center == (25.5, 30.0)


def test_the_hard_split_is_darker_and_brighter_and_turned_but_as_true():
    hard, plain = ([draw_scene(seed, split) for seed in range(300)] for split in ("hard", "test"))

    def brightness(scenes: list[Scene], background: str) -> list[float]:
        return [scene.pixels.mean() for scene in scenes if scene.background == background]

    for background in BACKGROUNDS:
        assert np.std(brightness(hard, background)) > 1.5 * np.std(brightness(plain, background))
    assert {scene.background for scene in hard} == set(BACKGROUNDS)
    for scene in hard:
        for index, thing in enumerate(scene.objects):
            y, x = np.nonzero(scene.mask(index))
            assert thing.box == (y.min(), x.min(), y.max() + 1, x.max() + 1)


def test_toys_of_the_hard_split_are_turned_by_at_most_fifteen_degrees(monkeypatch):
    turns = []
    find_place = scenes._find_place

    def spy(label, owner, areas, rng, turn):
        turns.append(turn)
        return find_place(label, owner, areas, rng, turn)

    monkeypatch.setattr(scenes, "_find_place", spy)
    for seed in range(60):
        draw_scene(seed, "hard")
    assert -15 <= min(turns) < -12 and 12 < max(turns) <= 15
    turns.clear()
    draw_scene(0, "test")
    assert set(turns) == {0.0}
