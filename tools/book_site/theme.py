"""Changes the theme's own parts of a page: scripts, buttons, links to the neighboring pages, the 404 page."""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

from book_site.contents import read_contents


def trim_scripts(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None):
    """Remove sphinx-thebe's script, which refers to another host and is not used here."""
    for kind in ("script_files", "css_files"):
        context[kind] = [file for file in context.get(kind, []) if "thebe" not in describe_file(file)]


def empty_icon_script(app: Sphinx, error: Exception | None):
    """Leave the icons to the theme's fonts, which its styles name too: its script with all icons has 1.5 MB."""
    script = Path(app.outdir) / "_static" / "scripts" / "fontawesome.js"
    if not error and script.is_file():
        script.write_text("// The icons come from the fonts in _static/vendor/fontawesome.\n", encoding="utf-8")


def describe_file(file) -> str:
    return f"{getattr(file, 'filename', file)} {getattr(file, 'attributes', {}).get('body', '')}"


def name_things(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None):
    """Give short titles to the previous and the next page, and labels to the theme's buttons."""
    pages = read_contents()
    for side in ("prev", "next"):
        if (neighbor := context.get(side)) and (name := Path(neighbor["link"]).stem) in pages:
            context[side] = neighbor | {"title": pages[name].title}
    words = {".ipynb": "Notebook (.ipynb)", ".md": "Text (.md)", ".pdf": "Print, or save as PDF"}
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            button["text"] = words.get(button["text"], button["text"])


def lost(prefix: str) -> str:
    """The text of the 404 page."""
    return (
        f"<h1>There is no such page</h1><p>The address has a mistake, or the page has been renamed. "
        f'<a href="{prefix}book/intro.html">Start here</a>, look it up in the '
        f'<a href="{prefix}book/glossary.html">glossary</a>, or <a href="{prefix}search.html">search</a>.</p>'
    )
