"""The live model: adds its scripts to the pages that have a live figure, and copies its files."""

import hashlib
import shutil
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

from live import FIGURE_SCRIPTS, MODEL_SCRIPTS, STYLES
from live.export import export
from live.toys import write_toys

ROOT = Path(__file__).resolve().parent.parent.parent
_FIGURE = 'class="live-figure"'
_DATA = ("weights.bin", "weights_data.js", "toys_data.js")
_LOADERS = ("engine", "pictures")  # the scripts that load these files


def copy_live(app: Sphinx):
    """Copy the scripts and the weights to where the pages load them from."""
    if app.builder.name != "html":
        return
    folder = Path(app.outdir) / "_static" / "live"
    folder.mkdir(parents=True, exist_ok=True)
    for path in (ROOT / "live").glob("*.[jc]s*"):
        shutil.copy(path, folder)
    write_toys(folder / "toys_data.js")
    export(folder)


def add_live(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None):
    """Let a page load the live model if it has a live figure. The page for print shows only the figure's fallback."""
    if app.builder.name != "html" or _FIGURE not in context.get("body", ""):
        return
    for name in STYLES:
        app.add_css_file(f"live/{name}.css")
    version = hash_data(Path(app.outdir) / "_static" / "live")
    for name in (*MODEL_SCRIPTS, *FIGURE_SCRIPTS):
        attributes = {"data-version": version} if name in _LOADERS else {}
        app.add_js_file(f"live/{name}.js", loading_method="defer", **attributes)


@cache
def hash_data(folder: Path) -> str:
    """A short name for what is in the files that scripts load. Sphinx adds one to the address of each script itself."""
    digest = hashlib.sha256()
    for name in _DATA:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:8]
