"""Where the instruments of interpretability tap the model."""

from figures.drawing import SMALL, Drawing
from vlm.config import PaliGemmaConfig


def draw_taps(config: PaliGemmaConfig) -> Drawing:
    """The model in the middle; left what only reads, right what changes something."""
    alt = (
        "In the middle the model, from the image to the logits. From the left three instruments read: attention"
        " maps from the attention weights, a linear probe from the hidden states of a layer, and the logit lens,"
        " which sends the hidden states of a layer through the output head. From the right two intervene: occlusion"
        " covers part of the image, and patching or knocking out replaces hidden states or heads."
    )
    drawing = Drawing(alt, 440)
    tower, text = config.vision_config, config.text_config
    parts = [
        ("image", "image", ""),
        ("image", f"vision tower, {tower.num_hidden_layers} layers", "[B, N, D]"),
        ("text", f"Gemma, {text.num_hidden_layers} layers", "hidden states [B, S, D]"),
        ("text", "output head", "logits [B, S, V]"),
    ]
    boxes = []
    for row, (role, label, shape) in enumerate(parts):
        boxes.append(drawing.box(168, 40 + 104 * row, 204, 56, label, shape, role=role))
        if row:
            drawing.arrow(boxes[-2].bottom, boxes[-1].top, role=role)
    drawing.text(70, 14, "read", is_strong=True)
    drawing.text(470, 14, "intervene", is_strong=True)
    drawing.text(270, 14, "the model", is_strong=True)
    probe = drawing.box(8, 150, 124, 40, "linear probe", role="plain")
    drawing.arrow((168, 170), probe.right)
    maps = drawing.box(8, 232, 124, 40, "attention maps", role="plain")
    drawing.arrow((168, 252), maps.right)
    lens = drawing.box(8, 320, 124, 40, "logit lens", role="plain")
    drawing.line((168, 290), (150, 290), (150, 340))
    drawing.arrow((150, 340), lens.right)
    drawing.arrow(lens.bottom, (70, 380), boxes[3].left)
    for y, label, remark in ((68, "occlusion", "covers patches"), (276, "knock out, patch", "change heads, states")):
        tool = drawing.box(408, y - 20, 124, 40, label, role="accent")
        drawing.arrow(tool.left, (372, y), role="accent")
        drawing.text(470, y + 32, remark, size=SMALL)
    return drawing
