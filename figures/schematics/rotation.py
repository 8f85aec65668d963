"""Two vectors that rotate with their positions: the angle between them depends on the distance alone."""

from math import cos, degrees, radians, sin

from figures.drawing import SMALL, Drawing

_RADIUS = 92


def draw_rotation(positions: tuple[int, int], shift: int, angle_per_position: float) -> Drawing:
    """A query and a key at two positions, and the same two further on.

    Args:
        positions: of the query and the key.
        shift: how much later both stand in the right half.
        angle_per_position: in degrees.
    """
    query, key = positions
    between = (query - key) * angle_per_position
    alt = (
        f"Two circles with two arrows each. Left: the query at position {query}, the key at {key}, {between:.0f}"
        f" degrees apart. Right: both {shift} positions later: both arrows have rotated, and the angle between them"
        " is the same."
    )
    drawing = Drawing(alt, 290)
    for center, moved in ((134, 0), (406, shift)):
        middle = (center, 146)
        drawing.outline_circle(*middle, _RADIUS)
        drawing.text(center, 14, f"positions {query + moved} and {key + moved}", is_strong=True)
        for name, position, role in (("q", query + moved, "text"), ("k", key + moved, "image")):
            angle = radians(position * angle_per_position)
            end = (middle[0] + _RADIUS * cos(angle), middle[1] - _RADIUS * sin(angle))
            drawing.arrow(middle, end, role=role)
            drawing.text(
                middle[0] + 1.15 * _RADIUS * cos(angle), middle[1] - 1.15 * _RADIUS * sin(angle), name, is_strong=True
            )
        start, stop = (radians((at + moved) * angle_per_position) for at in (key, query))
        arc = [start + (stop - start) * step / 20 for step in range(21)]
        drawing.line(*((middle[0] + 36 * cos(a), middle[1] - 36 * sin(a)) for a in arc), role="accent")
        drawing.text(center, 264, f"q rotated by {query + moved}ω, k by {key + moved}ω", size=SMALL)
        drawing.text(center, 282, f"between them: {query - key}ω = {degrees(stop - start):.0f}°", size=SMALL)
    return drawing
