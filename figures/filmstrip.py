"""Pictures drawn beforehand, and sliders that choose one of them: works on a page without Python behind it."""

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
    """A slider for each argument of `show`, and what it draws and prints for every combination of their values.

    Show it in a notebook with `IPython.display.HTML(filmstrip_html(...))`; the same text works in a static page, and
    where no script may run the picture to begin with is there all the same.

    Args:
        show: draws one figure with pyplot, and may print.
        caption: what is to be seen. With the values chosen it is also the text for those who do not see the picture.
        start: for each slider the place of the value to begin with; the first ones if left out.
        choices: the values of each argument, in the order in which its slider goes through them.
    """
    frames = [
        draw_frame(show, caption, dict(zip(choices, combination)))
        for combination in itertools.product(*choices.values())
    ]
    start = list(start or [0] * len(choices))
    sizes = [len(values) for values in choices.values()]
    # The last slider turns fastest, as in itertools.product.
    first = frames[sum(place * math.prod(sizes[i + 1 :]) for i, place in enumerate(start))]
    controls = [{"name": name, "values": [str(value) for value in values]} for name, values in choices.items()]
    strip = json.dumps({"controls": controls, "frames": frames, "start": start})
    page = _TEMPLATE.read_text(encoding="utf-8")
    for name, text in (*first.items(), ("caption", caption)):
        page = page.replace(f"/*{name.upper()}*/", html.escape(text))
    # A model may write "</script>", which would end the script.
    return page.replace("/*FILMSTRIP*/null", strip.replace("</", "<\\/"))


def draw_frame(show: Callable[..., None], caption: str, arguments: dict[str, Any]) -> dict[str, str]:
    """What `show` draws, as a WebP picture in base64, what it prints, and the picture in words."""
    picture, printed = io.BytesIO(), io.StringIO()
    with patch.object(plt, "show"), redirect_stdout(printed):
        show(**arguments)
    plt.gcf().savefig(picture, format="webp", dpi=100, pil_kwargs={"quality": 85, "method": 6})
    plt.close()
    return {
        "picture": base64.b64encode(picture.getvalue()).decode(),
        "printed": printed.getvalue().strip(),
        "words": f"{caption} Here: {', '.join(f'{name} {value}' for name, value in arguments.items())}.",
    }
