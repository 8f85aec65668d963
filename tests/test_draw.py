"""What draw_detections puts on the axes. The picture is not square, so that a swap of x and y shows."""

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from vlm.regions.boxes import Detection
from vlm.regions.draw import PALETTE, draw_detections

HEIGHT, WIDTH = 60, 90
CAT = Detection("cat", (10.0, 20.0, 30.0, 80.0))
DOG = Detection("dog", (40.0, 5.0, 50.0, 15.0))


def draw(*detections, **options):
    return draw_detections(Image.new("RGB", (WIDTH, HEIGHT), "gray"), detections, **options)


def rectangles(ax):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def test_a_box_is_drawn_where_it_is_with_x_and_y_the_right_way_round():
    [rectangle] = rectangles(draw(CAT))
    assert rectangle.get_xy() == (20.0, 10.0)
    assert (rectangle.get_width(), rectangle.get_height()) == (60.0, 20.0)


def test_the_axes_count_pixels_from_the_top_left_corner():
    ax = draw()
    assert ax.get_xlim() == (0, WIDTH)
    assert ax.get_ylim() == (HEIGHT, 0)


def test_the_picture_is_shown_unchanged_and_without_ticks():
    pixels = np.arange(HEIGHT * WIDTH * 3).astype(np.uint8).reshape(HEIGHT, WIDTH, 3)
    image = Image.fromarray(pixels)
    ax = draw_detections(image, [])
    assert np.array_equal(ax.images[0].get_array(), pixels)
    assert list(ax.get_xticks()) == list(ax.get_yticks()) == []


def test_a_grey_picture_is_shown_grey():
    ax = draw_detections(Image.new("L", (2, 2), 100), [])
    assert ax.images[0].get_array().tolist() == [[[100, 100, 100]] * 2] * 2


def test_equal_labels_share_a_colour_and_others_differ():
    ax = draw(CAT, DOG, Detection("cat", (0.0, 0.0, 5.0, 5.0)))
    cat, dog, second_cat = (to_hex(rectangle.get_edgecolor()) for rectangle in rectangles(ax))
    assert cat == second_cat != dog


def test_label_and_box_have_the_same_colour():
    ax = draw(CAT, DOG)
    chips = [to_hex(text.get_bbox_patch().get_facecolor()) for text in ax.texts]
    assert chips == [to_hex(rectangle.get_edgecolor()) for rectangle in rectangles(ax)]
    assert [text.get_text() for text in ax.texts] == ["cat", "dog"]


def test_more_labels_than_colours_begin_the_palette_again():
    ax = draw(*(Detection(str(index), CAT.box) for index in range(len(PALETTE) + 1)))
    colours = [to_hex(rectangle.get_edgecolor()).upper() for rectangle in rectangles(ax)]
    assert colours == [colour for colour, _ in PALETTE] + [PALETTE[0][0]]


@pytest.mark.parametrize(("colour", "text_colour"), PALETTE)
def test_text_on_each_colour_has_the_contrast_that_wcag_asks_for(colour, text_colour):
    def luminance(name):
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(name))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted([luminance(colour), luminance(text_colour)])
    assert (high + 0.05) / (low + 0.05) >= 4.5


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 6, 9),
        (0, 81, 6, 90),
        (54, 0, 60, 9),
        (54, 81, 60, 90),
        (0, 0, 60, 90),
        (20, 40, 40, 50),
        (0, 44, 9, 46),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (3, 2)])
def test_a_chip_stays_inside_the_picture(box, size):
    """At corners, in the middle, around everything; on a figure of the course's size and on a small one."""
    image = Image.new("RGB", (WIDTH * 4, HEIGHT * 4))
    ax = Figure(figsize=(size[0] * 2, size[1] * 2), layout="constrained").subplots()
    draw_detections(image, [Detection("cat", tuple(4.0 * value for value in box))], ax)
    ax.figure.draw_without_rendering()
    chip, picture = ax.texts[0].get_bbox_patch().get_window_extent(), ax.get_window_extent()
    assert picture.x0 - 1 <= chip.x0 < chip.x1 <= picture.x1 + 1
    assert picture.y0 - 1 <= chip.y0 < chip.y1 <= picture.y1 + 1


def test_a_detection_without_a_label_has_a_box_and_no_chip():
    ax = draw(Detection("", CAT.box))
    assert len(rectangles(ax)) == 1
    assert len(ax.texts) == 0


def test_dollar_signs_in_a_label_are_not_read_as_a_formula():
    ax = draw(Detection(r"$\nonsense$", CAT.box))
    ax.figure.draw_without_rendering()
    assert not ax.texts[0].get_parse_math()


def test_given_axes_are_used_and_the_title_is_set():
    ax = Figure().subplots()
    assert draw(CAT, ax=ax, title="one cat") is ax
    assert ax.get_title() == "one cat"


def test_new_axes_have_the_shape_of_the_picture():
    assert draw().figure.get_size_inches().tolist() == pytest.approx([4.0, 4.0 * HEIGHT / WIDTH])


def test_a_mask_is_tinted_where_it_is_and_in_the_colour_of_its_box():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:20, 20:80] = True
    ax = draw(CAT, DOG, masks=[mask, None])
    _, layer = ax.images
    tint = layer.get_array()
    assert layer.get_extent() == [0, WIDTH, HEIGHT, 0]
    assert np.array_equal(tint[..., 3] > 0, mask)
    assert to_hex(tint[15, 50, :3]) == to_hex(rectangles(ax)[0].get_edgecolor())


def test_a_mask_that_fills_the_picture_leaves_the_axes_as_they_are():
    ax = draw(CAT, masks=[np.ones((HEIGHT, WIDTH), bool)])
    assert ax.get_xlim() == (0, WIDTH)
    assert ax.get_ylim() == (HEIGHT, 0)


def test_an_empty_mask_draws_its_box_alone():
    ax = draw(CAT, masks=[np.zeros((HEIGHT, WIDTH), bool)])
    assert len(rectangles(ax)) == 1


def test_there_must_be_as_many_masks_as_detections():
    with pytest.raises(ValueError):
        draw(CAT, DOG, masks=[None])
