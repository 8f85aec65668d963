"""Splitting vectors into heads, and joining the heads' outputs."""

from figures.drawing import Drawing
from vlm.config import SiglipVisionConfig


def draw_heads(config: SiglipVisionConfig) -> Drawing:
    """The reshapes of multi-head attention for the queries, in six steps."""
    N, D, A, E = config.num_image_tokens, config.hidden_size, config.num_attention_heads, config.head_dim
    steps = [
        ("q_proj", f"[B, N, D] = [B, {N}, {D}]"),
        ("view: split D", f"[B, N, A, E] = [B, {N}, {A}, {E}]"),
        ("transpose: heads first", f"[B, A, N, E] = [B, {A}, {N}, {E}]"),
        ("attention in each head", f"[B, A, N, E] = [B, {A}, {N}, {E}]"),
        ("transpose back", f"[B, N, A, E] = [B, {N}, {A}, {E}]"),
        ("view: join to D", f"[B, N, D] = [B, {N}, {D}]"),
    ]
    alt = (
        f"Six rows. A vector of {D} numbers is split into {A} pieces of {E}, one for each head; the heads move in"
        " front of the positions; each head attends by itself; then the pieces go back side by side."
    )
    drawing = Drawing(alt, 410)
    for row, (name, shape) in enumerate(steps):
        y = 10 + 68 * row
        drawing.text(236, y + 14, name, "start", is_strong=True)
        drawing.text(236, y + 34, shape, "start", is_shape=True, is_faint=True)
        is_apart = row in (2, 3)
        for head in range(A):
            width = 200 / A
            for position in range(3):
                gap = 3 if row in (1, 4) else 0
                if is_apart:  # each head is a matrix of its own
                    place, size = (10 + head * (width + 3), y + 14 * position), (width - 6, 12)
                else:
                    place, size = (10 + head * (width + gap), y + 14 * position), (width, 12)
                drawing.strip(*place, *size, fill=0.15 + 0.8 * head / A, role="accent" if row > 2 else "image")
            if is_apart:
                drawing.outline(7 + head * (width + 3), y - 3, width, 46, role="accent" if row > 2 else "image")
        if row < len(steps) - 1:
            drawing.arrow((110, y + 46), (110, y + 65))
    return drawing
