"""Numbers: off by one, another dimension, a constant for an argument or for a special value."""

import ast
from collections.abc import Iterator

from tools.holes.observe import Facts
from tools.holes.rules.rule import called_name, expression, integer, replaced, rule

SPECIAL = ("-1e4", "-1e9", "-500.0", "-3e4")
SPECIAL_ATTRIBUTES = ("inf", "min", "max", "tiny", "eps")
# Sizes and ids of the shipped model, and numbers that are common elsewhere, by words in the argument's name.
SHIPPED = {
    "eps": ("1e-06", "1e-05", "0.0"),
    "theta": ("10000.0", "10000"),
    "eos": ("1",),
    "pad": ("0",),
    "image_token": ("3", "257152"),
    "patch_size": ("14", "16", "8"),
    "image_size": ("224", "64"),
    "head_dim": ("256", "32"),
    "num_heads": ("8", "4"),
    "window": ("4096", "512"),
    "cap": ("50.0", "30.0"),
    "temperature": ("1.0",),
    "bytes": ("2", "4"),
}


@rule("off by one", ast.Constant)
def off_by_one(node: ast.Constant, seen: Facts) -> Iterator[ast.AST]:
    if type(node.value) is int:
        yield ast.Constant(node.value + 1)
        yield ast.Constant(node.value - 1)


@rule("another number", ast.Constant)
def another_number(node: ast.Constant, seen: Facts) -> Iterator[ast.AST]:
    if type(node.value) is int and node.value not in (0, 1):
        yield ast.Constant(1)
        yield ast.Constant(0)
    if type(node.value) is float:
        for factor in (0.0, 0.1, 2.0, 10.0, -1.0):
            yield ast.Constant(node.value * factor)
        if node.value == 0.0:
            yield ast.Constant(1.0)
            yield ast.Constant(1e-5)


@rule("true for false", ast.Constant)
def other_truth(node: ast.Constant, seen: Facts) -> Iterator[ast.AST]:
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)


@rule("the last for the first, an axis from the other end", ast.Subscript, ast.keyword)
def other_end(node: ast.Subscript | ast.keyword, seen: Facts) -> Iterator[ast.AST]:
    field = "slice" if isinstance(node, ast.Subscript) else "value"
    number = integer(getattr(node, field))
    if number is not None:
        for other in {0: (-1, 2), 1: (-1,), -1: (0, 1, 2)}.get(number, ()):
            yield replaced(node, **{field: ast.Constant(other)})


@rule("border of a slice moved", ast.Slice)
def moved_border(node: ast.Slice, seen: Facts) -> Iterator[ast.AST]:
    for end in ("lower", "upper"):
        border = getattr(node, end)
        if border is None:
            yield replaced(node, **{end: ast.Constant(1 if end == "lower" else -1)})
            continue
        yield replaced(node, **{end: None})
        if integer(border) is None:
            yield replaced(node, **{end: expression("x + 1", x=border)})
            yield replaced(node, **{end: expression("x - 1", x=border)})


@rule("range moved", ast.Call)
def moved_range(node: ast.Call, seen: Facts) -> Iterator[ast.AST]:
    if called_name(node) in ("range", "arange") and node.args and integer(node.args[-1]) is None:
        for change in ("x + 1", "x - 1"):
            yield replaced(node, args=[*node.args[:-1], expression(change, x=node.args[-1])])
        if len(node.args) == 1:
            yield replaced(node, args=[ast.Constant(1), expression("x + 1", x=node.args[0])])
            yield replaced(node, args=[ast.Constant(1), node.args[0]])


@rule("number of an expression off by one", ast.Name, ast.Attribute, ast.Subscript, ast.Call)
def value_off_by_one(node: ast.expr, seen: Facts) -> Iterator[ast.AST]:
    if seen.kinds == {int}:
        yield expression("x + 1", x=node)
        yield expression("x - 1", x=node)


@rule(
    "constant for what the cases never vary", ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.Compare, ast.BoolOp
)
def observed_constant(node: ast.expr, seen: Facts) -> Iterator[ast.AST]:
    if seen.constant:
        yield expression(seen.constant, torch="torch")


@rule("constant of the shipped model for an argument", ast.Name, ast.Attribute)
def shipped_constant(node: ast.Name | ast.Attribute, seen: Facts) -> Iterator[ast.AST]:
    name = node.attr if isinstance(node, ast.Attribute) else node.id
    if seen.is_number:
        for word, values in SHIPPED.items():
            if word in name:
                for value in values:
                    yield expression(value)


@rule("constant for a special value", ast.Attribute, ast.Call, ast.UnaryOp)
def plain_special(node: ast.expr, seen: Facts) -> Iterator[ast.AST]:
    is_finfo = isinstance(node, ast.Attribute) and node.attr in SPECIAL_ATTRIBUTES
    is_infinity = ast.unparse(node) in ("float('-inf')", "float('inf')", "-torch.inf", "-math.inf")
    if (is_finfo and called_name(node.value) == "finfo") or is_infinity:
        for value in SPECIAL:
            yield expression(value)
        yield expression("float('-inf')")
