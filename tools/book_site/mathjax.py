"""MathJax from the package that carries it, so that no page asks another host for it."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from sphinx.application import Sphinx

# Not below a folder named _static of ours: Jupyter Book puts every script it finds there into every page.
MATHJAX = "mathjax/tex-chtml.js"
_FONTS = "output/chtml/fonts/woff-v2"


def copy_mathjax(app: Sphinx, error: Exception | None):
    if error or app.builder.format != "html":
        return
    source = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "tex-chtml.js", target)
    shutil.copytree(source / _FONTS, target / _FONTS, dirs_exist_ok=True)
