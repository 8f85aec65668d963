"""What is computed in each step of decoding, and what the KV cache holds already."""

from figures.drawing import SMALL, Drawing
from vlm.config import PaliGemmaConfig


def draw_cache_steps(config: PaliGemmaConfig, prompt_length: int, num_steps: int = 3) -> Drawing:
    """One row for the prefill and one for each decoding step. Of the prefix, three cells stand for all."""
    text = config.text_config
    S = config.vision_config.num_image_tokens + prompt_length
    alt = (
        f"Rows of cells. Prefill: {S} positions are computed at once, and their keys and values go into the cache."
        f" Each of {num_steps} decoding steps computes one new position; it reads all cells to its left from the"
        " cache."
    )
    drawing = Drawing(alt, 92 * (num_steps + 1) + 60)
    side, left = 38, 176
    for step in range(num_steps + 1):
        y = 12 + 92 * step
        cached, new = (0, 3) if step == 0 else (2 + step, 1)
        length = S + step
        name = "prefill" if step == 0 else f"step {step}"
        work = f"{S} queries, {S} keys" if step == 0 else f"1 query, {length} keys"
        drawing.text(8, y + 12, name, "start", is_strong=True)
        drawing.text(8, y + 34, work, "start", size=SMALL)
        for index in range(cached + new):
            is_new = index >= cached
            label = "..." if index == 1 else f"{S - 1 if index == 2 else (0 if index == 0 else S + index - 3)}"
            drawing.box(left + index * (side + 6), y, side, 32, shape=label, role="text" if is_new else "cache")
        if step:
            end = left + cached * (side + 6) + side / 2
            drawing.line((end, y + 32), (end, y + 48), (left + side / 2, y + 48), role="text")
            for index in range(cached):
                drawing.arrow(
                    (left + index * (side + 6) + side / 2, y + 48),
                    (left + index * (side + 6) + side / 2, y + 34),
                    role="text",
                )
    y = 92 * (num_steps + 1) + 12
    drawing.box(8, y, 24, 24, role="text")
    drawing.text(40, y + 12, "computed in this step", "start", size=SMALL)
    drawing.box(220, y, 24, 24, role="cache")
    shape = f"[B, {text.num_key_value_heads}, T, {text.head_dim}]"
    drawing.text(252, y + 12, f"read from the cache, {shape} in each layer", "start", size=SMALL)
    return drawing
