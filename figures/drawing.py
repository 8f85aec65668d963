"""Schematics as SVG in one visual language: the same box for the same thing, one color each for image, text and cache.

The text of a drawing can be selected and searched, its colors follow the page's light or dark theme, and on a phone
360 pixels wide its letters are at least 8 pixels high, which is checked while drawing.

Units: one unit is a pixel where the drawing is shown at its own width; sizes and positions are in units, y downward.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain
from math import hypot

import drawsvg
from PIL import ImageFont

WIDTH = 540  # of all drawings: on a phone they shrink to PHONE_WIDTH
PHONE_WIDTH = 328  # what a window of 360 pixels leaves
LEAST_LETTERS = 8  # pixels, on the phone
SIZE, SMALL = 15, 13.5  # of names, and of shapes and remarks
ROLES = ("image", "text", "cache", "plain", "accent", "ghost")
_LINE_HEIGHT = 1.3
_MARGIN = 5  # between a label and the edge of its box
_HEAD = 9  # length of an arrow's head

Point = tuple[float, float]

_STYLE = """
.drawing { margin: 1rem auto; max-width: 620px; }
.drawing svg { display: block; height: auto; width: 100%; }
.drawing text { fill: currentColor; font-family: "Source Sans 3", "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
.drawing .shape { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.drawing .strong { font-weight: 600; }
.drawing .faint { opacity: 0.75; }
.drawing rect, .drawing circle, .drawing path { fill: none; stroke: currentColor; stroke-width: 1.5; }
.drawing .image { --hue: #0081c7; }
.drawing .text { --hue: #d97706; }
.drawing .cache { --hue: #009e73; }
.drawing .accent { --hue: #b4519b; }
.drawing .plain, .drawing .ghost { --hue: #8a8f98; }
.drawing rect.filled, .drawing circle.filled, .drawing path.filled
    { fill: var(--hue); fill-opacity: 0.2; stroke: var(--hue); }
.drawing rect.frame { stroke: var(--hue); stroke-width: 3; }
.drawing rect.ghost, .drawing circle.ghost { fill: none; stroke-dasharray: 4 3; }
.drawing path.line { stroke: var(--hue, currentColor); }
.drawing path.dashed { stroke-dasharray: 4 3; }
.drawing path.head { fill: var(--hue, currentColor); stroke: none; }
.drawing figcaption { color: inherit; font-size: 0.9rem; margin-top: 0.5rem; text-align: left; }
"""


@dataclass(frozen=True)
class Box:
    """Where something was drawn; lines begin and end at the middles of its edges."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> Point:
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> Point:
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self) -> Point:
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> Point:
        return self.x + self.width / 2, self.y + self.height

    @property
    def center(self) -> Point:
        return self.x + self.width / 2, self.y + self.height / 2


class Drawing:
    """A canvas of WIDTH by `height` units.

    Args:
        alt: what the drawing says, for readers who cannot see it.
    """

    def __init__(self, alt: str, height: float):
        self.height = height
        self.svg = drawsvg.Drawing(WIDTH, height, role="img", aria_label=alt)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        label: str = "",
        shape: str = "",
        role: str = "plain",
        radius: float = 4,
    ) -> Box:
        """A rectangle with a name in its middle and, below the name, a shape. "\\n" begins a new line.

        Raises:
            ValueError: if a line does not fit into the box, or the box does not fit into the drawing.
        """
        self._require_inside(x, y, width, height)
        self.svg.append(drawsvg.Rectangle(x, y, width, height, rx=radius, class_=f"filled {_check(role)}"))
        lines = [(line, False) for line in label.split("\n") if line] + [
            (line, True) for line in shape.split("\n") if line
        ]
        heights = [(SMALL if is_shape else SIZE) * _LINE_HEIGHT for _, is_shape in lines]
        if sum(heights) > height:
            raise ValueError(f"{label!r} {shape!r} needs {sum(heights):.0f} units of height, its box has {height}")
        at = y + (height - sum(heights)) / 2
        for (line, is_shape), line_height in zip(lines, heights, strict=True):
            if measure(line, is_shape) > width - 2 * _MARGIN:
                raise ValueError(
                    f"{line!r} needs {measure(line, is_shape):.0f} units, its box has {width - 2 * _MARGIN}"
                )
            self.text(x + width / 2, at + line_height / 2, line, is_shape=is_shape)
            at += line_height
        return Box(x, y, width, height)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        anchor: str = "middle",
        is_shape: bool = False,
        is_strong: bool = False,
        is_faint: bool = False,
        size: float | None = None,
    ):
        """One line, vertically centered at `y`. `anchor` (start, middle or end) says which part of it is at `x`.

        Raises:
            ValueError: if it extends beyond the edge, or its letters are too small on a phone.
        """
        size = size or (SMALL if is_shape else SIZE)
        if size * PHONE_WIDTH / WIDTH < LEAST_LETTERS:
            raise ValueError(f"letters of {size} units would be smaller than {LEAST_LETTERS} pixels on a phone")
        length = measure(text, is_shape, size)
        start = x - length * {"start": 0, "middle": 0.5, "end": 1}[anchor]
        self._require_inside(start, y - size / 2, length, size)
        kinds = [name for name, given in (("shape", is_shape), ("strong", is_strong), ("faint", is_faint)) if given]
        # Not dominant-baseline, which programs interpret differently.
        self.svg.append(
            drawsvg.Text(text, size, x, round(y + 0.34 * size, 1), text_anchor=anchor, class_=" ".join(kinds))
        )

    def arrow(self, *points: Point, role: str | None = None, both: bool = False):
        """A line through the points, with an arrowhead at the last one or at both ends."""
        self.line(*points, role=role)
        self._head(points[-2], points[-1], role)
        if both:
            self._head(points[1], points[0], role)

    def line(self, *points: Point, role: str | None = None, is_dashed: bool = False):
        for x, y in points:
            self._require_inside(x, y, 0, 0)
        kinds = ["line", *([_check(role)] if role else []), *(["dashed"] if is_dashed else [])]
        self.svg.append(drawsvg.Lines(*chain(*points), class_=" ".join(kinds)))

    def circle(self, x: float, y: float, radius: float, label: str = "", role: str = "plain") -> Box:
        """A small circle with a label, such as the + of an addition."""
        self._require_inside(x - radius, y - radius, 2 * radius, 2 * radius)
        self.svg.append(drawsvg.Circle(x, y, radius, class_=f"filled {_check(role)}"))
        if label:
            self.text(x, y, label)
        return Box(x - radius, y - radius, 2 * radius, 2 * radius)

    def outline(self, x: float, y: float, width: float, height: float, role: str = "plain") -> Box:
        """A frame around something already drawn."""
        self._require_inside(x, y, width, height)
        self.svg.append(drawsvg.Rectangle(x, y, width, height, rx=4, class_=f"frame {_check(role)}"))
        return Box(x, y, width, height)

    def outline_circle(self, x: float, y: float, radius: float, role: str = "ghost"):
        self._require_inside(x - radius, y - radius, 2 * radius, 2 * radius)
        self.svg.append(drawsvg.Circle(x, y, radius, class_=_check(role)))

    def strip(self, x: float, y: float, width: float, height: float, fill: float, role: str = "plain") -> Box:
        """A rectangle without a label: part of a vector or a matrix. `fill` in 0..1 is the strength of its color."""
        self._require_inside(x, y, width, height)
        look = {"class_": f"filled {_check(role)}", "style": f"fill-opacity: {0.06 + 0.84 * fill:.2f}"}
        self.svg.append(drawsvg.Rectangle(round(x, 1), round(y, 1), round(width, 1), round(height, 1), **look))
        return Box(x, y, width, height)

    def cells(
        self,
        x: float,
        y: float,
        values: Sequence[Sequence[float]],
        side: float,
        role: str = "plain",
        labels: Sequence[Sequence[str]] | None = None,
    ) -> Box:
        """A matrix as squares of `side` units, row by row; a value in 0..1 is the strength of a cell's color."""
        rows, columns = len(values), len(values[0])
        self._require_inside(x, y, columns * side, rows * side)
        for row, line in enumerate(values):
            for column, value in enumerate(line):
                self.strip(x + column * side, y + row * side, side, side, value, role)
                if labels:
                    self.text(x + (column + 0.5) * side, y + (row + 0.5) * side, labels[row][column], size=SMALL)
        return Box(x, y, columns * side, rows * side)

    def html(self, caption: str = "") -> str:
        """The drawing for a page or a notebook. Its caption states the message first."""
        words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        return f'<figure class="drawing"><style>{_STYLE}</style>{self.svg.as_svg(header="")}{words}</figure>'

    def _head(self, start: Point, end: Point, role: str | None):
        length = hypot(end[0] - start[0], end[1] - start[1])
        x, y = ((end[i] - start[i]) / length for i in (0, 1))  # along the line
        corners = [end]
        for side in (-1, 1):
            corners.append((end[0] - _HEAD * x - side * _HEAD / 2 * y, end[1] - _HEAD * y + side * _HEAD / 2 * x))
        flat = [round(coordinate, 1) for coordinate in chain(*corners)]
        self.svg.append(drawsvg.Lines(*flat, close=True, class_=f"head {_check(role) if role else ''}".strip()))

    def _require_inside(self, x: float, y: float, width: float, height: float):
        if min(x, y) < 0 or x + width > WIDTH or y + height > self.height:
            extent = f"from ({x:.0f}, {y:.0f}) to ({x + width:.0f}, {y + height:.0f})"
            raise ValueError(f"something extends {extent}, outside of the drawing, {WIDTH} x {self.height:.0f}")


def measure(text: str, is_shape: bool = False, size: float | None = None) -> float:
    """Approximate width of a line, in units. Readers' fonts differ, so this assumes a rather wide one."""
    size = size or (SMALL if is_shape else SIZE)
    return 0.61 * size * len(text) if is_shape else float(_FONT.getlength(text)) * size / _FONT.size


def _check(role: str) -> str:
    if role not in ROLES:
        raise ValueError(f"there is no role {role!r}: choose one of {', '.join(ROLES)}")
    return role


_FONT = ImageFont.load_default(50)
