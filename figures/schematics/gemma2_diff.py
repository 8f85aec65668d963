"""The blocks of Gemma and Gemma 2 side by side, with the differences in color."""

from figures.drawing import SMALL, Drawing
from vlm.config import Gemma2Config, GemmaConfig


def draw_gemma2_diff(gemma: GemmaConfig, gemma2: Gemma2Config) -> Drawing:
    """Each block from top to bottom, with the heads and numbers of its config."""
    alt = (
        "Two columns. Gemma: RMSNorm, attention, add; RMSNorm, MLP, add. Gemma 2 has a second RMSNorm after"
        " attention and after the MLP, soft-caps its attention scores and its logits, and limits every other layer"
        " to a window."
    )
    drawing = Drawing(alt, 606)
    heads = f"{gemma.num_attention_heads} heads, {gemma.num_key_value_heads} key/value"
    heads2 = f"{gemma2.num_attention_heads} heads, {gemma2.num_key_value_heads} key/value"
    cap, final, window = gemma2.attn_logit_softcapping, gemma2.final_logit_softcapping, gemma2.sliding_window
    columns = {
        "Gemma": [
            ("RMSNorm", ""),
            ("attention", heads),
            None,
            ("add", ""),
            ("RMSNorm", ""),
            ("gated MLP", ""),
            None,
            ("add", ""),
            ("final norm, logits", ""),
        ],
        "Gemma 2": [
            ("RMSNorm", ""),
            ("attention", f"{heads2}\ncap {cap:g}, window {window:,}*"),
            ("RMSNorm", "new"),
            ("add", ""),
            ("RMSNorm", ""),
            ("gated MLP", ""),
            ("RMSNorm", "new"),
            ("add", ""),
            ("final norm, logits", f"cap {final:g}"),
        ],
    }
    heights = [30, 66, 44, 28, 30, 34, 44, 28, 48]
    for x, (name, parts) in zip((36, 300), columns.items(), strict=True):
        drawing.text(x + 112, 14, name, is_strong=True)
        y, above, above_label, stream = 44, None, "", None
        for part, height in zip(parts, heights, strict=True):
            if part is not None:
                label, shape = part
                is_new = name == "Gemma 2" and bool(shape)
                box = drawing.box(
                    x, y, 216, height, label, shape, role="accent" if is_new else "text" if label != "add" else "plain"
                )
                drawing.arrow(above.bottom if above else (x + 108, 24), box.top)
                if label == "add":  # what came before the norm goes around
                    drawing.arrow(stream, (x - 14, stream[1]), (x - 14, box.left[1]), box.left)
                if above is None or above_label == "add":
                    stream = (x + 108, y - 10)
                above, above_label = box, label
            y += height + 20
    drawing.text(300, 596, "* in even layers only", "start", size=SMALL)
    return drawing
