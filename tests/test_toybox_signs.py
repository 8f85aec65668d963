"""The signs: small boards, each with a word that can be told from all others."""

import numpy as np
import pytest
from PIL import Image, ImageFont

from toybox import signs
from toybox.grounds import SIDE
from toybox.signs import LARGEST_SIGN, SMALLEST_SIGN, WORDS, draw_sign, draw_sign_sheet, random_sign

PAINTS = range(len(signs._PAINTS))


def letters(word: str, height: int, paint: int = 0) -> np.ndarray:
    """float [h, w]: 0 where the board is seen, 1 where a letter is, in between on the edges."""
    sign = draw_sign(word, height, paint, tilt=0.0)[..., :3].astype(float)
    board, ink = (np.array(color, float) for color in signs._PAINTS[paint])
    return np.clip((sign - board) @ (ink - board) / ((ink - board) ** 2).sum(), 0, 1)


def test_words_are_distinct_capital_words_in_alphabetical_order():
    assert len(set(WORDS)) == len(WORDS) == 16
    assert list(WORDS) == sorted(WORDS)
    assert all(word.isascii() and word.isalpha() and word.isupper() for word in WORDS)


@pytest.mark.parametrize("height", [SMALLEST_SIGN, LARGEST_SIGN])
def test_every_word_fits_the_picture_however_it_is_turned(height):
    for word in WORDS:
        for tilt in (-signs._MAX_TILT, 0, signs._MAX_TILT):
            assert max(draw_sign(word, height, 0, tilt).shape[:2]) <= SIDE


@pytest.mark.parametrize("height", [SMALLEST_SIGN, LARGEST_SIGN])
def test_all_of_a_word_is_on_its_board(height):
    """A margin without ink runs around the word, up to two pixels as wide on the left as on the right."""
    for word in WORDS:
        ink = letters(word, height)
        rows, columns = np.flatnonzero((ink > 0.2).any(1)), np.flatnonzero((ink > 0.2).any(0))
        margins = columns[0], ink.shape[1] - 1 - columns[-1], rows[0], ink.shape[0] - 1 - rows[-1]
        assert min(margins) >= 2, word
        assert max(abs(margins[0] - margins[1]), abs(margins[2] - margins[3])) <= 2, word


def test_letters_of_the_smallest_sign_are_9_pixels_high_and_stand_out():
    for word in WORDS:
        for paint in PAINTS:
            ink = letters(word, SMALLEST_SIGN, paint)
            assert np.count_nonzero((ink > 0.5).any(1)) >= 9
            assert ink.max() > 0.9
    for board, ink in signs._PAINTS:  # brightness as we see it: green counts most (ITU-R BT.601)
        assert abs(np.dot(np.subtract(board, ink), (0.299, 0.587, 0.114))) > 90


def test_no_two_words_look_alike_on_the_smallest_sign():
    """Words of like width, each laid on each other: a tenth of the ink at least does not match."""
    inks = {word: letters(word, SMALLEST_SIGN) for word in WORDS}
    for word, ink in inks.items():
        for other, its_ink in inks.items():
            if word < other:
                width = max(ink.shape[1], its_ink.shape[1])
                wide = [np.pad(one, ((0, 0), (0, width - one.shape[1]))) for one in (ink, its_ink)]
                assert np.abs(wide[0] - wide[1]).sum() > 0.1 * sum(one.sum() for one in wide), (word, other)


@pytest.mark.parametrize("paint", PAINTS)
def test_the_board_has_its_color_and_is_solid_but_for_its_corners(paint):
    sign = draw_sign("STOP", 20, paint, tilt=0.0)
    assert (sign.dtype, sign.shape[0], sign.shape[2]) == (np.uint8, 20, 4)
    assert sign[10, 1, :3].tolist() == list(signs._PAINTS[paint][0])
    assert (sign[2:-2, 2:-2, 3] == 255).all()
    assert sign[0, 0, 3] < 128


def test_a_turned_sign_is_larger_and_transparent_in_the_corners():
    straight, turned = draw_sign("MUSEUM", 20, 0, 0.0), draw_sign("MUSEUM", 20, 0, 6.0)
    assert turned.shape[0] > straight.shape[0] + 5
    assert not turned[[0, 0, -1, -1], [0, -1, 0, -1], 3].any()
    assert np.isclose((turned[..., 3] > 128).sum(), (straight[..., 3] > 128).sum(), rtol=0.02)


def test_the_font_is_pil_s_own_so_the_signs_need_no_other_file():
    font = signs._font(40)
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert font.getname() == ImageFont.load_default(40).getname() == ("Aileron", "Regular")


def test_random_signs_repeat_with_their_seed_and_have_every_word_and_paint():
    first, second = (random_sign(np.random.default_rng(5)) for _ in range(2))
    assert first[0] == second[0] and np.array_equal(first[1], second[1])
    rng = np.random.default_rng(0)
    drawn = [random_sign(rng) for _ in range(400)]
    assert {word for word, _ in drawn} == set(WORDS)
    boards = {Image.fromarray(sign[..., :3]).getpixel((sign.shape[1] // 2, 2)) for _, sign in drawn}
    assert {board for board, _ in signs._PAINTS} <= boards
    assert {SMALLEST_SIGN, LARGEST_SIGN} <= {len(sign) for _, sign in drawn}


def test_a_sheet_of_signs_repeats_with_its_seed_and_is_another_for_each():
    sheets = [draw_sign_sheet(seed) for seed in range(30)]
    for seed, sheet in enumerate(sheets):
        again = draw_sign_sheet(seed)
        assert (sheet.words, sheet.boxes) == (again.words, again.boxes)
        assert np.array_equal(sheet.pixels, again.pixels)
        assert (sheet.pixels.dtype, sheet.pixels.shape) == (np.uint8, (SIDE, SIDE, 3))
    assert len({sheet.pixels.tobytes() for sheet in sheets}) == 30
    assert {word for sheet in sheets for word in sheet.words} == set(WORDS)
    assert 2 < np.mean([len(sheet.words) for sheet in sheets]) < 7


def test_signs_on_a_sheet_lie_inside_and_not_on_each_other():
    for seed in range(50):
        sheet = draw_sign_sheet(seed)
        assert len(sheet.words) == len(sheet.boxes) >= 1
        taken = np.zeros((SIDE, SIDE), int)
        for y_min, x_min, y_max, x_max in sheet.boxes:
            assert min(y_min, x_min) >= 0 and max(y_max, x_max) <= SIDE
            taken[y_min:y_max, x_min:x_max] += 1
        assert taken.max() == 1


def test_a_sign_is_seen_where_the_sheet_says(monkeypatch):
    monkeypatch.setattr(signs, "photograph", lambda pixels, rng: pixels)
    monkeypatch.setattr(signs, "paint_ground", lambda rng: (np.full((SIDE, SIDE, 3), -9, np.float32), None))
    for seed in range(20):
        sheet = draw_sign_sheet(seed)
        painted = (sheet.pixels > 0).any(-1)
        for y_min, x_min, y_max, x_max in sheet.boxes:
            assert painted[y_min:y_max, x_min:x_max].mean() > 0.6  # a turned sign has empty corners
            painted[y_min:y_max, x_min:x_max] = False
        assert not painted.any()
