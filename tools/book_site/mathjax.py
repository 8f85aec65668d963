"""Copies MathJax from a Python package, so that no page loads it from another host."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from sphinx.application import Sphinx

# It is not in our own folder _static: Jupyter Book adds every script that it finds there to every page.
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
