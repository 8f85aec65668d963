"""An attention explorer for a web page: choose image, token, layer and head (numbered from 0). It needs no server and
no Python, since the page contains all frames.

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
from torch import Tensor

_TEMPLATE = Path(__file__).with_name("explorer.html")
_PLACEHOLDER = "/*FRAMES*/null"


@dataclass(frozen=True)
class Frame:
    """One image, a prompt about it, and the attention to the image patches while the model answered.

    Attributes:
        tokens: the tokens of the answer, [T].
        weights: the attention with which each was predicted, [T, L, A, N] (from `attend_word_by_word`).
    """

    image: Image.Image
    prompt: str
    tokens: Sequence[str]
    weights: Tensor


def explorer_html(frames: Sequence[Frame]) -> str:
    """The explorer as one HTML fragment. Weights are stored as integers in thousandths, two bytes each.

    Show it in a notebook with `IPython.display.HTML(explorer_html(frames))`; the same fragment works in a static page.
    """
    text = json.dumps([_to_json(frame) for frame in frames])
    text = text.replace("</", "<\\/")  # a model may write "</script>", which would end the script
    return _TEMPLATE.read_text(encoding="utf-8").replace(_PLACEHOLDER, text)


def _to_json(frame: Frame) -> dict:
    per_mille = (frame.weights * 1000).round().to(torch.int16).contiguous()
    png = io.BytesIO()
    frame.image.convert("RGB").save(png, format="PNG")
    return {
        "image": base64.b64encode(png.getvalue()).decode(),
        "prompt": frame.prompt,
        "tokens": [token.replace("▁", " ").strip() or "space" for token in frame.tokens],
        "shape": list(frame.weights.shape),
        "weights": base64.b64encode(per_mille.numpy().astype("<i2").tobytes()).decode(),
    }
