"""From an image and a prompt to the next token: every part of the model, every tensor between them."""

from figures.drawing import SMALL, Drawing
from vlm.config import PaliGemmaConfig

_HEIGHT = 40  # of a part
_STEP = 90  # from a part to the next one
_LEFT, _RIGHT, _COLUMN = 8, 282, 250  # the image's column and the text's


def draw_whole_model(config: PaliGemmaConfig, published: PaliGemmaConfig, prompt_length: int = 8) -> Drawing:
    """Two models side by side: their shapes stand beside each arrow, those of `config` first.

    Args:
        prompt_length: T of the example, in tokens, with `<bos>` and the newline.
    """
    both = (config, published)
    vision, text = [one.vision_config for one in both], [one.text_config for one in both]
    alt = (
        "Flow chart. Left: the image goes through the patch embedding, the vision tower and the projector. Right:"
        " the prompt goes through the tokenizer and the embedding matrix. Both meet in one sequence, which goes"
        " through Gemma and the output head to the next token."
    )
    drawing = Drawing(alt, 640)

    def arrow(start, end, letters: str, numbers: list[str], role: str):
        drawing.arrow(start, end, role=role)
        x, y = start[0] + 10, (start[1] + end[1]) / 2
        drawing.text(x, y - 9, letters, "start", is_shape=True)
        drawing.text(x, y + 9, " | ".join(numbers), "start", is_shape=True, is_faint=True)

    def column(x: float, role: str, labels: list[str], shapes: list[tuple[str, list[str]]], first: float):
        boxes = []
        for row, label in enumerate(labels):
            is_data = not boxes
            boxes.append(
                drawing.box(x, first + row * _STEP, _COLUMN, _HEIGHT, label, role=role, radius=20 if is_data else 4)
            )
        for above, below, (letters, numbers) in zip(boxes, boxes[1:], shapes, strict=False):
            arrow((x + 24, above.bottom[1]), (x + 24, below.y), letters, numbers, role)
        return boxes

    layers = " | ".join(str(v.num_hidden_layers) for v in vision)
    seen = column(
        _LEFT,
        "image",
        ["image", "patch embedding", f"vision tower, {layers} layers", "projector"],
        [
            ("[B, C, H, W]", [f"{v.num_channels}, {v.image_size}, {v.image_size}" for v in vision]),
            ("[B, N, D]", [f"{v.num_image_tokens}, {v.hidden_size}" for v in vision]),
            ("[B, N, D]", [f"{v.num_image_tokens}, {v.hidden_size}" for v in vision]),
        ],
        8,
    )
    read = column(
        _RIGHT,
        "text",
        ["prompt", "tokenizer", "embedding matrix"],
        [("characters", ["detect cat"]), ("[B, T] of 0 ... V - 1", [f"V = {t.vocab_size:,}" for t in text])],
        8 + _STEP,
    )
    merged = 8 + 4 * _STEP
    width = _RIGHT + _COLUMN - _LEFT
    num_tokens = [v.num_image_tokens for v in vision]
    whole = drawing.box(_LEFT, merged, width, _HEIGHT, "merge: image vectors replace the image tokens")
    hidden = [t.hidden_size for t in text]
    arrow(
        (_LEFT + 24, seen[-1].bottom[1]),
        (_LEFT + 24, whole.y),
        "[B, N, D]",
        [f"{n}, {d}" for n, d in zip(num_tokens, hidden, strict=True)],
        "image",
    )
    arrow(
        (_RIGHT + 24, read[-1].bottom[1]),
        (_RIGHT + 24, whole.y),
        "[B, T, D]",
        [f"{prompt_length}, {d}" for d in hidden],
        "text",
    )
    layers = " | ".join(str(t.num_hidden_layers) for t in text)
    rest = [
        drawing.box(_LEFT, merged + _STEP, width, _HEIGHT, f"Gemma, {layers} layers", role="text"),
        drawing.box(
            _LEFT, merged + 2 * _STEP, width, _HEIGHT, "output head: the embedding matrix once more", role="text"
        ),
    ]
    lengths = [n + prompt_length for n in num_tokens]
    sizes = [f"{s}, {d}" for s, d in zip(lengths, hidden, strict=True)]
    for above, below in zip([whole, *rest], rest, strict=False):
        arrow((_LEFT + 24, above.bottom[1]), (_LEFT + 24, below.y), "[B, N + T, D]", sizes, "plain")
    end = rest[-1].bottom[1]
    drawing.text(
        _LEFT + 34, end + 22, "[B, N + T, V] logits; the last position's choose the next token", "start", size=SMALL
    )
    drawing.arrow((_LEFT + 24, end), (_LEFT + 24, end + 44))
    drawing.text(
        _LEFT + 34,
        end + 42,
        " | ".join(f"{s}, {t.vocab_size:,}" for s, t in zip(lengths, text, strict=True)),
        "start",
        is_shape=True,
        is_faint=True,
    )
    drawing.text(_RIGHT, 20, "numbers: Toybox | PaliGemma 3B", "start", size=SMALL)
    return drawing
