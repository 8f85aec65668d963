"""The right answers to an exercise as source code: its solution, and the other right variants, each as one file."""

import ast
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

from grader.truth import Variant, load_alternatives, load_solution

Definition = ast.FunctionDef | ast.ClassDef | ast.Assign
# A variant may use what the file of mistakes imports: the solution, and the marks on its functions.
PREAMBLE = """
from types import SimpleNamespace
solution = SimpleNamespace(**globals())
mistake = variant = lambda *_: lambda implementation: SimpleNamespace(implementation=implementation)
"""


@dataclass(frozen=True)
class Source:
    """A right answer.

    Attributes:
        name: "solution", or the name of the variant.
        tree: a whole file, which can be submitted.
        parts: the definitions in it that make up the answer, to be changed.
    """

    name: str
    tree: ast.Module
    parts: list[Definition]


def right_answers(chapter: str, exercise: str, exercises: Sequence[str]) -> Iterator[Source]:
    """The solution of an exercise, and its other right variants.

    Args:
        exercises: all exercises of the chapter: what one of them uses of another is not its own.
    """
    solution = inspect.getsource(load_solution(chapter))
    yield source_of("solution", solution, exercise, set(exercises) - {exercise})
    for entry in load_alternatives(chapter, Variant):
        if entry.exercise == exercise:
            module = inspect.getmodule(entry.implementation)
            text = "\n".join(
                [solution, PREAMBLE, variant_text(module, entry.name), f"{exercise} = {entry.name}.implementation"]
            )
            yield source_of(entry.name, text, entry.name, set(exercises) - {entry.name})


def source_of(name: str, text: str, definition: str, others: set[str]) -> Source:
    """A file, and in it the definition of that name with the functions and classes that it uses."""
    tree = ast.parse(ast.unparse(ast.parse(text)))  # so that positions are those of the text as it is written again
    parts = [node for node in needed(tree.body, definition, others) if isinstance(node, Definition)]
    return Source(name, tree, parts)


def variant_text(module: ModuleType, name: str) -> str:
    """What a variant needs of its module."""
    body = ast.parse(inspect.getsource(module)).body
    kept = needed(body, name, set())
    imports = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom)) and not is_private(node)]
    return "\n".join(ast.unparse(node) for node in [*imports, *kept])


def is_private(node: ast.Import | ast.ImportFrom) -> bool:
    """Whether a submission may not import it: the solutions, and the grader."""
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("solutions", "grader")


def needed(body: list[ast.stmt], name: str, others: set[str]) -> list[ast.stmt]:
    """The statement that defines a name and those it needs, in the order of the file, without the other names."""
    defined = {
        defined_name: node for node in body for defined_name in names_defined(node) if defined_name not in others
    }
    found, waiting = set(), [name]
    while waiting:
        current = waiting.pop()
        if current in defined and current not in found:
            found.add(current)
            waiting += [node.id for node in ast.walk(defined[current]) if isinstance(node, ast.Name)]
    return [node for node in body if found & set(names_defined(node))]


def names_defined(node: ast.stmt) -> list[str]:
    """The names that a statement of a module defines, imports aside."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []
