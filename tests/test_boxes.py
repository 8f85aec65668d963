"""Boxes to text and back. Pictures are not square, so that a swap of x and y shows."""

import random

import pytest

from vlm.regions.boxes import Detection, box_iou, format_detections, location_token, location_value, parse_detections

# With these sides a bin is one pixel high and two pixels wide: every expected number is exact.
HEIGHT, WIDTH = 1023, 2046
CAT_TEXT = "<loc0010><loc0020><loc0030><loc0040> cat"
CAT = Detection("cat", (10.0, 40.0, 30.0, 80.0))
DOG_TEXT = "<loc0000><loc0000><loc1023><loc1023> dog"
DOG = Detection("dog", (0.0, 0.0, 1023.0, 2046.0))


UNNAMED = Detection("", CAT.box)
LOCATIONS = "<loc0010><loc0020><loc0030><loc0040>"


def parse(text: str) -> list[Detection]:
    return parse_detections(text, HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("value", "size", "token"),
    [
        (0, 400, "<loc0000>"),
        (400, 400, "<loc1023>"),
        (100, 400, "<loc0256>"),
        (1, 1023, "<loc0001>"),
        (1.4, 1023, "<loc0001>"),
        (1.6, 1023, "<loc0002>"),
        (-5, 400, "<loc0000>"),
        (405, 400, "<loc1023>"),
    ],
)
def test_a_coordinate_becomes_the_nearest_of_1024_bins_and_stays_in_the_picture(value, size, token):
    assert location_token(value, size) == token


def test_both_edges_survive_the_way_there_and_back():
    assert location_value(0, 896) == 0.0
    assert location_value(1023, 896) == 896.0


def test_every_bin_comes_back_as_itself():
    for size in (1, 224, 333, 896):
        for index in range(1024):
            assert location_token(location_value(index, size), size) == f"<loc{index:04d}>"


@pytest.mark.parametrize("index", [-1, 1024])
def test_a_bin_that_does_not_exist_is_refused(index):
    with pytest.raises(ValueError, match=f"location bin {index} does not exist"):
        location_value(index, 224)


@pytest.mark.parametrize("size", [0, -3])
def test_a_picture_without_pixels_is_refused(size):
    with pytest.raises(ValueError, match=f"side is {size} pixels"):
        location_token(0, size)
    with pytest.raises(ValueError, match=f"side is {size} pixels"):
        location_value(0, size)


def test_detections_are_written_y_first_and_separated_by_semicolons():
    assert format_detections([CAT, DOG], HEIGHT, WIDTH) == f"{CAT_TEXT} ; {DOG_TEXT}"


def test_no_detections_are_the_empty_text():
    assert format_detections([], HEIGHT, WIDTH) == ""


def test_a_detection_without_a_label_is_its_four_locations():
    assert format_detections([UNNAMED], HEIGHT, WIDTH) == LOCATIONS


@pytest.mark.parametrize("label", ["cat;dog", "<b>", "a>b"])
def test_a_label_that_could_not_be_read_back_is_refused(label):
    with pytest.raises(ValueError, match="rename it"):
        format_detections([Detection(label, CAT.box)], HEIGHT, WIDTH)


def test_detections_survive_the_way_there_and_back_within_half_a_step():
    rng = random.Random(0)
    for _ in range(200):
        height, width = rng.randint(1, 900), rng.randint(1, 900)
        y_min, x_min = rng.uniform(0, 0.9) * height, rng.uniform(0, 0.9) * width
        box = (y_min, x_min, y_min + 0.1 * height, x_min + 0.1 * width)
        text = format_detections([Detection("red box", box)], height, width)
        [back] = parse_detections(text, height, width)
        assert back.label == "red box"
        for value, expected, size in zip(back.box, box, (height, width, height, width), strict=True):
            assert abs(value - expected) <= size / 1023 / 2 + 1e-9


@pytest.mark.parametrize(
    "text",
    [
        f"{CAT_TEXT} ; {DOG_TEXT}",
        f"{CAT_TEXT};{DOG_TEXT}",
        f"{CAT_TEXT}{DOG_TEXT}",
        f"{CAT_TEXT} ; {DOG_TEXT}<eos>",
        f"{CAT_TEXT} ;; {DOG_TEXT} ;",
        f"I see: {CAT_TEXT}\n;\n{DOG_TEXT}\n",
        "<loc0010> <loc0020> <loc0030> <loc0040>cat;<loc0000><loc0000><loc1023><loc1023>dog",
    ],
)
def test_missing_or_extra_text_spaces_and_semicolons_do_not_matter(text):
    assert parse(text) == [CAT, DOG]


@pytest.mark.parametrize(
    "run",
    [
        "<loc0010><loc0020><loc0030>",
        "<loc0010><loc0020><loc0030><loc0040><loc0050>",
        "<loc0010><loc0020><loc0030><loc1024>",
        "<loc0010><loc0020><loc0030><loc0040><loc1024>",
        "<loc0010><loc0020><loc0030><loc12>",
        "<loc0010><loc0020><loc0030><loc00040>",
        "<loc0010><loc0020><loc0030><loc>",
        "<loc0010><loc0020><loc0030><loc-040>",
        "<loc0010><loc0020><loc0030><loc004",
    ],
)
def test_a_malformed_run_is_left_out_and_its_neighbours_stay(run):
    assert parse(f"{CAT_TEXT} ; {run} bird ; {DOG_TEXT}") == [CAT, DOG]


@pytest.mark.parametrize(
    "run",
    [
        "<loc0010><loc0020><loc0010><loc0040>",
        "<loc0010><loc0020><loc0009><loc0040>",
        "<loc0010><loc0020><loc0030><loc0020>",
        "<loc0010><loc0020><loc0030><loc0019>",
    ],
)
def test_an_empty_box_is_left_out(run):
    assert parse(f"{run} bird ; {CAT_TEXT}") == [CAT]


def test_a_box_without_a_label_gets_the_empty_label():
    assert parse(LOCATIONS) == [UNNAMED]
    assert parse(f"{LOCATIONS} ; {CAT_TEXT}") == [UNNAMED, CAT]


@pytest.mark.parametrize("text", ["", "cat ; dog", "<seg001> cat", "<loc>", "loc0001 loc0002"])
def test_text_without_a_box_gives_no_detections(text):
    assert parse(text) == []


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1.0),
        ((0, 0, 2, 2), (0, 1, 2, 3), 1 / 3),
        ((0, 0, 2, 4), (0, 0, 4, 2), 1 / 3),
        ((0, 0, 1, 8), (0, 0, 1, 2), 1 / 4),
        ((0, 0, 4, 4), (1, 1, 2, 2), 1 / 16),
        ((0, 0, 2, 2), (0, 2, 2, 4), 0.0),
        ((0, 0, 1, 1), (5, 5, 6, 6), 0.0),
        ((1, 1, 1, 1), (1, 1, 1, 1), 0.0),
        ((0, 0, 2, 2), (1, 1, 0, 0), 0.0),
    ],
)
def test_iou_is_shared_area_over_covered_area(a, b, iou):
    assert box_iou(a, b) == pytest.approx(iou, abs=1e-12)
    assert box_iou(b, a) == pytest.approx(iou, abs=1e-12)


CODES = tuple(range(100, 116))
SHAPE = "".join(f"<seg{code:03d}>" for code in CODES)
MASKED_CAT = Detection("cat", CAT.box, CODES)


def test_a_mask_is_written_between_the_box_and_the_label():
    assert format_detections([MASKED_CAT], HEIGHT, WIDTH) == f"{LOCATIONS}{SHAPE} cat"


@pytest.mark.parametrize(
    "text", [f"{LOCATIONS}{SHAPE} cat", f"{LOCATIONS} {SHAPE}cat ;", f"a {LOCATIONS}\n{SHAPE} cat<eos>"]
)
def test_a_mask_is_read_with_its_box(text):
    assert parse(text) == [MASKED_CAT]


@pytest.mark.parametrize(
    "shape",
    [
        SHAPE.removesuffix("<seg115>"),
        SHAPE + "<seg000>",
        SHAPE.replace("<seg115>", "<seg128>"),
        SHAPE.replace("<seg115>", "<seg15>"),
        SHAPE.replace("<seg115>", "<seg>"),
    ],
)
def test_a_malformed_mask_is_left_out_and_its_box_stays(shape):
    assert parse(f"{LOCATIONS}{shape} cat ; {LOCATIONS}{SHAPE} cat") == [CAT, MASKED_CAT]


def test_boxes_with_and_without_masks_can_be_mixed():
    assert parse(f"{LOCATIONS}{SHAPE} cat ; {DOG_TEXT}") == [MASKED_CAT, DOG]


@pytest.mark.parametrize("codes", [CODES[:15], (*CODES, 0), (*CODES[:15], 128), (*CODES[:15], -1)])
def test_codes_that_could_not_be_read_back_are_refused(codes):
    with pytest.raises(ValueError, match="expected 16 numbers from 0 to 127"):
        format_detections([Detection("cat", CAT.box, codes)], HEIGHT, WIDTH)
