"""Boxes and masks as text: PaliGemma writes regions as tokens of its vocabulary, and this file converts both ways.

Pure Python: it knows strings and numbers, and nothing about models, tokenizers or images.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

NUM_LOCATION_BINS = 1024
NUM_MASK_CODES = 128
CODES_PER_MASK = 16

Box = tuple[float, float, float, float]  # (y_min, x_min, y_max, x_max) in pixels, y first, as PaliGemma writes it

_LAST_BIN = NUM_LOCATION_BINS - 1
_LOCATION = re.compile(r"<loc([0-9]*)>")
_MASK_CODE = re.compile(r"<seg([0-9]*)>")
# One item of the answer: a run of location tokens (of any length: they are counted later), mask tokens if the
# prompt was "segment", and a label, which ends at the next ";" or at the next token.
_ITEM = re.compile(r"(?P<run>(?:<loc[0-9]*>\s*)+)(?P<shape>(?:<seg[0-9]*>\s*)*)(?P<label>[^;<>]*)")


@dataclass(frozen=True)
class Detection:
    """One object found in an image: its label, its box and, if it has one, its mask.

    Attributes:
        label: the name the model gave it; "" if it gave none.
        box: (y_min, x_min, y_max, x_max) in pixels of the image, y first, as PaliGemma writes it.
        mask_codes: the 16 codes (0..127) of the mask inside the box, or None if there is no mask.
            `vlm.regions.segmentation` decodes them.
    """

    label: str
    box: Box
    mask_codes: tuple[int, ...] | None = None


def location_token(value: float, size: int) -> str:
    """One coordinate as a token: bin 0 to 1023, with 1023 equal steps between them.

    Both edges are exact: 0 is "<loc0000>" and `size` is "<loc1023>". Values outside the image are
    clipped to its edge.

    Example: 100 of 400 pixels is a quarter; 0.25 * 1023 = 255.75, so "<loc0256>".

    Args:
        value: a y or an x, in pixels.
        size: the image's height for a y, its width for an x, in pixels.

    Raises:
        ValueError: if `size` is less than 1.

    Source: big_vision, whose evaluators divide by 1023 (evaluators/proj/paligemma/transfers/segmentation.py).
    Many programs multiply by 1024 instead: a box then moves by less than a bin, but the right edge of the
    image becomes "<loc1024>", which is not a token.
    """
    _check_size(size)
    fraction = min(max(value / size, 0.0), 1.0)
    return f"<loc{round(fraction * _LAST_BIN):04d}>"


def location_value(bin_index: int, size: int) -> float:
    """A bin as a coordinate in pixels: the inverse of `location_token`, up to half a step.

    Example: bin 1023 of an image 400 pixels wide is 400.0.

    Raises:
        ValueError: if `bin_index` is not in 0..1023, or `size` is less than 1.
    """
    _check_size(size)
    if not 0 <= bin_index <= _LAST_BIN:
        raise ValueError(f"location bin {bin_index} does not exist: bins are numbered 0 to {_LAST_BIN}")
    return bin_index * size / _LAST_BIN


def format_detections(detections: Iterable[Detection], height: int, width: int) -> str:
    """Detections as the text that the model is trained on: "<loc..><loc..><loc..><loc..> cat ; <loc..>... dog".

    The four tokens are y_min, x_min, y_max, x_max. If a detection has a mask, its 16 codes follow, as
    "<seg000>" to "<seg127>". No detections give "".

    Args:
        detections: boxes in pixels of the image; their order is kept.
        height: the image's height in pixels.
        width: the image's width in pixels.

    Raises:
        ValueError: if a label contains ";", "<" or ">", which would end it early when the text is parsed; if a
            mask does not have 16 codes in 0..127.
    """
    return " ; ".join(_format_detection(detection, height, width) for detection in detections)


def parse_detections(text: str, height: int, width: int) -> list[Detection]:
    """Read the boxes and masks in an answer; skip whatever is not a valid box.

    The grammar, where `?` means "optional", `*` means "any number of", and spaces may be missing:

        answer = text? (item ";"?)*
        item   = loc loc loc loc (16 seg)? label?
        loc    = "<loc0000>" ... "<loc1023>"        y_min, x_min, y_max, x_max
        seg    = "<seg000>" ... "<seg127>"          the mask inside the box
        label  = text without ";", "<", ">"

    A model may write anything. If an item has three or five locations in a row, or one that does not exist
    ("<loc1024>", "<loc12>"), there is no telling which box was meant, so the item is skipped. So is one whose
    box is empty: y_max <= y_min or x_max <= x_min. A box whose mask has 15 or 17 codes, or one that does not
    exist, is kept without a mask.

    Example, for an image 1023 pixels high and 2046 wide:

        "<loc0010><loc0020><loc0030><loc0040> cat ; <loc0001><loc0002> dog"
        -> [Detection(label="cat", box=(10.0, 40.0, 30.0, 80.0))]

    Args:
        text: the answer, decoded with its location tokens.
        height: the image's height in pixels.
        width: the image's width in pixels.

    Source: the format is PaliGemma's (arXiv 2407.07726, section 3.2, and big_vision's paligemma README); the
    checks of the box are those of big_vision's evaluators (see `location_token`).
    """
    detections = []
    for item in _ITEM.finditer(text):
        box = _parse_box(_LOCATION.findall(item["run"]), height, width)
        if box is not None:
            codes = _parse_mask_codes(_MASK_CODE.findall(item["shape"]))
            detections.append(Detection(item["label"].strip(), box, codes))
    return detections


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union: the area they share over the area of their union.

    1 for equal boxes, 0 for boxes that do not overlap, and 0 if either is empty.

    Example: (0, 0, 2, 2) and (0, 1, 2, 3) share 2 of 6 square pixels: 1/3.

    Args:
        a: (y_min, x_min, y_max, x_max), in any unit.
        b: the same, in the same unit.
    """
    shared = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    intersection = _area(shared)
    # Two empty boxes have a union of 0: the test avoids dividing by it.
    return intersection / (_area(a) + _area(b) - intersection) if intersection > 0 else 0.0


def _check_size(size: int) -> None:
    if size < 1:
        raise ValueError(f"the image's side is {size} pixels: expected at least 1")


def _format_detection(detection: Detection, height: int, width: int) -> str:
    if set(detection.label) & set(";<>"):
        raise ValueError(f"label {detection.label!r} contains one of ; < >, which separate boxes: rename it")
    sizes = (height, width, height, width)
    locations = "".join(location_token(value, size) for value, size in zip(detection.box, sizes, strict=True))
    return f"{locations}{_format_mask_codes(detection.mask_codes)} {detection.label}".rstrip()


def _format_mask_codes(codes: tuple[int, ...] | None) -> str:
    if codes is None:
        return ""
    if len(codes) != CODES_PER_MASK or not all(0 <= code < NUM_MASK_CODES for code in codes):
        raise ValueError(f"mask codes are {codes}: expected {CODES_PER_MASK} numbers from 0 to {NUM_MASK_CODES - 1}")
    return "".join(f"<seg{code:03d}>" for code in codes)


def _parse_box(digits: list[str], height: int, width: int) -> Box | None:
    """Four strings like "0012" -> a box in pixels, or None if they are not one."""
    bins = [int(text) for text in digits if len(text) == 4 and int(text) <= _LAST_BIN]
    if len(digits) != 4 or len(bins) != 4:
        return None
    y_min, x_min, y_max, x_max = bins
    if y_max <= y_min or x_max <= x_min:
        return None
    return (
        location_value(y_min, height),
        location_value(x_min, width),
        location_value(y_max, height),
        location_value(x_max, width),
    )


def _parse_mask_codes(digits: list[str]) -> tuple[int, ...] | None:
    """Sixteen strings like "012" -> their numbers, or None if they are not a mask."""
    codes = tuple(int(text) for text in digits if len(text) == 3 and int(text) < NUM_MASK_CODES)
    return codes if len(digits) == len(codes) == CODES_PER_MASK else None


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
