"""A transformer block: the residual stream is the straight line, and what each sublayer adds to it."""

from figures.drawing import Drawing
from vlm.config import GemmaConfig, SiglipVisionConfig


def draw_block(config: SiglipVisionConfig | GemmaConfig) -> Drawing:
    """The pre-norm block of the tower or of Gemma, with the sizes of the config."""
    is_tower = isinstance(config, SiglipVisionConfig)
    role, norm = ("image", "LayerNorm") if is_tower else ("text", "RMSNorm")
    length = "N" if is_tower else "S"
    D, F = config.hidden_size, config.intermediate_size
    mlp = f"MLP: {D} to {F} to {D}" if is_tower else f"gated MLP: {D} to {F} to {D}"
    alt = (
        f"A straight vertical line is the residual stream, [B, {length}, {D}]. Twice a branch leaves it, goes through"
        f" {norm} and a sublayer, first attention, then the MLP, and is added back to it."
    )
    drawing = Drawing(alt, 420)
    x = 70  # of the residual stream
    drawing.text(x, 14, "hidden states", is_strong=True)
    drawing.text(x + 74, 14, f"[B, {length}, {D}]", "start", is_shape=True, is_faint=True)
    drawing.arrow((x, 28), (x, 412), role=role)
    for top, name, mixes in (
        (54, f"attention, {config.num_attention_heads} heads", "mixes positions"),
        (230, mlp, "each position for itself"),
    ):
        normed = drawing.box(170, top, 220, 34, norm, role="plain")
        sublayer = drawing.box(170, top + 62, 220, 34, name, role=role)
        drawing.arrow((x, normed.left[1]), normed.left, role=role)
        drawing.arrow(normed.bottom, sublayer.top, role=role)
        added = drawing.circle(x, top + 130, 12, "+", role)
        drawing.arrow(sublayer.bottom, (sublayer.bottom[0], added.right[1]), added.right, role=role)
        drawing.text(402, sublayer.right[1], mixes, "start", size=13.5)
    drawing.text(x + 24, 402, "to the next layer", "start")
    return drawing
