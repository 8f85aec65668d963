"""The built pages as files: whole in themselves, every link leads somewhere, every page has what it should."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import nbformat
import pytest
from book_pages import ADDRESS, FOLDER, REPOSITORY, read_as_sent
from bs4 import BeautifulSoup

LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "audio": "src",
    "video": "src",
    "embed": "src",
}
HEAVIEST, HEAVIEST_FOR_PRINT = 1_000_000, 1_200_000  # bytes; for print there is the whole book on one page
LINKS_THAT_LOAD = {"stylesheet", "preload", "prefetch", "modulepreload", "preconnect", "icon", "manifest"}


@pytest.fixture(scope="module")
def pages(site) -> dict[str, BeautifulSoup]:
    """Every HTML page by its path in the site."""
    found = {
        path.relative_to(site).as_posix(): BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts
    }
    assert len(found) > 35
    return found


@pytest.fixture(scope="module")
def chapters(pages) -> dict[str, BeautifulSoup]:
    return {name: page for name, page in pages.items() if name.startswith("book/ch")}


def is_elsewhere(address: str) -> bool:
    return urlparse(address).scheme in ("http", "https") or address.startswith("//")


def test_no_page_loads_anything_from_another_host(pages):
    loaded = {
        (name, tag[LOADED[tag.name]])
        for name, page in pages.items()
        for tag in page(list(LOADED))
        if tag.get(LOADED[tag.name])
    }
    loaded |= {
        (name, tag["href"])
        for name, page in pages.items()
        for tag in page("link")
        if LINKS_THAT_LOAD & set(tag.get("rel", []))
    }
    assert len(loaded) > 300
    assert [where for where in loaded if is_elsewhere(where[1])] == []


def test_a_page_with_its_styles_and_scripts_has_a_megabyte_at_most(site, pages, record_property):
    """As a server sends them, compressed. Pictures inside the text count; those beside it and model weights do not."""
    sizes = {}
    for name, page in pages.items():
        addresses = [tag["src"] for tag in page("script", src=True)]
        addresses += [tag["href"] for tag in page("link", href=True) if "stylesheet" in tag["rel"]]
        loaded = {site / name, *(find_file(site, name, address) for address in addresses)}
        sizes[name] = sum(len(read_as_sent(path)) for path in loaded if path.is_file())
    record_property("heaviest", sorted(sizes.items(), key=lambda item: -item[1])[:3])
    assert min(sizes[name] for name in sizes if name.startswith("book/")) > 100_000  # styles and scripts were found
    assert sizes.pop("print/index.html") <= HEAVIEST_FOR_PRINT
    assert {name: size for name, size in sizes.items() if size > HEAVIEST} == {}


def find_file(site: Path, page: str, address: str) -> Path:
    """The file among the built pages that an address on a page means; the page 404 names files from the root."""
    path = unquote(urlparse(address).path)
    return site / path.removeprefix(FOLDER) if path.startswith("/") else (site / page).parent / path


def test_no_script_or_style_of_the_pages_names_another_host_to_load_from(site, pages):
    texts = [(name, str(tag)) for name, page in pages.items() for tag in page(["script", "style"])]
    texts += [(str(path), path.read_text(encoding="utf-8")) for path in site.rglob("*.css")]
    loading = re.compile(r"""(?:import\(?|url\(|\.src\s*=|THEBE_JS_URL\s*=|fetch\()\s*["']?(?:https?:)?//[^"')]+""")
    assert len(texts) > 300
    assert [(name, found) for name, text in texts if (found := loading.findall(text))] == []


def test_every_link_and_anchor_inside_the_book_leads_somewhere(site, pages):
    anchors = {name: {tag["id"] for tag in page(id=True)} for name, page in pages.items()}
    broken, checked = [], 0
    for name, page in pages.items():
        if name == "404.html":
            continue  # it has absolute addresses: the next test
        for tag in page("a", href=True):
            address, anchor = urldefrag(tag["href"])
            if is_elsewhere(address) or urlparse(address).scheme in ("javascript", "mailto", "data"):
                continue
            checked += 1
            target = (site / name).parent / unquote(address) if address else site / name
            target = target / "index.html" if target.is_dir() else target
            inside = target.resolve().relative_to(site.resolve()).as_posix() if target.exists() else None
            if inside is None or (anchor and inside in anchors and unquote(anchor) not in anchors[inside]):
                broken.append((name, tag["href"]))
    assert checked > 3000
    assert broken == []


def test_the_page_for_wrong_addresses_leads_back_from_anywhere(site, pages):
    links = {tag["href"] for tag in pages["404.html"]("a", href=True)}
    assert f"{FOLDER}book/intro.html" in links
    assert {link for link in links if link.startswith("/") and not link.startswith(FOLDER)} == set()


def test_the_address_alone_leads_to_the_first_page(pages):
    assert pages["index.html"].select_one("meta[http-equiv=Refresh]")["content"].endswith("book/intro.html")


def test_next_goes_through_the_whole_book(pages):
    here, seen = "book/intro.html", ["book/intro.html"]
    while link := pages[here].select_one("a.right-next"):
        here = f"book/{link['href']}"
        seen.append(here)
        assert pages[here].select_one("a.left-prev")["href"] == Path(seen[-2]).name
    assert sorted(seen) == sorted(name for name in pages if name.startswith("book/"))


def test_the_sitemap_lists_every_page_of_the_book(site, pages):
    tree = ElementTree.fromstring((site / "sitemap.xml").read_text(encoding="utf-8"))
    listed = {element.text for element in tree.iter() if element.tag.endswith("loc")}
    assert {f"{ADDRESS}{name}" for name in pages if name.startswith("book/")} <= listed


def test_every_page_of_the_book_has_a_card_for_social_networks(site, pages):
    for name, page in pages.items():
        if name.startswith("book/"):
            card = {tag["property"]: tag["content"] for tag in page("meta", property=True)}
            assert card["og:site_name"] == "PaliGemma from scratch", name
            assert card["og:title"] and card["og:description"], name
            picture = site / card["og:image"].removeprefix(ADDRESS)
            assert picture.is_file(), name


def test_every_chapter_says_where_it_is_how_long_it_takes_and_what_it_builds_on(chapters):
    assert len(chapters) == 25
    for name, page in chapters.items():
        facts = [fact.get_text() for fact in page.select(".chapter-facts li")]
        assert re.search(r"about \d+ minutes", " ".join(facts)), name
        assert re.search(r"\d+ exercises?, \d+ points?", " ".join(facts)) or "ch01" in name, name
        assert page.select(".chapter-facts a") or name in ("book/ch00_setup.html", "book/ch01_whole_vlm.html"), name
        assert page.select(f'input[data-chapter="{Path(name).stem}"]'), name


def test_the_map_shows_each_chapter_of_the_model_as_being_here_on_its_own_page(chapters):
    without = {"book/ch00_setup.html", "book/ch01_whole_vlm.html"}  # these two are about all of it
    for name, page in chapters.items():
        here = [tag["href"] for tag in page.select(".model-map a[aria-current=page]")]
        assert here == ([] if name in without else [Path(name).name]), name


def test_a_chapter_builds_only_on_earlier_ones():
    from book_site.contents import BUILDS_ON, read_contents

    order = list(read_contents())
    for chapter, earlier in BUILDS_ON.items():
        assert all(order.index(name) < order.index(chapter) for name in earlier), chapter


def test_the_first_page_says_where_to_begin_and_where_the_repository_is(pages):
    page = pages["book/intro.html"]
    begin = [link["href"] for link in page.select(".start-buttons a")]
    assert begin == ["ch01_whole_vlm.html", "ch00_setup.html", "#chapters-of-the-book"]
    assert page.select("#chapters-of-the-book")
    assert f"git clone {REPOSITORY}" in page.get_text()
    assert f"{REPOSITORY}/issues" in {link["href"] for link in page("a", href=True)}
    assert page.select(".drawing svg text")
    assert len(page.select(".model-map li li a")) == 23  # each of 25 chapters but the two that are about all of it


def test_the_first_page_lists_every_page_with_its_topic(pages):
    entries = {entry.a["href"]: entry for entry in pages["book/intro.html"].select(".chapter-list li")}
    assert set(entries) == {Path(name).name for name in pages if name.startswith("book/")} - {"intro.html"}
    for name, entry in entries.items():
        heading = pages[f"book/{name}"].h1.get_text(" ").replace("#", "").strip()
        if name.startswith("ch"):
            topic = entry.span.get_text().split(":")[0]
            assert heading.startswith(topic), name


def test_a_figure_comes_before_the_button_that_shows_its_code(chapters):
    number = 0
    for name, page in chapters.items():
        for cell in page.select("div.cell.tag_hide-input:has(> div.cell_output)"):
            kinds = [child.name for child in cell.find_all(recursive=False)]
            assert kinds == ["div", "details"], name
            number += 1
    assert number > 80


def test_every_exercise_shows_its_stub(chapters):
    for name, page in chapters.items():
        for heading in page.select("section > h3"):
            if re.search(r"\(\d+ points?, \d+ minutes\)", heading.get_text()):
                function = heading.code.get_text()
                stub = heading.parent.select_one("div.highlight").get_text()
                assert re.match(rf"(def|class) {function}\b", stub) and "raise NotImplementedError" in stub, (
                    name,
                    function,
                )


def test_the_times_of_the_chapters_add_up_to_what_the_first_page_says(pages, chapters):
    reading = exercises = 0
    for name, page in chapters.items():
        facts = " ".join(fact.get_text() for fact in page.select(".chapter-facts li"))
        read, own = map(int, re.search(r"about (\d+) minutes to read and run, and (\d+) for the", facts).groups())
        headings = " ".join(heading.get_text() for heading in page.select("section > h3"))
        assert own == sum(int(minutes) for minutes in re.findall(r"\(\d+ points?, (\d+) minutes\)", headings)), name
        reading, exercises = reading + read, exercises + own
    said = re.search(
        r"about (\d+) hours to read and run, and the exercises about (\d+) more", pages["book/intro.html"].get_text()
    )
    assert abs(int(said[1]) - reading / 60) <= 1 and abs(int(said[2]) - exercises / 60) <= 1


def test_every_chapter_starts_elsewhere_and_can_be_downloaded(site, chapters):
    """The buttons lead to the branch whose notebooks fetch the course, and the file that is downloaded does so too."""
    for name, page in chapters.items():
        links = {tag["href"] for tag in page("a", href=True)}
        notebook = name.replace(".html", ".ipynb")
        assert f"https://colab.research.google.com/github/somebody/course/blob/launch/{notebook}" in links, name
        assert any(link.startswith("https://mybinder.org/v2/gh/somebody/course/launch?") for link in links), name
        assert f"../_sources/{notebook}" in links, name
        first = nbformat.read(site / "_sources" / notebook, as_version=4).cells[0]
        assert f"git clone --quiet --depth 1 {REPOSITORY}" in first.source, name


def test_every_page_says_which_version_it_is(pages):
    for name, page in pages.items():
        if name.startswith("book/"):
            assert re.search(r"Version \d+\.\d+\.\d+\.", page.select_one(".bd-footer-content").get_text()), name


def test_every_picture_has_words_for_those_who_do_not_see_it(pages):
    # Those of the text, not of the theme.
    pictures = [(name, tag) for name, page in pages.items() for tag in page("img") if "_images/" in tag["src"]]
    assert len(pictures) > 50
    assert [(name, tag["src"]) for name, tag in pictures if len(tag.get("alt", "")) <= 20] == []


def test_the_page_for_print_has_every_chapter_and_leads_nowhere_else_in_the_book(pages):
    page = pages["print/index.html"]
    inside = {tag["id"] for tag in page(id=re.compile("^document-book/"))}
    assert inside == {f"document-{name.removesuffix('.html')}" for name in pages if name.startswith("book/ch")} | {
        f"document-book/{name}" for name in ("bibliography", "bugs_in_the_wild", "capstone", "glossary", "notation")
    } | {f"document-book/{name}" for name in ("project", "teaching", "timeline")}
    assert page.select("figure.filmstrip img") and not page.select("figure.filmstrip script")
    article = page.select_one("article")
    assert [link["href"] for link in article("a", href=True) if urlparse(link["href"]).path.endswith(".html")] == []
