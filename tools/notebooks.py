"""Makes the notebooks from their sources: `make notebooks`, or `python tools/notebooks.py [chapter ...]`.

A chapter is written in book/chNN_name.py (jupytext's percent format), the only file that people edit. This
command makes book/chNN_name.ipynb from it, executed, with its outputs.

    --check     change nothing; report what is out of sync, and exit with 1 if anything is
    --refresh   write the package's own definitions into the cells that show them
    --text      update the text and keep the outputs, for chapters whose code has not changed since they were executed

A cell tagged `from:vlm.siglip.SiglipAttention` shows that definition. `--check` compares the two as syntax
trees, ignoring docstrings, so that a chapter shows the code that the package runs. A cell tagged
`skip-execution` shows a live figure in JupyterLab, where the web page has the figure itself: nbclient skips it,
because its output has several megabytes, and only nbval runs it.
"""

import argparse
import ast
import hashlib
import importlib
import inspect
import os
import re
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

BOOK = Path(__file__).resolve().parent.parent / "book"
TAG = "from:"
LIVE = "skip-execution"  # nbclient's own tag
KEPT_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def read_source(path: Path) -> nbformat.NotebookNode:
    """The notebook of a source, without outputs; a cell's id depends only on its index and its text."""
    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata = nbformat.from_dict(KEPT_METADATA)
    for index, cell in enumerate(notebook.cells):
        digest = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        cell["id"] = f"{index:02d}-{digest}"
    return notebook


def execute(path: Path) -> Path:
    """Run a chapter from top to bottom and write its notebook next to it."""
    notebook = read_source(path)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
    return write(notebook, path)


def take_over_text(path: Path) -> Path:
    """Update the text of a chapter's notebook, without running it.

    Raises:
        ValueError: if the code of a cell differs from what was executed, in more than comments and docstrings.
    """
    notebook, executed = read_source(path), nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    new, old = (executed_cells(book) for book in (notebook, executed))
    if [syntax(cell.source) for cell in new] != [syntax(cell.source) for cell in old]:
        raise ValueError(f"the code of {path.name} has changed since it was executed: execute it again")
    for cell, before in zip(new, old):
        cell.outputs, cell.execution_count = before.outputs, before.execution_count
    return write(notebook, path)


def executed_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The code cells, except those that nbclient skips."""
    is_live = [LIVE in cell.metadata.get("tags", []) for cell in notebook.cells]
    return [cell for cell, live in zip(notebook.cells, is_live) if cell.cell_type == "code" and not live]


def write(notebook: nbformat.NotebookNode, path: Path) -> Path:
    notebook.metadata = nbformat.from_dict(KEPT_METADATA)
    target = path.with_suffix(".ipynb")
    partial = target.with_name(target.name + ".partial")
    partial.write_text(nbformat.writes(notebook, version=4) + "\n", encoding="utf-8")
    os.replace(partial, target)
    return target


def check(path: Path) -> list[str]:
    """The problems of a chapter: in its notebook, or in a definition that it shows."""
    source, target = read_source(path), path.with_suffix(".ipynb")
    problems = check_definitions(source, path.name)
    if not target.is_file():
        return [*problems, f"{target.name} is missing"]
    notebook = nbformat.read(target, as_version=4)
    wanted = [(cell.cell_type, cell.source, comparable_metadata(cell)) for cell in source.cells]
    found = [(cell.cell_type, cell.source, comparable_metadata(cell)) for cell in notebook.cells]
    if wanted != found:
        problems.append(f"{target.name} was not made from {path.name} as it is now")
    for number, cell in enumerate(notebook.cells):
        problems += [f"{target.name}, cell {number}: {what}" for what in check_outputs(cell)]
    return problems


def comparable_metadata(cell: nbformat.NotebookNode) -> dict:
    return {name: value for name, value in cell.metadata.items() if name in ("tags", "mystnb")}


def check_outputs(cell: nbformat.NotebookNode) -> list[str]:
    """Check that a cell is executed, without warnings or errors, and that its figure is described."""
    if cell.cell_type != "code" or not cell.source.strip():
        return []
    if LIVE in cell.metadata.get("tags", []):
        return ["has outputs, though it is tagged as live"] if cell.outputs else []
    problems = [] if cell.execution_count else ["not executed"]
    for output in cell.outputs:
        if output.output_type == "error":
            problems.append(f"ended with {output.ename}")
        if output.get("name") == "stderr" or "Warning" in output.get("text", ""):
            problems.append(f"warns: {output.text.strip()[:100]}")
        if "image/png" in output.get("data", {}):
            figure = cell.metadata.get("mystnb", {})
            if not figure.get("image", {}).get("alt") or not figure.get("figure", {}).get("caption"):
                problems.append("has a figure without alt text or caption (mystnb metadata of the cell)")
    return problems


def shown_definitions(notebook: nbformat.NotebookNode) -> list[tuple[nbformat.NotebookNode, str]]:
    """The cells that show a definition of the package, each with the full name of the definition."""
    return [
        (cell, tag.removeprefix(TAG))
        for cell in notebook.cells
        for tag in cell.metadata.get("tags", [])
        if tag.startswith(TAG)
    ]


def package_source(name: str) -> str:
    """The text of "vlm.siglip.SiglipAttention" in the package."""
    module, _, definition = name.rpartition(".")
    return inspect.getsource(getattr(importlib.import_module(module), definition)).rstrip()


def check_definitions(notebook: nbformat.NotebookNode, where: str) -> list[str]:
    return [
        f"{where} shows a {name} that differs from the package's: run tools/notebooks.py --refresh"
        for cell, name in shown_definitions(notebook)
        if syntax(cell.source) != syntax(package_source(name))
    ]


def syntax(code: str) -> str:
    """The code as a syntax tree, without docstrings (comments are not in it anyway)."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        is_documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node)
        if is_documented and isinstance(body, list):
            node.body = body[1:] or [ast.Pass()]
    return ast.dump(tree)


def refresh(path: Path):
    """Write the package's text into the cells that show it, where they differ in more than comments."""
    text = path.read_text(encoding="utf-8")
    for cell, name in shown_definitions(read_source(path)):
        if syntax(cell.source) != syntax(package_source(name)):
            header = rf'(# %% [^\n]*"{re.escape(TAG + name)}"[^\n]*\n)'
            pattern = re.compile(header + re.escape(cell.source))
            text = pattern.sub(lambda match, name=name: match[1] + package_source(name), text)
    path.write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None, book: Path = BOOK) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapters", nargs="*", help="such as ch01_whole_vlm; all chapters if none is given")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--refresh", action="store_true")
    parser.add_argument("--text", action="store_true")
    options = parser.parse_args(arguments)
    paths = [book / f"{name}.py" for name in options.chapters] or sorted(book.glob("*.py"))
    if missing := [path.name for path in paths if not path.is_file()]:
        print(f"no such chapter: {', '.join(missing)}", file=sys.stderr)
        return 1
    if options.check:
        problems = [problem for path in paths for problem in check(path)]
        print("\n".join(problems) or f"{len(paths)} chapters are in sync")
        return 1 if problems else 0
    for path in paths:
        if options.refresh:
            refresh(path)
        elif options.text:
            take_over_text(path)
        else:
            print(f"{path.name} -> {execute(path).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
