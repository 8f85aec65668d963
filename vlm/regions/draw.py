"""Draw what the model found: boxes and labels around things, and numbers laid over patches."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image

from vlm.regions.boxes import Detection

# The colours of Okabe and Ito ("Color Universal Design", 2008), which colour-blind readers can tell apart,
# each with the colour that can be read on it. Their eighth, black, is left out: it vanishes on dark pictures.
PALETTE = (
    ("#E69F00", "black"),  # orange
    ("#56B4E9", "black"),  # sky blue
    ("#009E73", "black"),  # green
    ("#F0E442", "black"),  # yellow
    ("#0072B2", "white"),  # blue
    ("#D55E00", "black"),  # vermilion
    ("#CC79A7", "black"),  # purple
)

_FIGURE_INCHES = 4.0
_SHORTEST_SIDE_INCHES = 0.5  # of a figure, however narrow the picture
_LINE_WIDTH = 2.0
_MASK_OPACITY = 0.45
_CHIP_POINTS = 9.0
_CHIP_PADDING = 2.0
# How near to the edge, as a part of the picture's height, a box leaves no room for a chip beside it.
_CHIP_ROOM = 0.15


def draw_detections(
    image: Image.Image,
    detections: Sequence[Detection],
    ax: Axes | None = None,
    title: str | None = None,
    masks: Sequence[np.ndarray | None] | None = None,
) -> Axes:
    """Show a picture with the boxes and masks found in it; things with the same label have the same colour.

    One unit of the axes is one pixel: (0, 0) is the picture's top left corner, (width, height) its
    bottom right.

    Args:
        image: any mode that matplotlib shows (RGB, RGBA, L).
        detections: boxes in pixels of `image`. More than seven different labels share colours.
        ax: where to draw; if None, a new figure, 4 inches on its longer side. The caller shows or saves it:
            `draw_detections(image, found).figure.savefig("found.png")`.
        title: a line above the picture.
        masks: for each detection bool [H, W], H W height and width of the picture, or None
            (`vlm.regions.segmentation.decode_masks`).

    Returns:
        The axes drawn on.
    """
    width, height = image.size
    if ax is None:
        scale = _FIGURE_INCHES / max(width, height)
        sides = [max(side * scale, _SHORTEST_SIDE_INCHES) for side in image.size]
        ax = Figure(figsize=sides, layout="constrained").subplots()
    # Without an extent the first pixel's centre would be (0, 0), and all boxes half a pixel off.
    ax.imshow(image.convert("RGB"), extent=(0, width, height, 0), interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.autoscale(False)  # an outline at the picture's edge does not widen the view
    if title is not None:
        ax.set_title(title)
    labels = list(dict.fromkeys(detection.label for detection in detections))
    for detection, mask in zip(detections, masks or [None] * len(detections), strict=True):
        colours = PALETTE[labels.index(detection.label) % len(PALETTE)]
        if mask is not None:
            _draw_mask(ax, mask, colours)
        _draw_box(ax, detection, colours)
        if detection.label:
            _draw_chip(ax, detection, colours, height, width)
    return ax


def draw_patch_values(
    image: Image.Image, values: Sequence[float], ax: Axes, title: str | None = None, vmax: float | None = None
) -> AxesImage:
    """Show a picture in grey with one number laid over each of its patches: attention, similarity, error.

    Args:
        image: the picture; its patches form a square grid, in reading order.
        values: one number for each patch, [N], N a square; 0 is dark, `vmax` (the largest, if None) bright.
        ax: where to draw.

    Returns:
        The coloured layer, for a colour bar.

    Raises:
        ValueError: if N is not a square number.
    """
    side = math.isqrt(len(values))
    if side * side != len(values):
        raise ValueError(f"{len(values)} values do not fill a square grid of patches")
    rows = [[float(value) for value in values[start : start + side]] for start in range(0, len(values), side)]
    width, height = image.size
    extent = (0, width, height, 0)
    ax.imshow(image.convert("L"), cmap="gray", extent=extent, vmin=0, vmax=255)
    layer = ax.imshow(rows, cmap="viridis", alpha=0.65, extent=extent, vmin=0, vmax=vmax, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    if title is not None:
        ax.set_title(title)
    return layer


def _draw_mask(ax: Axes, mask: np.ndarray, colours: tuple[str, str]) -> None:
    """Tint what is inside, and draw the outline: a tint alone is lost on a thing of its own colour."""
    colour, contrast = colours
    height, width = mask.shape
    tint = np.zeros((height, width, 4))  # [H, W, 4], red-green-blue and how opaque
    tint[mask] = (*to_rgb(colour), _MASK_OPACITY)
    ax.imshow(tint, extent=(0, width, height, 0), interpolation="nearest")
    if not mask.any():
        return
    padded = np.pad(mask.astype(float), 1)  # a thing at the picture's edge has an outline there too
    x, y = np.arange(-1, width + 1) + 0.5, np.arange(-1, height + 1) + 0.5
    ax.contour(x, y, padded, levels=[0.5], colors=[contrast], linewidths=_LINE_WIDTH)
    ax.contour(x, y, padded, levels=[0.5], colors=[colour], linewidths=_LINE_WIDTH / 2)


def _draw_box(ax: Axes, detection: Detection, colours: tuple[str, str]) -> None:
    y_min, x_min, y_max, x_max = detection.box
    colour, contrast = colours
    # The thin second line beneath keeps a box visible where the picture has the box's own colour.
    contour = withStroke(linewidth=_LINE_WIDTH + 1.5, foreground=contrast)
    rectangle = Rectangle(
        (x_min, y_min),
        x_max - x_min,
        y_max - y_min,
        fill=False,
        edgecolor=colour,
        linewidth=_LINE_WIDTH,
        path_effects=[contour],
    )
    ax.add_patch(rectangle)


def _draw_chip(ax: Axes, detection: Detection, colours: tuple[str, str], height: int, width: int) -> None:
    """Write the label at a corner of its box, on the side from which it runs towards the picture's middle."""
    y_min, x_min, y_max, x_max = detection.box
    colour, contrast = colours
    leftwards = x_min + x_max > width
    x, horizontal = (min(x_max, width), "right") if leftwards else (max(x_min, 0), "left")
    if y_min > _CHIP_ROOM * height:  # above the box
        y, vertical = y_min, "bottom"
    elif y_max < (1 - _CHIP_ROOM) * height:  # below it
        y, vertical = y_max, "top"
    else:  # the box fills the picture: inside
        y, vertical = max(y_min, 0), "top"
    style = f"square,pad={_CHIP_PADDING / _CHIP_POINTS}"  # matplotlib counts it in heights of the letters
    right, up = _CHIP_PADDING, _CHIP_PADDING + _LINE_WIDTH / 2
    ax.annotate(
        detection.label,
        (x, y),
        xytext=(-right if leftwards else right, up if vertical == "bottom" else -up),
        textcoords="offset points",
        ha=horizontal,
        va=vertical,
        color=contrast,
        fontsize=_CHIP_POINTS,
        parse_math=False,  # a label is what the model wrote: a "$" in it is no formula
        bbox={"facecolor": colour, "edgecolor": "none", "boxstyle": style},
    )
