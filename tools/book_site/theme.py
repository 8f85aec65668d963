"""What is changed in the theme's own parts of a page: scripts, buttons, the links to the neighbours, the page 404."""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

from book_site.contents import read_contents


def trim_scripts(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None):
    """Leave out sphinx-thebe's script, which names another host, and is not used here."""
    for kind in ("script_files", "css_files"):
        context[kind] = [file for file in context.get(kind, []) if "thebe" not in describe_file(file)]


def describe_file(file) -> str:
    return f"{getattr(file, 'filename', file)} {getattr(file, 'attributes', {}).get('body', '')}"


def name_things(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None):
    """Short titles for the pages before and behind, and words for the theme's buttons."""
    pages = read_contents()
    for side in ("prev", "next"):
        if (neighbour := context.get(side)) and (name := Path(neighbour["link"]).stem) in pages:
            context[side] = neighbour | {"title": pages[name].title}
    words = {".ipynb": "Notebook (.ipynb)", ".md": "Text (.md)", ".pdf": "Print, or save as PDF"}
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            button["text"] = words.get(button["text"], button["text"])


def lost(prefix: str) -> str:
    """What stands on the page for addresses that lead nowhere."""
    return (
        f"<h1>There is no such page</h1><p>The address has a mistake, or the page has another name now. "
        f'<a href="{prefix}book/intro.html">Start here</a>, look into the '
        f'<a href="{prefix}book/glossary.html">glossary</a>, or <a href="{prefix}search.html">search</a>.</p>'
    )
