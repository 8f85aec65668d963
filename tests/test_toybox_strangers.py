"""The words for what is not in the Toybox: none means a toy, and those of the tests are never trained on."""

import numpy as np

from toybox.colors import COLORS
from toybox.grounds import BACKGROUNDS
from toybox.prompts import ADJECTIVES, draw_absent_label, number_phrase
from toybox.scenes import draw_scene
from toybox.sprites import LABELS, NEW_TOYS, plural
from toybox.strangers import HEARD, UNHEARD


def test_the_lists_are_disjoint_and_have_no_word_twice():
    assert len(set(HEARD)) == len(HEARD) > 100
    assert len(set(UNHEARD)) == len(UNHEARD) > 40
    assert not set(HEARD) & set(UNHEARD)


def test_no_stranger_is_a_toy_or_another_word_of_the_questions():
    known = {*LABELS, *NEW_TOYS, *map(plural, LABELS), *COLORS, *BACKGROUNDS, *ADJECTIVES}
    assert not known & {*HEARD, *UNHEARD}
    assert not known & {*map(plural, HEARD), *map(plural, UNHEARD)}


def test_strangers_are_single_words_in_small_letters():
    assert [word for word in (*HEARD, *UNHEARD) if not (word.isascii() and word.isalpha() and word.islower())] == []


def test_articles_are_right():
    """Sound decides, not spelling: no "u" that sounds like "you", no silent "h"."""
    words = (*HEARD, *UNHEARD)
    assert [word for word in words if word.startswith(("uni", "use", "eu", "ewe", "hour", "hon"))] == []
    assert number_phrase(1, "umbrella") == "an umbrella"
    assert number_phrase(1, "ostrich") == "an ostrich"
    assert number_phrase(1, "zebra") == "a zebra"


def test_a_third_of_the_absent_things_are_strangers_and_only_heard_ones():
    scene, rng = draw_scene(0), np.random.default_rng(0)
    drawn = [draw_absent_label(scene, rng) for _ in range(3000)]
    strangers = [label for label in drawn if label not in LABELS]
    assert 0.25 < len(strangers) / len(drawn) < 0.35
    assert set(strangers) == set(HEARD)
    assert not {thing.label for thing in scene.objects} & set(drawn)
