"""Makes the copy of the course for students: `make release`, or `python -m grader.release --output release`.

The copy contains the chapters without the solutions at the end of their hints, the stubs, and the checks. Instead of
the solutions it contains their answers to the test cases of a few seeds, as numbers, and those of the known mistakes.
Finally, every file of the copy is searched for traces of a solution.
"""

import argparse
import ast
import re
import shutil
import subprocess
from pathlib import Path

import nbformat

from grader.grading import all_checks, chapter_of, load_exercises
from grader.places import EXPECTED, ROOT, SOLUTIONS
from grader.truth import record_truth
from vlm.commands.program import run_as_program

SEEDS = (0, 1, 2)
LEFT_OUT = (
    "solutions/",
    ".github/",
    ".ci/",
    "tools/holes/",  # it changes the solutions
    "tests/",  # they use the solutions, and the sources of the chapters
    "grader/release.py",
)
PACKAGES = ("vlm", "toybox", "benchmark", "figures")
_FOLD = re.compile(r"(?:# )?(`{4,})\{admonition\} Solution")  # in a chapter's source the text is in comments
# What counts as a trace of a solution: this many consecutive statements, and this many characters.
_TRACE_STATEMENTS, _TRACE_CHARACTERS = 3, 40


def make_release(output: Path, seeds: tuple[int, ...] = SEEDS):
    """Write the copy into a folder that does not exist yet.

    Raises:
        FileExistsError: the folder exists.
        ValueError: the copy contains traces of a solution; the message lists them.
    """
    if output.exists():
        raise FileExistsError(f"{output} exists already: name another folder, or remove it")
    for path in tracked_files():
        target = output / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for path in [*output.glob("book/*.ipynb"), *output.glob("book/*.py"), *output.glob("book/*.md")]:
        strip_solutions(path)
    for checks in all_checks():
        chapter = chapter_of(checks)
        record = output / EXPECTED.relative_to(ROOT) / f"{chapter}.answers"
        record_truth(load_exercises(checks), chapter, seeds, record)
    traces = find_traces(output)
    if traces:
        raise ValueError("the copy contains parts of solutions:\n  " + "\n  ".join(traces))


def tracked_files() -> list[Path]:
    """The files of the repository, except those that are not for students."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in listing.split("\0") if name and not name.startswith(LEFT_OUT)]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def strip_solutions(path: Path):
    """Remove the solutions at the end of the hints from a chapter."""
    if path.suffix != ".ipynb":
        path.write_text(without_solution_folds(path.read_text(encoding="utf-8")), encoding="utf-8")
        return
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = without_solution_folds(cell.source)
    path.write_text(nbformat.writes(notebook, version=4) + "\n", encoding="utf-8")


def without_solution_folds(text: str) -> str:
    """A text without the folds titled "Solution", each fenced by four or more backticks."""
    kept, fence = [], None
    for line in text.splitlines(keepends=True):
        opening = _FOLD.match(line)
        if fence is None and opening:
            fence = opening[1]
        elif fence is None:
            kept.append(line)
        elif line.strip().removeprefix("# ") == fence:
            fence = None
    return "".join(kept)


def find_traces(folder: Path) -> list[str]:
    """Files of the copy that contain consecutive statements of a solution.

    Code of the packages is not a trace: the copy needs it, and chapters show its definitions.
    """
    files = [path for path in folder.rglob("*") if path.suffix in (".py", ".ipynb", ".md", ".txt", ".yml")]
    texts = {path.relative_to(folder): squeeze(path.read_text(encoding="utf-8").replace("\\n", "\n")) for path in files}
    package = "\n".join(text for path, text in texts.items() if path.parts[0] in PACKAGES)
    traces = set()
    for solution in sorted(SOLUTIONS.rglob("*.py")):
        for name, statements in bodies(solution):
            length = min(_TRACE_STATEMENTS, len(statements))
            rows = ("".join(statements[i : i + length]) for i in range(len(statements) - length + 1))
            pieces = [row for row in rows if len(row) >= _TRACE_CHARACTERS and row not in package]
            for path, text in texts.items():
                if path.parts[0] not in PACKAGES and any(piece in text for piece in pieces):
                    traces.add(f"{path}: {name}")
    return sorted(traces)


def bodies(path: Path) -> list[tuple[str, list[str]]]:
    """The statements of each function, without docstring, comments and spaces."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            statements = node.body[1:] if ast.get_docstring(node) else node.body
            lines = [squeeze(ast.unparse(statement)) for statement in statements]
            found.append((f"{path.stem}.{node.name}", lines))
    return found


def squeeze(text: str) -> str:
    """Remove comments and white space, and unify quotes, so that formatting hides nothing."""
    return re.sub(r"\s+", "", re.sub(r"#.*", "", text)).replace('"', "'")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("release"))
    options = parser.parse_args()
    try:
        make_release(options.output)
    except (FileExistsError, ValueError) as error:
        raise SystemExit(str(error)) from None
    print(f"the students' copy: {options.output.resolve()}")


if __name__ == "__main__":
    run_as_program("grader.release", main)
