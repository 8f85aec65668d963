"""Image vectors drop into the rows of the image tokens."""

from figures.drawing import Drawing
from vlm.config import PaliGemmaConfig


def draw_merge(config: PaliGemmaConfig, words: list[str]) -> Drawing:
    """One sequence from two sources: `words` are the tokens after the image tokens, as the tokenizer writes them."""
    N, D = config.vision_config.num_image_tokens, config.text_config.hidden_size
    alt = (
        f"Three rows. input_ids: {N} image tokens, then {len(words)} text tokens. Above them {N} image vectors drop"
        " into the positions of the image tokens; the text tokens get rows of the embedding matrix. The result is"
        f" one sequence of {N + len(words)} vectors of {D} numbers."
    )
    drawing = Drawing(alt, 306)
    step = 520 / (4 + len(words))
    labels = ["image", "image", "...", "image", *words]
    drawing.text(10, 14, f"image features [B, N, D] = [B, {N}, {D}]", "start", is_strong=True)
    drawing.text(532, 92, "input_ids", "end", is_strong=True)
    drawing.text(532, 112, f"[B, N + T] = [B, {N + len(words)}]", "end", is_shape=True, is_faint=True)
    drawing.text(10, 292, "inputs_embeds", "start", is_strong=True)
    drawing.text(532, 292, f"[B, N + T, D] = [B, {N + len(words)}, {D}]", "end", is_shape=True, is_faint=True)
    for index, label in enumerate(labels):
        x, is_image = 10 + index * step, index < 4
        role = "image" if is_image else "text"
        ghost = drawing.box(x + 1, 126, step - 2, 30, label, role="ghost" if is_image else "text")
        result = drawing.box(x + 1, 214, step - 2, 60, role=role)
        if is_image:
            vector = drawing.box(x + 1, 30, step - 2, 60, role="image")
            drawing.line(vector.bottom, ghost.top, role="image", is_dashed=True)
            drawing.arrow(ghost.bottom, result.top, role="image")
        else:
            drawing.arrow(ghost.bottom, result.top, role="text")
    return drawing
