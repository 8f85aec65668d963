"""What a rule is, and how it writes new code."""

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tools.holes.observe import Facts

Change = Callable[[ast.AST, Facts], Iterator[ast.AST]]
RULES: list["Rule"] = []


@dataclass(frozen=True)
class Rule:
    """Gives, for one node and what was seen of it, the nodes that may stand in its place."""

    name: str
    kinds: tuple[type, ...]
    change: Change


def rule(name: str, *kinds: type) -> Callable[[Change], Change]:
    """Add a function to the rules, for nodes of these kinds."""

    def add(change: Change) -> Change:
        RULES.append(Rule(name, kinds, change))
        return change

    return add


def expression(text: str, **parts: ast.expr | str) -> ast.expr:
    """The syntax tree of an expression in which names are replaced: `expression("x.clone()", x=node)`."""
    return Fill(parts).visit(ast.parse(text, mode="eval").body)


def statements(text: str, **parts: ast.expr | str) -> list[ast.stmt]:
    """The syntax trees of statements in which names are replaced."""
    return [Fill(parts).visit(node) for node in ast.parse(text).body]


class Fill(ast.NodeTransformer):
    """Replaces names by nodes."""

    def __init__(self, parts: dict[str, ast.expr | str]):
        self.parts = {name: ast.Name(part) if isinstance(part, str) else part for name, part in parts.items()}

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return copy.deepcopy(self.parts.get(node.id, node))


def replaced(node: ast.AST, **fields) -> ast.AST:
    """A copy of a node with some fields changed."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def without(items: list, index: int) -> list:
    return items[:index] + items[index + 1 :]


def called_name(node: ast.AST) -> str:
    """The name of the function or method that a call calls; "" for everything else."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def is_method_of_value(node: ast.Call) -> bool:
    """Whether it is a method of a value, as `x.clone()`, and not a function of a module, as `torch.clone(x)`."""
    if not isinstance(node.func, ast.Attribute):
        return False
    owner = node.func.value
    while isinstance(owner, ast.Attribute):
        owner = owner.value
    return not (isinstance(owner, ast.Name) and owner.id in MODULES) and called_name(owner) != "super"


MODULES = (
    "torch",
    "nn",
    "math",
    "np",
    "re",
    "json",
    "itertools",
    "gemma",
    "siglip",
    "kv_cache",
    "vlm",
    "Image",
    "functional",
)


def integer(node: ast.AST | None) -> int | None:
    """The number that a node is, also a negative one."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = integer(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    return None
