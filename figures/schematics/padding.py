"""Two prompts of different length in one batch: padded on the left, padded on the right."""

from collections.abc import Sequence

from figures.drawing import SMALL, Drawing


def draw_padding(prompts: Sequence[Sequence[str]]) -> Drawing:
    """Tokens with their position ids, which count real tokens alone, from 1."""
    longest = max(len(prompt) for prompt in prompts)
    alt = (
        "Two batches with the same two prompts. Padded on the left, the last token of each row stands in the last"
        " column, where the next token is appended. Padded on the right, the short row ends in padding. Position ids"
        " count real tokens alone in both."
    )
    drawing = Drawing(alt, 326)
    step, left = 84, 120
    for top, side in ((8, "left"), (168, "right")):
        drawing.text(8, top + 6, f"padding on the {side}", "start", is_strong=True)
        for row, prompt in enumerate(prompts):
            y, pads = top + 24 + 58 * row, longest - len(prompt)
            first = pads if side == "left" else 0
            drawing.text(8, y + 13, f"row {row}", "start")
            drawing.text(8, y + 38, "position_ids", "start", size=SMALL, is_faint=True)
            for column in range(longest):
                x, index = left + column * step, column - first
                is_real = 0 <= index < len(prompt)
                drawing.box(
                    x, y, step - 6, 27, prompt[index] if is_real else "<pad>", role="text" if is_real else "ghost"
                )
                drawing.text(x + step / 2 - 3, y + 38, str(index + 1) if is_real else "-", is_shape=True, is_faint=True)
            next_column = longest if side == "left" else len(prompt)
            drawing.text(left + longest * step + 10, y + 13, f"next: column {next_column}", "start", is_strong=True)
    return drawing
