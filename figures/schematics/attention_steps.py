"""One query, three keys: scores, weights, and the weighted sum of the values."""

import math
from collections.abc import Sequence

from figures.drawing import SMALL, Drawing


def draw_attention_steps(
    query: Sequence[float], keys: Sequence[Sequence[float]], values: Sequence[Sequence[float]]
) -> Drawing:
    """How position 0 reads three positions. All vectors have as many numbers; their products are worked out here."""
    scores = [sum(q * k for q, k in zip(query, key, strict=True)) / math.sqrt(len(query)) for key in keys]
    exponentials = [math.exp(score) for score in scores]
    weights = [value / sum(exponentials) for value in exponentials]
    mixed = [
        sum(weight * value[i] for weight, value in zip(weights, values, strict=True)) for i in range(len(values[0]))
    ]
    alt = (
        f"The query of position 0, {show(query)}, meets the keys of three positions: {', '.join(map(show, keys))}."
        f" The scores are {show(scores)}, after softmax {show(weights)}. The output, {show(mixed)}, is the sum of the"
        " three values, each times its weight."
    )
    drawing = Drawing(alt, 372)
    xs = [150, 286, 422]
    drawing.text(8, 20, "query 0", "start", is_strong=True)
    q = drawing.box(8, 38, 110, 30, shape=show(query), role="text")
    output_sources = []
    for index, (x, key, value) in enumerate(zip(xs, keys, values, strict=True)):
        drawing.text(x + 55, 20, f"key {index}", is_strong=True)
        k = drawing.box(x, 38, 110, 30, shape=show(key), role="image")
        score = drawing.box(x + 12, 108, 86, 30, shape=f"{scores[index]:.2f}")
        drawing.arrow(k.bottom, score.top)
        weight = drawing.box(x + 12, 178, 86, 30, shape=f"{weights[index]:.2f}", role="accent")
        drawing.arrow(score.bottom, weight.top)
        v = drawing.box(x, 248, 110, 30, shape=show(value), role="image")
        drawing.arrow(weight.bottom, v.top)
        output_sources.append(v)
    drawing.line(q.bottom, (q.bottom[0], 88), (xs[-1] + 55, 88), is_dashed=True)
    for y, name, formula in (
        (123, "scores", "q · k / sqrt(E)"),
        (193, "weights", "softmax"),
        (263, "values", "weight · v"),
    ):
        drawing.text(8, y - 9, name, "start", is_strong=True)
        drawing.text(8, y + 9, formula, "start", size=SMALL)
    out = drawing.box(xs[1] - 20, 328, 150, 34, shape=show(mixed), role="accent")
    for v in output_sources:
        drawing.arrow(v.bottom, (out.x + out.width / 2 + (v.x - xs[1]) / 4, out.y))
    drawing.text(8, 345, "output: their sum", "start", is_strong=True)
    return drawing


def show(vector: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:.3g}' if abs(value) >= 1 or value == 0 else f'{value:.2f}' for value in vector)}]"
