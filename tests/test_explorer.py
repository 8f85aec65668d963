"""The explorer's page has all its frames in it, and nothing else that it would need."""

import base64
import json
import re

import numpy as np
import torch
from PIL import Image

from vlm.inside.explorer import Frame, explorer_html


def frames_in(html: str) -> list[dict]:
    return json.loads(re.search(r"const frames = (\[.*\]);", html)[1])


def test_weights_and_tokens_are_in_the_page():
    torch.manual_seed(0)
    weights = torch.rand(3, 2, 4, 16) / 16
    html = explorer_html([Frame(Image.new("RGB", (8, 8), "red"), "caption en", ["a", "▁cat", "▁"], weights)])
    [frame] = frames_in(html)
    assert frame["tokens"] == ["a", "cat", "space"]
    assert frame["shape"] == [3, 2, 4, 16]
    values = np.frombuffer(base64.b64decode(frame["weights"]), "<i2").reshape(3, 2, 4, 16)
    assert np.abs(values / 1000 - weights.numpy()).max() <= 0.0005


def test_the_page_fetches_nothing():
    html = explorer_html([Frame(Image.new("RGB", (8, 8)), "caption en", ["a"], torch.zeros(1, 1, 1, 4))])
    assert not re.search(r"https?://|src=\"(?!data:)|fetch\(|import ", html)


def test_what_the_model_writes_cannot_end_the_script():
    html = explorer_html([Frame(Image.new("RGB", (8, 8)), "</script>", ["</script>"], torch.zeros(1, 1, 1, 4))])
    assert html.count("</script>") == 1
