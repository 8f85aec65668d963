"""Glossary, timeline and bibliography: links in them and to them lead somewhere, and nothing stands there unused."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
BOOK = ROOT / "book"
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in [*BOOK.glob("*.py"), *BOOK.glob("*.md")]}
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PAGES = {Path(entry["file"]).name for part in TOC["parts"] for entry in part["chapters"]}


def find_roles(role: str, text: str) -> list[str]:
    """What {role}`...` points at: the text itself, or what stands in <> behind it."""
    return [re.sub(r".*<(.*)>$", r"\1", content) for content in re.findall(rf"{{{role}}}`([^`]+)`", text)]


def read_glossary() -> dict[tuple[str, ...], str]:
    """From the names of an entry (lower case, one or more) to its definition."""
    lines = TEXTS["glossary"].partition("```{glossary}\n:sorted:\n")[2].partition("```")[0].strip().split("\n")
    entries, names = {}, []
    for line in lines:
        if line.startswith("  "):
            assert tuple(names) not in entries, f"{names} stands twice in the glossary"
            entries[tuple(names)] = line.strip()
            names = []
        elif line:
            names.append(line.lower())
    return entries


def read_bibliography() -> dict[str, str | None]:
    """From the key of a paper to its number on arXiv."""
    text = (BOOK / "references.bib").read_text("utf-8")
    papers = re.findall(r"^@\w+\{(\w+),(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    numbers = {key: re.search(r"eprint\s*= \{([\d.]+)\}", fields) for key, fields in papers}
    return {key: number and number[1] for key, number in numbers.items()}


GLOSSARY, BIBLIOGRAPHY = read_glossary(), read_bibliography()
CITED = {
    key
    for text in TEXTS.values()
    for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text)
    for key in keys.split(",")
}


def test_every_entry_of_the_glossary_links_to_where_it_is_explained():
    links = {names[0]: set(find_roles("doc", definition)) for names, definition in GLOSSARY.items()}
    assert [name for name, pages in links.items() if not pages] == []
    assert {name: pages - PAGES for name, pages in links.items() if pages - PAGES} == {}


def test_every_entry_of_the_glossary_is_used_in_the_book():
    used = {term.lower() for page, text in TEXTS.items() if page != "glossary" for term in find_roles("term", text)}
    assert [names for names in GLOSSARY if not used & set(names)] == []


def test_a_name_has_one_entry():
    names = [name for entry in GLOSSARY for name in entry]
    assert len(names) == len(set(names))


def test_every_term_in_the_book_is_in_the_glossary():
    known = {name for entry in GLOSSARY for name in entry}
    terms = [(page, term.lower()) for page, text in TEXTS.items() for term in find_roles("term", text)]
    assert [(page, term) for page, term in terms if term not in known] == []


def test_every_citation_is_in_the_bibliography_and_every_paper_is_cited():
    assert set(BIBLIOGRAPHY) == CITED


def test_every_paper_that_is_named_by_its_number_is_in_the_bibliography():
    folders = [ROOT / name for name in ("book", "vlm", "exercises", "solutions")]
    paths = [path for folder in folders for pattern in ("*.py", "*.md") for path in folder.rglob(pattern)]
    found = re.compile(r"arXiv[: ](\d{4}\.\d{4,5})")
    named = {(path, number) for path in paths for number in found.findall(path.read_text(encoding="utf-8"))}
    assert len(named) > 10
    assert [entry for entry in named if entry[1] not in BIBLIOGRAPHY.values()] == []
