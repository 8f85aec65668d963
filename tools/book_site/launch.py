"""Makes notebooks run anywhere: `python tools/book_site/launch.py REPOSITORY FOLDER` adds a first cell to each.

On Colab, or if only the notebook was downloaded, the course is not installed. The cell downloads the repository and
installs it; if the course is installed already, it does nothing. The notebooks in the repository do not have this
cell, because it needs the repository's address.
"""

import sys
from pathlib import Path

import nbformat

BRANCH = "launch"  # where the Pages workflow puts the notebooks with this cell
START = """\
# Downloads and installs the course if it is not installed yet, for example on Colab (takes a few minutes).
import importlib.util
import os
import sys

if importlib.util.find_spec("vlm") is None:
    !git clone --quiet --depth 1 {repository} paligemma-course
    %cd paligemma-course/book
    %pip install --quiet --editable "..[book,test]"
    sys.path.insert(0, "..")  # this kernel was running before the installation
elif os.path.isdir("paligemma-course/book"):  # a kernel that was restarted
    %cd paligemma-course/book"""


def add_start_cell(notebook: nbformat.NotebookNode, repository: str) -> nbformat.NotebookNode:
    """Add a first cell that downloads the course from `repository`, unless the notebook has one."""
    cell = nbformat.v4.new_code_cell(START.format(repository=repository), id="start")
    if notebook.cells[0].id != cell.id:
        notebook.cells.insert(0, cell)
    return notebook


def add_start_cells(folder: Path, repository: str) -> int:
    """Add the first cell to each notebook of a folder; return the number of notebooks."""
    paths = sorted(folder.glob("*.ipynb"))
    for path in paths:
        notebook = add_start_cell(nbformat.read(path, as_version=4), repository)
        path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    return len(paths)


def main() -> int:
    if len(sys.argv) != 3 or not Path(sys.argv[2]).is_dir():
        print(f"usage: {sys.argv[0]} REPOSITORY FOLDER, with the address of a git repository", file=sys.stderr)
        return 2
    print(f"{add_start_cells(Path(sys.argv[2]), sys.argv[1])} notebooks download the course from {sys.argv[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
