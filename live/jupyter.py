"""The live figures of the pages in a notebook: `live.jupyter.show("mask-lab")`."""

from functools import cache
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from IPython.display import HTML

from live import FIGURE_SCRIPTS, MODEL_SCRIPTS, STYLES
from live.export import export
from live.toys import write_toys

FOLDER = Path(__file__).resolve().parent
WITHOUT_MODEL = ("mask-lab", "rotation")
_LOOK = "body { background: #fff; color: #222; font-family: sans-serif; margin: 0; padding: 2px }"
# Make the frame as high as its contents.
_FIT = """new ResizeObserver(() => {
    frameElement.style.height = `${document.documentElement.offsetHeight + 4}px`
}).observe(document.documentElement)"""


def show(figure: str, **data: str) -> HTML:
    """A self-contained live figure: it needs no server and no other file, so it works wherever the notebook does.

    Args:
        figure: such as "rotation"; the first lines of the files in this folder name their figures.
        data: data attributes of the figure's element, such as `scene="sand.3_cat.56.40.48.0"`.
    """
    page = f'<iframe srcdoc="{escape(make_page(figure, data))}" style="border: 0; height: 600px; width: 100%"></iframe>'
    return HTML(f'<div class="live-figure-in-notebook">{page}</div>')


def make_page(figure: str, data: dict[str, str]) -> str:
    """A complete HTML page with one figure."""
    attributes = "".join(f' data-{name.replace("_", "-")}="{escape(str(value))}"' for name, value in data.items())
    texts = [read(f"{name}.js") for name in (*MODEL_SCRIPTS, *FIGURE_SCRIPTS)]
    if figure not in WITHOUT_MODEL:
        texts.insert(1, read_data())
    styles = "".join(f"<style>{text}</style>" for text in (_LOOK, *(read(f"{name}.css") for name in STYLES)))
    scripts = "".join(f"<script>{text}</script>" for text in (*texts, _FIT))
    element = f'<div class="live-figure" data-figure="{escape(figure)}"{attributes}></div>'
    return f'<!doctype html><html lang="en"><meta charset="utf-8">{styles}<body>{element}{scripts}</body></html>'


def read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@cache
def read_data() -> str:
    """The weights and the images of the toys, as scripts."""
    with TemporaryDirectory() as folder:
        export(Path(folder))
        write_toys(Path(folder, "toys_data.js"))
        return "".join(Path(folder, name).read_text(encoding="utf-8") for name in ("weights_data.js", "toys_data.js"))
