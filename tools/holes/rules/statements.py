"""Statements: removed, exchanged, moved before a refusal; loops that end too early or go on."""

import ast
from collections.abc import Iterator

from tools.holes.observe import Facts
from tools.holes.rules.rule import expression, replaced, rule, without

Block = ast.FunctionDef | ast.For | ast.While | ast.If | ast.With
BLOCKS = (ast.FunctionDef, ast.For, ast.While, ast.If, ast.With)


@rule("statement removed", *BLOCKS)
def removed_statement(node: Block, seen: Facts) -> Iterator[ast.AST]:
    for index, statement in enumerate(node.body):
        if not isinstance(statement, (ast.Pass, ast.FunctionDef)) and not is_docstring(statement):
            yield replaced(node, body=without(node.body, index) or [ast.Pass()])


@rule("else removed", ast.If)
def removed_else(node: ast.If, seen: Facts) -> Iterator[ast.AST]:
    if node.orelse:
        yield replaced(node, orelse=[])


@rule("statements exchanged", *BLOCKS)
def exchanged_statements(node: Block, seen: Facts) -> Iterator[ast.AST]:
    for index in range(len(node.body) - 1):
        first, second = node.body[index : index + 2]
        if not is_docstring(first):
            yield replaced(node, body=[*node.body[:index], second, first, *node.body[index + 2 :]])


@rule("state changed before a refusal", ast.FunctionDef)
def changed_before_refusal(node: ast.FunctionDef, seen: Facts) -> Iterator[ast.AST]:
    for index, statement in enumerate(node.body):
        if isinstance(statement, ast.If) and isinstance(statement.body[-1], ast.Raise):
            for later in range(index + 1, len(node.body)):
                if changes_state(node.body[later]):
                    rest = without(node.body, later)
                    yield replaced(node, body=[*rest[:index], node.body[later], *rest[index:]])


@rule("another error", ast.Raise)
def another_error(node: ast.Raise, seen: Facts) -> Iterator[ast.AST]:
    if isinstance(node.exc, ast.Call):
        for name in ("RuntimeError", "KeyError", "Exception"):
            yield replaced(node, exc=replaced(node.exc, func=ast.Name(name)))


@rule("loop left or gone on with", ast.Break, ast.Continue)
def other_way_out(node: ast.Break | ast.Continue, seen: Facts) -> Iterator[ast.AST]:
    yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()
    yield ast.Pass()


@rule("loop over a part", ast.For, ast.comprehension)
def shorter_loop(node: ast.For | ast.comprehension, seen: Facts) -> Iterator[ast.AST]:
    for part in ("[1:]", "[:-1]", "[:1]", "[::-1]"):
        yield replaced(node, iter=expression(f"list(x){part}", x=node.iter))


@rule("the first item for all", ast.For, ast.comprehension)
def first_item_for_all(node: ast.For | ast.comprehension, seen: Facts) -> Iterator[ast.AST]:
    yield replaced(node, iter=expression("(lambda items: items[:1] * len(items))(list(x))", x=node.iter))


@rule("default of an argument changed", ast.FunctionDef)
def another_default(node: ast.FunctionDef, seen: Facts) -> Iterator[ast.AST]:
    for index, default in enumerate(node.args.defaults):
        if isinstance(default, ast.Constant) and isinstance(default.value, (int, float)):
            changed = [*node.args.defaults]
            changed[index] = ast.Constant(default.value + 1 if type(default.value) is not bool else not default.value)
            yield replaced(node, args=replaced(node.args, defaults=changed))


@rule("a value kept for the next time", ast.Assign)
def kept_list(node: ast.Assign, seen: Facts) -> Iterator[ast.AST]:
    """A list or dict that is made in each call is kept from call to call."""
    if isinstance(node.value, (ast.List, ast.Dict)) and not ast.unparse(node.value).strip("[]{}"):
        kind = "[]" if isinstance(node.value, ast.List) else "{}"
        yield replaced(node, value=expression(f"globals().setdefault('_kept', {kind})"))


def is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def changes_state(node: ast.stmt) -> bool:
    """Whether a statement writes to an attribute or an item, or calls something for its effect."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call)
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return any(isinstance(target, (ast.Attribute, ast.Subscript)) for target in targets)
