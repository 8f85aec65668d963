"""The canvas of the schematics: what does not fit is refused, and text stays text."""

import re
import xml.etree.ElementTree as ET

import pytest

from figures.drawing import LEAST_LETTERS, PHONE_WIDTH, SIZE, SMALL, WIDTH, Drawing, measure


@pytest.fixture
def drawing() -> Drawing:
    return Drawing("what it says", 100)


def elements(drawing: Drawing, tag: str) -> list[ET.Element]:
    svg = ET.fromstring(drawing.svg.as_svg(header=""))
    return [element for element in svg.iter() if element.tag.endswith(f"}}{tag}")]


def test_letters_can_be_read_on_a_phone():
    assert min(SIZE, SMALL) * PHONE_WIDTH / WIDTH >= LEAST_LETTERS


def test_smaller_letters_are_refused(drawing):
    with pytest.raises(ValueError, match="smaller than 8 pixels on a phone"):
        drawing.text(50, 50, "small print", size=9)


@pytest.mark.parametrize(
    "draw",
    [
        lambda d: d.box(500, 10, 60, 20),
        lambda d: d.box(10, 90, 60, 20),
        lambda d: d.text(2, 50, "half of it is outside"),
        lambda d: d.arrow((10, 10), (10, 101)),
        lambda d: d.cells(0, 0, [[0.5] * 30], 20),
        lambda d: d.circle(5, 50, 6),
    ],
)
def test_what_lies_outside_is_refused(drawing, draw):
    with pytest.raises(ValueError, match="outside of the drawing, 540 x 100"):
        draw(drawing)


def test_a_label_that_is_wider_or_higher_than_its_box_is_refused(drawing):
    with pytest.raises(ValueError, match=r"'a rather long label' needs .* units, its box has 50"):
        drawing.box(10, 10, 60, 30, "a rather long label")
    with pytest.raises(ValueError, match="units of height, its box has 30"):
        drawing.box(10, 10, 200, 30, "one\ntwo")


def test_an_unknown_role_is_refused(drawing):
    with pytest.raises(ValueError, match="there is no role 'pink': choose one of image"):
        drawing.box(10, 10, 60, 30, role="pink")


def test_text_stays_text_and_lines_stay_apart(drawing):
    drawing.box(10, 10, 200, 60, "vision <tower>", "[B, N, D]")
    texts = elements(drawing, "text")
    assert [text.text for text in texts] == ["vision <tower>", "[B, N, D]"]
    assert [text.get("class") or "" for text in texts] == ["", "shape"]
    assert float(texts[1].get("y")) - float(texts[0].get("y")) > SMALL


def test_an_arrow_ends_in_a_head_at_its_last_point(drawing):
    drawing.arrow((10, 50), (110, 50), role="image")
    line, head = elements(drawing, "path")
    assert line.get("class") == "line image" and head.get("class") == "head image"
    numbers = [float(number) for number in re.findall(r"[\d.]+", head.get("d"))]
    corners = list(zip(numbers[::2], numbers[1::2], strict=True))
    assert corners[0] == (110, 50)
    assert sorted(corners[1:]) == [(101, 45.5), (101, 54.5)]


def test_an_arrow_in_both_directions_has_two_heads(drawing):
    drawing.arrow((10, 50), (110, 50), both=True)
    assert len(elements(drawing, "path")) == 3


def test_boxes_say_where_lines_begin(drawing):
    box = drawing.box(10, 20, 60, 40)
    assert (box.left, box.right, box.top, box.bottom) == ((10, 40), (70, 40), (40, 20), (40, 60))
    assert box.center == (40, 40)


def test_the_page_has_a_text_alternative_and_a_caption(drawing):
    page = drawing.html("Two < three.")
    assert 'role="img"' in page and 'aria-label="what it says"' in page
    assert "<figcaption>Two &lt; three.</figcaption>" in page
    assert "figcaption" not in drawing.html().partition("</style>")[2]


def test_wide_text_measures_more():
    assert measure("mmmm") > measure("iiii")
    assert measure("[B, N]", is_shape=True) == pytest.approx(6 * 0.61 * SMALL)
