"""A page's own attention explorer: choose picture, word, layer and head. It needs no server and no Python, since all
its frames are in it.

Shapes: T tokens of an answer, L layers, A heads, N patches.
"""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from vlm.inside.word_attention import WordAttention

_TEMPLATE = Path(__file__).with_name("explorer.html")
_PLACEHOLDER = "/*FRAMES*/null"


@dataclass(frozen=True)
class Frame:
    """One picture, what was asked about it, and where the model looked while it answered."""

    image: Image.Image
    prompt: str
    attention: WordAttention


def explorer_html(frames: Sequence[Frame]) -> str:
    """The explorer as one piece of HTML. Weights are kept as whole per mille, two bytes each.

    Show it in a notebook with `IPython.display.HTML(explorer_html(frames))`; the same text works in a static page.
    """
    return _TEMPLATE.read_text(encoding="utf-8").replace(_PLACEHOLDER, json.dumps([_to_json(f) for f in frames]))


def _to_json(frame: Frame) -> dict:
    weights = frame.attention.weights  # [T, L, A, N]
    per_mille = (weights * 1000).round().to(torch.int16).contiguous()
    png = io.BytesIO()
    frame.image.convert("RGB").save(png, format="PNG")
    return {
        "image": base64.b64encode(png.getvalue()).decode(),
        "prompt": frame.prompt,
        "tokens": [token.replace("▁", " ").strip() or "space" for token in frame.attention.tokens],
        "shape": list(weights.shape),
        "weights": base64.b64encode(per_mille.numpy().astype("<i2").tobytes()).decode(),
    }
