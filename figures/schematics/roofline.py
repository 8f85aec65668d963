"""A roofline: what bounds a matrix product, memory bandwidth or arithmetic."""

from collections.abc import Mapping
from math import log10

from figures.drawing import SMALL, Drawing

_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 520, 40, 290


def draw_roofline(peak: float, bandwidth: float, rows: Mapping[str, int], bytes_per_weight: int = 2) -> Drawing:
    """Multiply-adds of weights with `rows` activations at once: each weight is read once and used `rows` times.

    Args:
        peak: operations per second (a multiplication and an addition are two).
        bandwidth: bytes per second.
        rows: name -> how many positions share one reading of the weights.
    """
    ridge = peak / bandwidth  # operations per byte
    decades_x, top = (-0.5, 3.7), log10(peak) + 0.3
    bottom = top - 4.2

    def at(intensity: float, performance: float) -> tuple[float, float]:
        x = (log10(intensity) - decades_x[0]) / (decades_x[1] - decades_x[0])
        y = (log10(performance) - bottom) / (top - bottom)
        return round(_LEFT + x * (_RIGHT - _LEFT), 1), round(_BOTTOM - y * (_BOTTOM - _TOP), 1)

    points = {name: 2 * number / bytes_per_weight for name, number in rows.items()}
    places = "; ".join(f"{name}: {value:,.0f}" for name, value in points.items())
    alt = (
        f"Logarithmic axes: operations per second over operations per byte. A line rises to {ridge:.0f} operations"
        f" per byte and is level from there on. {places}."
    )
    drawing = Drawing(alt, 356)
    drawing.line((_LEFT, _TOP - 16), (_LEFT, _BOTTOM), (_RIGHT, _BOTTOM))
    for decade in range(4):
        x, _ = at(10**decade, peak)
        drawing.line((x, _BOTTOM), (x, _BOTTOM + 6))
        drawing.text(x, _BOTTOM + 18, f"{10**decade:,}", size=SMALL)
    for level in range(-3, 1):
        exponent = round(log10(peak)) + level
        _, y = at(1, 10**exponent)
        drawing.line((_LEFT - 6, y), (_LEFT, y))
        drawing.text(_LEFT - 10, y, f"{10 ** (exponent - 12):g} T", "end", size=SMALL)
    drawing.text((_LEFT + _RIGHT) / 2, _BOTTOM + 44, "operations per byte read (log)")
    drawing.text(8, _TOP - 26, "operations per second (log)", "start")
    start = 10 ** decades_x[0]
    drawing.line(at(start, start * bandwidth), at(ridge, peak), at(10 ** decades_x[1], peak), role="plain")
    x, y = at(ridge, peak)
    drawing.line((x, y), (x, _BOTTOM), is_dashed=True)
    drawing.text(x + 8, _BOTTOM - 14, f"{ridge:.0f}", "start", is_shape=True)
    drawing.text(_RIGHT, y - 14, f"compute: {peak / 1e12:,.0f} TFLOP/s", "end", size=SMALL)
    x, y = at(9, 9 * bandwidth)
    drawing.text(x + 12, y + 12, f"memory: {bandwidth / 1e12:.2f} TB/s", "start", size=SMALL)
    for index, (name, intensity) in enumerate(points.items()):
        x, y = at(intensity, min(peak, intensity * bandwidth))
        drawing.circle(x, y, 6, role="accent")
        if index == 0:
            drawing.text(x + 12, y + 14, name, "start", is_strong=True)
        else:
            drawing.text(x - 16, y + 2, name, "end", is_strong=True)
    return drawing
