"""The live model: its scripts on the pages that have a figure of it, and its files beside them."""

import shutil
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

from live import FIGURE_SCRIPTS, MODEL_SCRIPTS, STYLES
from live.export import export
from live.toys import write_toys

ROOT = Path(__file__).resolve().parent.parent.parent
_FIGURE = 'class="live-figure"'


def copy_live(app: Sphinx):
    """Put the scripts and the weights where the pages look for them."""
    if app.builder.name != "html":
        return
    folder = Path(app.outdir) / "_static" / "live"
    folder.mkdir(parents=True, exist_ok=True)
    for path in (ROOT / "live").glob("*.[jc]s*"):
        shutil.copy(path, folder)
    write_toys(folder / "toys_data.js")
    export(folder)


def add_live(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None):
    """Let a page load the live model if it has a figure of it. On the page for print its fallback is all there is."""
    if app.builder.name != "html" or _FIGURE not in context.get("body", ""):
        return
    for name in STYLES:
        app.add_css_file(f"live/{name}.css")
    for name in (*MODEL_SCRIPTS, *FIGURE_SCRIPTS):
        app.add_js_file(f"live/{name}.js", loading_method="defer")
