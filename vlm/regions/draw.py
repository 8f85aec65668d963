"""Draws what the model found: boxes, labels and masks of objects, and one number per patch as a heatmap."""

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

# The colors of Okabe and Ito ("Color Universal Design", 2008), which color-blind readers can tell apart, each
# with the text color that is legible on it. Their eighth, black, is left out: it vanishes on dark images.
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
_SHORTEST_SIDE_INCHES = 0.5  # of a figure, however narrow the image
_LINE_WIDTH = 2.0
_MASK_OPACITY = 0.45
_CHIP_POINTS = 9.0
_CHIP_PADDING = 2.0
# If a box is nearer to the edge than this fraction of the image's height, no label chip fits between them.
_CHIP_ROOM = 0.15


def draw_detections(
    image: Image.Image,
    detections: Sequence[Detection],
    ax: Axes | None = None,
    title: str | None = None,
    masks: Sequence[np.ndarray | None] | None = None,
) -> Axes:
    """Show an image with the boxes and masks found in it; objects with the same label have the same color.

    One unit of the axes is one pixel: (0, 0) is the image's top left corner, (width, height) its
    bottom right.

    Args:
        image: any mode that matplotlib shows (RGB, RGBA, L).
        detections: boxes in pixels of `image`. With more than seven different labels, colors repeat.
        ax: the axes to draw on; if None, a new figure, 4 inches on its longer side. The caller shows or saves it:
            `draw_detections(image, found).figure.savefig("found.png")`.
        title: a line above the image.
        masks: for each detection bool [H, W], H W height and width of the image, or None
            (`vlm.regions.segmentation.decode_masks`).

    Returns:
        The axes.
    """
    width, height = image.size
    if ax is None:
        scale = _FIGURE_INCHES / max(width, height)
        sides = [max(side * scale, _SHORTEST_SIDE_INCHES) for side in image.size]
        ax = Figure(figsize=sides, layout="constrained").subplots()
    # Without an extent the first pixel's center would be (0, 0), and all boxes half a pixel off.
    ax.imshow(image.convert("RGB"), extent=(0, width, height, 0), interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.autoscale(False)  # an outline at the image's edge must not widen the view
    if title is not None:
        ax.set_title(title)
    labels = list(dict.fromkeys(detection.label for detection in detections))
    for detection, mask in zip(detections, masks or [None] * len(detections), strict=True):
        colors = PALETTE[labels.index(detection.label) % len(PALETTE)]
        if mask is not None:
            _draw_mask(ax, mask, colors)
        _draw_box(ax, detection, colors)
        if detection.label:
            _draw_chip(ax, detection, colors, height, width)
    return ax


def draw_patch_values(
    image: Image.Image, values: Sequence[float], ax: Axes, title: str | None = None, vmax: float | None = None
) -> AxesImage:
    """Show an image in gray with a heatmap over it, one number per patch: attention, similarity, error.

    Args:
        image: its patches form a square grid, in reading order.
        values: one number per patch, [N], N a square number; 0 is dark, `vmax` (the largest value, if None) bright.
        ax: the axes to draw on.

    Returns:
        The heatmap, for a color bar.

    Raises:
        ValueError: if N is not a square number.
    """
    side = math.isqrt(len(values))
    if side * side != len(values):
        raise ValueError(f"{len(values)} values do not fill a square grid of patches: expected a square number")
    rows = [[float(value) for value in values[start : start + side]] for start in range(0, len(values), side)]
    width, height = image.size
    extent = (0, width, height, 0)
    ax.imshow(image.convert("L"), cmap="gray", extent=extent, vmin=0, vmax=255)
    layer = ax.imshow(rows, cmap="viridis", alpha=0.65, extent=extent, vmin=0, vmax=vmax, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    if title is not None:
        ax.set_title(title)
    return layer


def _draw_mask(ax: Axes, mask: np.ndarray, colors: tuple[str, str]) -> None:
    """Tint the inside, and draw the outline: a tint alone is invisible on an object of the same color."""
    color, contrast = colors
    height, width = mask.shape
    tint = np.zeros((height, width, 4))  # [H, W, 4], RGBA
    tint[mask] = (*to_rgb(color), _MASK_OPACITY)
    ax.imshow(tint, extent=(0, width, height, 0), interpolation="nearest")
    if not mask.any():
        return
    padded = np.pad(mask.astype(float), 1)  # an object at the image's edge has an outline there too
    x, y = np.arange(-1, width + 1) + 0.5, np.arange(-1, height + 1) + 0.5
    ax.contour(x, y, padded, levels=[0.5], colors=[contrast], linewidths=_LINE_WIDTH)
    ax.contour(x, y, padded, levels=[0.5], colors=[color], linewidths=_LINE_WIDTH / 2)


def _draw_box(ax: Axes, detection: Detection, colors: tuple[str, str]) -> None:
    y_min, x_min, y_max, x_max = detection.box
    color, contrast = colors
    # The wider line beneath keeps a box visible where the image has the box's own color.
    contour = withStroke(linewidth=_LINE_WIDTH + 1.5, foreground=contrast)
    rectangle = Rectangle(
        (x_min, y_min),
        x_max - x_min,
        y_max - y_min,
        fill=False,
        edgecolor=color,
        linewidth=_LINE_WIDTH,
        path_effects=[contour],
    )
    ax.add_patch(rectangle)


def _draw_chip(ax: Axes, detection: Detection, colors: tuple[str, str], height: int, width: int) -> None:
    """Write the label at a corner of its box, on the side from which it runs towards the middle of the image."""
    y_min, x_min, y_max, x_max = detection.box
    color, contrast = colors
    leftwards = x_min + x_max > width
    x, horizontal = (min(x_max, width), "right") if leftwards else (max(x_min, 0), "left")
    if y_min > _CHIP_ROOM * height:  # above the box
        y, vertical = y_min, "bottom"
    elif y_max < (1 - _CHIP_ROOM) * height:  # below it
        y, vertical = y_max, "top"
    else:  # the box fills the image: inside it
        y, vertical = max(y_min, 0), "top"
    style = f"square,pad={_CHIP_PADDING / _CHIP_POINTS}"  # matplotlib's unit is the font size
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
        parse_math=False,  # the model wrote the label: a "$" in it is not a formula
        bbox={"facecolor": color, "edgecolor": "none", "boxstyle": style},
    )
