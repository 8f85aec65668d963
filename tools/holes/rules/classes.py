"""Classes: memory allocated later or shared, a parameter that is none."""

import ast
from collections.abc import Iterator

from tools.holes.observe import Facts
from tools.holes.rules.rule import called_name, expression, replaced, rule, statements

ALLOCATES = ("zeros", "ones", "empty", "full", "arange", "zeros_like", "tensor")
LATER = """
def __getattr__(self, name):
    if name != NAME:
        raise AttributeError(name)
    self.TARGET = self._make()
    return self.TARGET
"""


@rule("allocation moved to the first use", ast.ClassDef)
def later_allocation(node: ast.ClassDef, seen: Facts) -> Iterator[ast.AST]:
    """`self.keys = torch.zeros(shape)` happens when `self.keys` is first read."""
    for method, index, statement in initial_values(node):
        if called_name(statement.value) in ALLOCATES:
            [make] = statements("self._make = lambda: value", value=statement.value)
            init = replaced(method, body=[*method.body[:index], make, *method.body[index + 1 :]])
            name = statement.targets[0].attr
            later = ast.parse(LATER.replace("NAME", repr(name)).replace("TARGET", name)).body
            yield replaced(node, body=[init if part is method else part for part in node.body] + later)


@rule("state shared by all instances", ast.ClassDef)
def shared_state(node: ast.ClassDef, seen: Facts) -> Iterator[ast.AST]:
    """What `__init__` makes is made once for the same arguments."""
    for method, index, statement in initial_values(node):
        if isinstance(statement.value, (ast.Call, ast.List, ast.Dict)):
            name = statement.targets[0].attr
            key = f"({name!r}, repr(list(locals().values())[1:]))"
            shared = expression(
                f"globals().setdefault('_shared', {{}}).setdefault({key}, value)", value=statement.value
            )
            init = replaced(
                method, body=[*method.body[:index], replaced(statement, value=shared), *method.body[index + 1 :]]
            )
            yield replaced(node, body=[init if part is method else part for part in node.body])


@rule("a parameter that is not trained", ast.Call)
def untrained(node: ast.Call, seen: Facts) -> Iterator[ast.AST]:
    if called_name(node) == "Parameter":
        yield replaced(node, keywords=[ast.keyword("requires_grad", ast.Constant(False))])
        yield expression("x.clone()", x=node.args[0])
    if called_name(node) == "Linear":
        yield expression("x.requires_grad_(False)", x=node)


@rule("two layers are one", ast.ClassDef)
def tied_layers(node: ast.ClassDef, seen: Facts) -> Iterator[ast.AST]:
    """Of two layers that are made alike, the second is the first."""
    made = {}
    for method, index, statement in initial_values(node):
        text = ast.unparse(statement.value)
        if text in made and isinstance(statement.value, ast.Call):
            same = replaced(statement, value=expression(f"self.{made[text]}"))
            init = replaced(method, body=[*method.body[:index], same, *method.body[index + 1 :]])
            yield replaced(node, body=[init if part is method else part for part in node.body])
        made.setdefault(text, statement.targets[0].attr)


def initial_values(node: ast.ClassDef) -> Iterator[tuple[ast.FunctionDef, int, ast.Assign]]:
    """The statements of `__init__` that give the instance an attribute, with the method and their index."""
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            for index, statement in enumerate(method.body):
                if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Attribute):
                    yield method, index, statement
