"""The toys' pictures and names, and toys of one's own."""

import numpy as np
import pytest
from PIL import Image

from toybox import sprites
from toybox.scenes import draw_scene
from toybox.sprites import LABELS, load_sprite, plural


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


@pytest.mark.parametrize(
    ("label", "several"),
    [
        *[("cat", "cats"), ("bus", "buses"), ("butterfly", "butterflies"), ("fish", "fish"), ("house", "houses")],
        *[("box", "boxes"), ("bench", "benches"), ("cactus", "cactuses"), ("key", "keys"), ("cherry", "cherries")],
    ],
)
def test_plurals_are_those_of_english(label, several):
    assert plural(label) == several


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
