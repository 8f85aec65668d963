"""Makes wrong answers: applies every rule to every node of a right answer."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from tools.holes.observe import Facts
from tools.holes.rules import RULES
from tools.holes.sources import Source

NOT_CODE = {
    "annotation",
    "returns",
    "decorator_list",
    "ctx",
    "type_params",
    "exc",
}  # of a definition, and an error's text
DESCRIPTIONS = ("shape", "dtype", "device", "ndim")  # of these a tensor's numbers are no part, and need no change


@dataclass(frozen=True)
class Mutant:
    """A changed answer.

    Attributes:
        rule: the name of the rule.
        of: the name of the right answer that was changed.
        change: the changed lines, old and new, in one line.
        text: the whole file.
    """

    rule: str
    of: str
    change: str
    text: str


def make_mutants(source: Source, facts: dict[int, Facts]) -> Iterator[Mutant]:
    """All changes of a right answer, each one once.

    Args:
        facts: what was seen of the numbered nodes of the source.
    """
    statements = [ast.unparse(statement) for statement in source.tree.body]
    for part in source.parts:
        for node in ast.walk(part):
            node.numbers = []
            node.facts = facts.get(getattr(node, "number", -1), Facts())
        for node in ast.walk(part):
            if isinstance(node, ast.FunctionDef):
                tell_numbers(node)
            if isinstance(node, ast.Attribute) and node.attr in DESCRIPTIONS:
                node.value.facts = Facts()
    for part in source.parts:
        position = source.tree.body.index(part)
        for rule, changed in changed_parts(part, source.tree):
            text = "\n".join([*statements[:position], changed, *statements[position + 1 :]]) + "\n"
            yield Mutant(rule, source.name, change(statements[position], changed), text)


def tell_numbers(function: ast.FunctionDef):
    """Tell each comparison of a function under which names the function has numbers."""
    nodes = list(ast.walk(function))
    names = {ast.unparse(n): n for n in nodes if isinstance(n, (ast.Name, ast.Attribute)) and n.facts.is_number}
    for node in nodes:
        if isinstance(node, ast.Compare):
            node.numbers = list(names.values())


def changed_parts(part: ast.stmt, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The text of a definition after each change, with the name of the rule."""
    known = {ast.unparse(part)}
    for node, parent, field, index in places(part, tree):
        for rule in RULES:
            if isinstance(node, rule.kinds):
                for new in list(rule.change(node, node.facts)):
                    text = text_with(part, parent, field, index, new)
                    if text not in known and compiles(text):
                        known.add(text)
                        yield rule.name, text


def places(part: ast.AST, tree: ast.Module) -> Iterator[tuple[ast.AST, ast.AST, str, int | None]]:
    """Every node of a definition that is code, with its parent, and the field and index where it is."""
    yield part, tree, "body", tree.body.index(part)
    waiting = [part]
    while waiting:
        parent = waiting.pop(0)
        for node, field, index in children(parent):
            if field not in NOT_CODE and not is_docstring(parent, index):
                yield node, parent, field, index
                waiting.append(node)


def children(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """The nodes right below one, each with its field and its index there."""
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            yield from ((item, name, index) for index, item in enumerate(value) if isinstance(item, ast.AST))
        elif isinstance(value, ast.AST):
            yield value, name, None


def is_docstring(parent: ast.AST, index: int | None) -> bool:
    return isinstance(parent, (ast.FunctionDef, ast.ClassDef)) and index == 0 and ast.get_docstring(parent) is not None


def text_with(part: ast.stmt, parent: ast.AST, field: str, index: int | None, new: ast.AST) -> str:
    """A definition with one node replaced, while the tree stays as it is."""
    if isinstance(parent, ast.Module):
        return ast.unparse(new)
    old = getattr(parent, field)
    setattr(parent, field, new if index is None else [*old[:index], new, *old[index + 1 :]])
    try:
        return ast.unparse(part)
    finally:
        setattr(parent, field, old)


def compiles(text: str) -> bool:
    try:
        compile(text, "<mutant>", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def change(old: str, new: str) -> str:
    """The lines that differ, in one line: `old lines -> new lines`. If lines moved, also those between them."""
    before, after = ([line.strip() for line in text.splitlines()] for text in (old, new))
    changed = [
        code[1:] for code in SequenceMatcher(None, before, after, autojunk=False).get_opcodes() if code[0] != "equal"
    ]
    removed = [line for start, end, _, _ in changed for line in before[start:end]]
    added = [line for _, _, start, end in changed for line in after[start:end]]
    if sorted(removed) == sorted(added):
        removed, added = before[changed[0][0] : changed[-1][1]], after[changed[0][2] : changed[-1][3]]
    return " -> ".join(" / ".join(filter(None, lines)) or "nothing" for lines in (removed, added))
