"""Watches a right answer while it runs on the grader's own cases: which values does each expression have?

What has one value in all of them may be written as a constant, and the grader can't tell.
"""

import ast
import copy
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

SCALARS = (bool, int, float, str, type(None), torch.dtype)
MOST_VALUES = 3  # more need not be told apart
WATCHER = "_watch"


@dataclass
class Facts:
    """What was seen of an expression.

    Attributes:
        kinds: the types of its values.
        values: the first few different values, as source code, if they can be written as a constant.
        dims: of tensors, how many dimensions they had.
        dtypes: of tensors.
    """

    kinds: set[type] = field(default_factory=set)
    values: set[str] = field(default_factory=set)
    dims: set[int] = field(default_factory=set)
    dtypes: set[torch.dtype] = field(default_factory=set)

    def add(self, value: Any):
        self.kinds.add(Tensor if isinstance(value, Tensor) else type(value))
        if isinstance(value, Tensor):
            self.dims.add(value.dim())
            self.dtypes.add(value.dtype)
        elif isinstance(value, SCALARS) and len(self.values) < MOST_VALUES:
            self.values.add(as_code(value))

    @property
    def is_tensor(self) -> bool:
        return self.kinds == {Tensor}

    @property
    def is_float_tensor(self) -> bool:
        return self.is_tensor and all(dtype.is_floating_point for dtype in self.dtypes)

    @property
    def is_sequence(self) -> bool:
        return bool(self.kinds) and self.kinds <= {list, tuple}

    @property
    def is_number(self) -> bool:
        return bool(self.kinds) and self.kinds <= {int, float}

    @property
    def constant(self) -> str:
        """The only value, as source code; "" if there were several, or none."""
        is_scalar = all(kind in SCALARS for kind in self.kinds)
        return next(iter(self.values)) if is_scalar and len(self.values) == 1 else ""


def as_code(value: Any) -> str:
    if (isinstance(value, float) and value != value) or value in (float("inf"), float("-inf")):
        return f"float('{value}')"
    return repr(value)


class Watch(ast.NodeTransformer):
    """Wraps every expression that is read in a call of the watcher, with the number of the node."""

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Call):
            # A method stays attached to its object.
            function = self.visit_children(node.func) if isinstance(node.func, ast.Attribute) else node.func
            node.args = [self.visit(argument) for argument in node.args]
            node.keywords = [self.visit(keyword) for keyword in node.keywords]
            node.func = function
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            node.body = [self.visit(statement) for statement in node.body]
            return node
        elif isinstance(node, ast.AnnAssign):
            node.value = node.value and self.visit(node.value)
            return node
        else:
            node = self.visit_children(node)
        return wrapped(node) if is_watched(node) else node

    def visit_children(self, node: ast.AST) -> ast.AST:
        return super().generic_visit(node)


def is_watched(node: ast.AST) -> bool:
    if not hasattr(node, "number") or not isinstance(node, ast.expr):
        return False
    is_read = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
    return is_read and not isinstance(node, (ast.Starred, ast.Slice, ast.JoinedStr, ast.FormattedValue, ast.Constant))


def wrapped(node: ast.expr) -> ast.Call:
    number = ast.Constant(node.number)
    return ast.Call(ast.Name(WATCHER, ast.Load()), [number, node], [])


def number_nodes(parts: list[ast.AST]) -> None:
    """Give every node of the definitions its own number."""
    for number, node in enumerate(node for part in parts for node in ast.walk(part)):
        node.number = number


def watched_module(tree: ast.Module) -> tuple[ModuleType, dict[int, Facts]]:
    """The module, and what will have been seen of each numbered expression when it has run."""
    facts: dict[int, Facts] = {}

    def watch(number: int, value: Any) -> Any:
        facts.setdefault(number, Facts()).add(value)
        return value

    module = ModuleType("watched")
    setattr(module, WATCHER, watch)
    changed = ast.fix_missing_locations(Watch().visit_children(copy.deepcopy(tree)))
    exec(compile(changed, "<watched>", "exec"), module.__dict__)
    return module, facts
