"""What the build adds to the first page, without building it."""

from pathlib import Path

import pytest
from book_site.contents import ROOT, read_contents
from book_site.pages import draw_chapters, fill_first_page
from docutils import nodes

BODY = (
    '<div id="drawing-of-the-model"></div><div id="map-of-the-model"></div><div id="table-of-chapters"></div>'
    "<p>Get the repository, then type. Please open an issue in the repository.</p>"
)


@pytest.fixture
def titles() -> dict[str, nodes.title]:
    return {f"book/{name}": nodes.title(text=f"Topic of {name}: a question?") for name in read_contents()}


def test_without_an_address_no_repository_is_named(monkeypatch, titles):
    """The theme has a default: Jupyter Book's own repository."""
    monkeypatch.delenv("BOOK_REPOSITORY", raising=False)
    page = fill_first_page(BODY, read_contents(), titles)
    assert "git clone" not in page and "://git" not in page


def test_with_an_address_the_page_says_how_to_get_the_repository_and_where_to_ask(monkeypatch, titles):
    monkeypatch.setenv("BOOK_REPOSITORY", "https://example.org/course")
    page = fill_first_page(BODY, read_contents(), titles)
    assert "<code>git clone https://example.org/course</code>" in page
    assert '<a href="https://example.org/course/issues">open an issue</a>' in page


def test_all_three_places_are_filled_and_are_there_in_the_source(titles):
    page = fill_first_page(BODY, read_contents(), titles)
    assert 'aria-label="Flow chart.' in page and 'class="model-map model-map-whole"' in page
    text = Path(ROOT, "book", "intro.md").read_text(encoding="utf-8")
    for place in ("drawing-of-the-model", "map-of-the-model", "table-of-chapters"):
        assert f'<div id="{place}"></div>' in text and f'<div id="{place}"></div>' not in page
    for words in ("Get the repository,", "open an issue in the repository"):
        assert words in text


def test_each_page_is_listed_under_its_part_with_its_heading(titles):
    listed = draw_chapters(read_contents(), titles)
    assert '<a href="ch07_rope.html">7 · Rotary positions</a><span>Topic of ch07_rope: a question?</span>' in listed
    assert listed.index("<h3>Part I: seeing</h3>") < listed.index("ch02_patches.html") < listed.index("<h3>Part II")
