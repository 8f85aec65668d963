"""Prerendered images with sliders that choose one of them; they work on a web page without Python."""

import base64
import html
import io
import itertools
import json
import math
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import matplotlib.pyplot as plt

_TEMPLATE = Path(__file__).with_name("filmstrip.html")


def filmstrip_html(
    show: Callable[..., None], caption: str, start: Sequence[int] | None = None, **choices: Sequence[Any]
) -> str:
    """HTML with a slider for each argument of `show`, and the output of `show` for all combinations of their values.

    Show it in a notebook with `IPython.display.HTML(filmstrip_html(...))`; it works on a static page too. Where scripts
    are disabled, the page shows the first image.

    Args:
        show: draws one figure with pyplot, and may print text.
        caption: what the figure shows. Together with the chosen values it is also the alt text.
        start: the index of each slider's initial value; by default 0.
        choices: the values of each argument, in the order of its slider.
    """
    frames = [
        draw_frame(show, caption, dict(zip(choices, combination)))
        for combination in itertools.product(*choices.values())
    ]
    start = list(start or [0] * len(choices))
    sizes = [len(values) for values in choices.values()]
    # The last slider varies fastest, as in itertools.product.
    first = frames[sum(index * math.prod(sizes[i + 1 :]) for i, index in enumerate(start))]
    controls = [{"name": name, "values": [str(value) for value in values]} for name, values in choices.items()]
    strip = json.dumps({"controls": controls, "frames": frames, "start": start})
    page = _TEMPLATE.read_text(encoding="utf-8")
    for name, text in (*first.items(), ("caption", caption)):
        page = page.replace(f"/*{name.upper()}*/", html.escape(text))
    # A model may generate "</script>", which would end the script.
    return page.replace("/*FILMSTRIP*/null", strip.replace("</", "<\\/"))


def draw_frame(show: Callable[..., None], caption: str, arguments: dict[str, Any]) -> dict[str, str]:
    """The output of `show`: its figure as a WebP image in base64, its printed text, and an alt text."""
    image, printed = io.BytesIO(), io.StringIO()
    with patch.object(plt, "show"), redirect_stdout(printed):
        show(**arguments)
    plt.gcf().savefig(image, format="webp", dpi=100, pil_kwargs={"quality": 85, "method": 6})
    plt.close()
    return {
        "picture": base64.b64encode(image.getvalue()).decode(),
        "printed": printed.getvalue().strip(),
        "words": f"{caption} Here: {', '.join(f'{name} {value}' for name, value in arguments.items())}.",
    }
