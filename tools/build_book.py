"""Builds the web pages (`make book`), and prints the path of the first page.

Each notebook in the repository is saved with its outputs, and `make test` checks that running it reproduces them. So
only a chapter whose code has changed since then is executed here. The whole book on one page, for print, is made in
the same run, into the folder print/ of the pages.

    --execute         execute every chapter, even if its outputs are saved (a quarter of an hour on two cores)
    --saved           execute nothing, not even a chapter that has changed
    --output FOLDER   where the folder _build goes; by default the root of the repository

`tools/book_site` explains the environment variables of a build (BOOK_URL, BOOK_REPOSITORY, BOOK_JUPYTERHUB).
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn

sys.path.insert(0, str(Path(__file__).resolve().parent))

from book_site.launch import add_start_cells
from notebooks import LIVE

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--execute", action="store_true")
    parser.add_argument("--saved", action="store_true")
    parser.add_argument("--output", type=Path, default=ROOT)
    options = parser.parse_args(arguments)
    cache = options.output / "_build" / ".jupyter_cache"
    if options.execute:
        shutil.rmtree(cache, ignore_errors=True)
    else:
        fill_cache(cache)
    surroundings = os.environ | ({"BOOK_EXECUTE": "off"} if options.saved else {})
    for builder in ("html", "singlehtml"):
        if code := run_jupyter_book(builder, options.output, surroundings):
            print("The book was not built: see the warnings above.", file=sys.stderr)
            return code
    pages = options.output / "_build" / "html"
    copy_page_for_print(options.output / "_build" / "singlehtml", pages / "print")
    if repository := os.environ.get("BOOK_REPOSITORY"):
        add_start_cells(pages / "_sources" / "book", repository)
    print(f"\nThe book: {pages / 'index.html'}")
    return 0


def fill_cache(folder: Path):
    """Put every notebook that has outputs into the cache that Jupyter Book checks before it executes one."""
    cache = get_cache(folder)
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        cells = (cell for cell in notebook.cells if cell.cell_type == "code")
        if all(cell.execution_count or LIVE in cell.metadata.get("tags", []) for cell in cells):
            cache.cache_notebook_bundle(CacheBundleIn(notebook, str(path)), check_validity=False, overwrite=True)


def copy_page_for_print(source: Path, target: Path):
    """Copy the page and what it loads. Sphinx writes it next to the first chapter, with links for the folder above."""
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("book", "social_previews"))
    page = (source / "book" / "intro.html").read_text(encoding="utf-8")
    (target / "index.html").write_text(page.replace('href="book/intro.html#', 'href="#'), encoding="utf-8")


def run_jupyter_book(builder: str, output: Path, surroundings: dict[str, str]) -> int:
    # jupyter-book is called as a module of this interpreter: a script in .venv/bin can fail if the path has spaces.
    command = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    build = ["build", "-W", "--keep-going", "--builder", builder, "--path-output", str(output), str(ROOT)]
    return subprocess.run([sys.executable, "-c", command, *build], cwd=ROOT, env=surroundings, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
