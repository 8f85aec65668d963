"""Adds what surrounds the text of a page when it becomes HTML."""

import os
import re
from html import escape

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx

from book_site.contents import BUILDS_ON, ROOT, Page, read_contents
from book_site.model_map import draw_map, find_stage
from figures.schematics.whole_model import draw_whole_model
from toybox import CHECKPOINT_DIRECTORY
from vlm.checkpoints.published import published_config
from vlm.config import PaliGemmaConfig

_HEADING = re.compile(r"<h1>(?P<topic>[^<:]+): (?P<first>[^<])(?P<rest>[^<]*)(?P<link><a)")
_HELP = re.compile(r'<div class="dropdown admonition">(\s*<p class="admonition-title">(Hint|Solution))')
_EXERCISE = re.compile(r"\((\d+) points?, ")
_SCRIPT = re.compile(r"<script>.*?</script>", re.DOTALL)
_LINK_TO_PRINT = re.compile(r'<p class="for-print">.*?</p>')
_PICTURE = re.compile(r'(?P<link><a [^>]*>)?<img (?P<rest>[^>]*src="(?P<source>[^"]*_images/(?P<name>[^"]+))"[^>]*>)')


def dress_page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None):
    """Add the map, the chapter's facts and the progress checkbox to a page of the book."""
    folder, _, name = pagename.rpartition("/")
    if doctree is None or folder != "book":
        return
    pages = read_contents()
    body = context["body"]
    if name == "intro":
        body = fill_first_page(body, pages, app.env.titles)
    if find_stage(name) or name in ("ch00_setup", "ch01_whole_vlm"):
        body = draw_map(name) + body
    if name in pages:
        body = _HEADING.sub(split_heading, body, count=1)
        body = body.replace("</h1>", f"</h1>{draw_facts(pages[name], pages, doctree)}", 1)
    if name in BUILDS_ON:
        body += draw_mark_of_progress(name)
    # Docutils marks its bibliography as a list, but its children are not list items.
    body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    if app.builder.name == "singlehtml":
        body = put_on_one_page(body)
    body = give_pictures_their_sizes(body, app.builder.images)
    body = _HELP.sub(lambda match: f'<div class="dropdown admonition {match[2].lower()}">{match[1]}', body)
    context["body"] = body


def fill_first_page(body: str, pages: dict[str, Page], titles: dict[str, nodes.title]) -> str:
    """Add what is made from the model and from the chapters: the model's drawing, the map, the list of chapters."""
    config = PaliGemmaConfig.from_json(CHECKPOINT_DIRECTORY / "config.json")
    drawing = draw_whole_model(config, published_config("paligemma-3b-224"))
    caption = (
        "An image and a prompt become one sequence of vectors; the language model predicts the next token. Boxes"
        " compute, arrows carry tensors: their shapes, then the sizes in the model of this page and in PaliGemma 3B."
    )
    body = body.replace('<div id="drawing-of-the-model"></div>', drawing.html(caption))
    body = body.replace('<div id="map-of-the-model"></div>', draw_map("intro", whole=True))
    body = body.replace('<div id="table-of-chapters"></div>', draw_chapters(pages, titles))
    if repository := os.environ.get("BOOK_REPOSITORY"):
        body = body.replace("Get the repository,", f"Get the repository (<code>git clone {repository}</code>),")
        body = body.replace("open an issue in the repository", f'<a href="{repository}/issues">open an issue</a>')
    return body


def draw_chapters(pages: dict[str, Page], titles: dict[str, nodes.title]) -> str:
    """All pages by part, each with the question or the topic of its heading."""
    parts: dict[str, list[str]] = {}
    for page in pages.values():
        heading = titles[f"book/{page.name}"].astext()
        line = "" if heading in page.title else f"<span>{escape(heading)}</span>"
        parts.setdefault(page.part, []).append(f'<li><a href="{page.name}.html">{escape(page.title)}</a>{line}</li>')
    lists = (f"<h3>{escape(part)}</h3><ul>{''.join(lines)}</ul>" for part, lines in parts.items())
    return f'<div class="chapter-list">{"".join(lists)}</div>'


def split_heading(match: re.Match) -> str:
    """The topic in large letters, and what the chapter says about it, often a question, on a line below."""
    question = f'<span class="question">{match["first"].upper()}{match["rest"]}</span>'
    return f"<h1>{match['topic']} <br>{question}{match['link']}"


def put_on_one_page(body: str) -> str:
    """Adapt the page that has the whole book, for print: links stay on it, and nothing moves."""
    body = _SCRIPT.sub("", body)  # the first image of a filmstrip is there without it
    body = _LINK_TO_PRINT.sub("", body)
    return re.sub(r'href="(\w+)\.html"', r'href="#document-book/\1"', body)


def give_pictures_their_sizes(body: str, images: dict[str, str]) -> str:
    """Give each image its size, so that nothing moves when it loads, and a link that opens it alone.

    Args:
        images: maps the path of an image file to its name in the built pages (the builder's).
    """
    paths = {name: path for path, name in images.items()}

    def add(match: re.Match) -> str:
        with Image.open(ROOT / paths[match["name"]]) as picture:
            tag = f'<img width="{picture.width}" height="{picture.height}" {match["rest"]}'
        return f"{match['link']}{tag}" if match["link"] else f'<a class="picture" href="{match["source"]}">{tag}</a>'

    return _PICTURE.sub(add, body)


def draw_facts(page: Page, pages: dict[str, Page], doctree: nodes.document) -> str:
    """One line: the part, the time, the exercises, and the chapters that this one builds on."""
    facts = [escape(page.part)]
    if found := re.search(r"Time: about ([^.]+)[.]", doctree.astext()):
        facts.append(f"about {escape(found[1])}")
    titles = [section[0].astext() for section in doctree.findall(nodes.section)]
    points = [int(found[1]) for title in titles if (found := _EXERCISE.search(title))]
    if points:
        facts.append(f"{count(len(points), 'exercise')}, {count(sum(points), 'point')}")
    if earlier := BUILDS_ON.get(page.name):
        links = (f'<a href="{name}.html">{escape(pages[name].title)}</a>' for name in earlier)
        facts.append(f"builds on {' and '.join(links)}")
    return f'<ul class="chapter-facts">{"".join(f"<li>{fact}</li>" for fact in facts)}</ul>'


def count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def draw_mark_of_progress(name: str) -> str:
    return (
        '<p class="chapter-finished"><label><input type="checkbox" '
        f'data-chapter="{name}"> I have finished this chapter</label> <small>(kept in this browser)</small></p>'
    )
