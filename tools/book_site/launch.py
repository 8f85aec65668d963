"""Makes notebooks start anywhere: `python tools/book_site/launch.py REPOSITORY FOLDER` gives each a first cell.

On Colab, or after a download, nothing of the course is there. The cell fetches the repository and installs it; where
the course is installed it does nothing. The chapters in the repository do not have it, since it needs an address.
"""

import sys
from pathlib import Path

import nbformat

BRANCH = "launch"  # where the Pages workflow puts the notebooks with this cell
START = """\
# Fetches and installs the course where it is not installed yet, on Colab for instance (some minutes).
import importlib.util
import os
import sys

if importlib.util.find_spec("vlm") is None:
    !git clone --quiet --depth 1 {repository} paligemma-course
    %cd paligemma-course/book
    %pip install --quiet --editable "..[book,test]"
    sys.path.insert(0, "..")  # this kernel was running before the installation
elif os.path.isdir("paligemma-course/book"):  # a kernel that was started anew
    %cd paligemma-course/book"""


def add_start_cell(notebook: nbformat.NotebookNode, repository: str) -> nbformat.NotebookNode:
    """The notebook with a first cell that brings the course from `repository`, unless it has one."""
    cell = nbformat.v4.new_code_cell(START.format(repository=repository), id="start")
    if notebook.cells[0].id != cell.id:
        notebook.cells.insert(0, cell)
    return notebook


def add_start_cells(folder: Path, repository: str) -> int:
    """Give each notebook of a folder its first cell, and say how many there are."""
    paths = sorted(folder.glob("*.ipynb"))
    for path in paths:
        notebook = add_start_cell(nbformat.read(path, as_version=4), repository)
        path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    return len(paths)


def main() -> int:
    if len(sys.argv) != 3 or not Path(sys.argv[2]).is_dir():
        print(f"usage: {sys.argv[0]} REPOSITORY FOLDER, with the address of a git repository", file=sys.stderr)
        return 2
    print(f"{add_start_cells(Path(sys.argv[2]), sys.argv[1])} notebooks fetch the course from {sys.argv[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
