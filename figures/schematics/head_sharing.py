"""Which query heads read which key/value head: MHA, GQA, MQA."""

from figures.drawing import SMALL, Drawing


def draw_head_sharing(num_attention_heads: int, choices: dict[str, int]) -> Drawing:
    """One row for each choice, which names a number of key/value heads."""
    counts = ", ".join(f"{name}: {number}" for name, number in choices.items())
    alt = (
        f"Three rows, each with {num_attention_heads} query heads above and fewer key/value heads below ({counts});"
        " lines join each query head to the key/value head that it reads. Neighbors share one."
    )
    drawing = Drawing(alt, 130 * len(choices) + 6)
    left, width = 176, 356
    step = width / num_attention_heads
    for row, (name, num_key_value_heads) in enumerate(choices.items()):
        top = 8 + 130 * row
        drawing.text(8, top + 30, name, "start", is_strong=True)
        drawing.text(8, top + 52, f"A = {num_attention_heads}, K = {num_key_value_heads}", "start", is_shape=True)
        drawing.text(8, top + 74, f"cache: {num_key_value_heads} / {num_attention_heads} of MHA", "start", size=SMALL)
        group = num_attention_heads // num_key_value_heads
        for head in range(num_key_value_heads):
            x = left + step * group * (head + 0.5)
            shared = drawing.box(x - 19, top + 74, 38, 28, shape=f"k{head}", role="cache")
            for query in range(head * group, (head + 1) * group):
                box = drawing.box(left + step * (query + 0.5) - 19, top, 38, 28, shape=f"q{query}", role="text")
                drawing.line(box.bottom, shared.top, role="cache")
    return drawing
