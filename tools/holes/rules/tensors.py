"""Tensors: a cast or a detach inserted, one row or one head for all, another memory layout."""

import ast
import copy
from collections.abc import Iterator

import torch

from tools.holes.observe import Facts
from tools.holes.rules.rule import called_name, expression, is_method_of_value, replaced, rule

INSERTED = ("x.float()", "x.double()", "x.bfloat16().to(x.dtype)", "x.float().to('cpu')")
FIRST_FOR_ALL = {
    1: ("x[:1].expand_as(x)",),
    2: ("x[:1].expand_as(x)", "x[..., :1].expand_as(x)"),
}
FIRST_OF_MANY = ("x[:1].expand_as(x)", "x[:, :1].expand_as(x)", "x[..., :1].expand_as(x)")


@rule("cast added", ast.Assign, ast.Return)
def added_cast(node: ast.Assign | ast.Return, seen: Facts) -> Iterator[ast.AST]:
    for value in values_of(node, Facts.is_float_tensor.fget):
        for text in INSERTED[:2] if isinstance(node, ast.Return) else INSERTED[:3]:
            yield with_value(node, value, expression(text, x=value))


@rule("gradient cut", ast.Assign, ast.Return)
def cut_gradient(node: ast.Assign | ast.Return, seen: Facts) -> Iterator[ast.AST]:
    for value in values_of(node, Facts.is_float_tensor.fget):
        yield with_value(node, value, expression("x.detach()", x=value))


@rule("numbers taken out of a tensor", ast.Assign)
def taken_out(node: ast.Assign, seen: Facts) -> Iterator[ast.AST]:
    for value in values_of(node, Facts.is_float_tensor.fget):
        if value.facts.dims == {0}:
            yield with_value(node, value, expression("x.item()", x=value))
        else:
            yield with_value(node, value, expression("torch.tensor(x.tolist(), dtype=x.dtype)", x=value))


@rule("the first for all", ast.Assign, ast.Name)
def first_for_all(node: ast.Assign | ast.Name, seen: Facts) -> Iterator[ast.AST]:
    if isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Load) and seen.is_tensor:
            for text in FIRST_FOR_ALL.get(min(seen.dims), FIRST_OF_MANY if min(seen.dims) > 2 else ()):
                yield expression(text, x=node)
        return
    for value in values_of(node, Facts.is_tensor.fget):
        for text in FIRST_FOR_ALL.get(min(value.facts.dims), FIRST_OF_MANY if min(value.facts.dims) > 2 else ()):
            yield with_value(node, value, expression(f"(lambda x: {text})(value)", value=value))


@rule("special numbers replaced", ast.Assign, ast.Return)
def no_special_numbers(node: ast.Assign | ast.Return, seen: Facts) -> Iterator[ast.AST]:
    for value in values_of(node, Facts.is_float_tensor.fget):
        yield with_value(node, value, expression("torch.nan_to_num(x)", x=value))


@rule("a tensor made on the CPU", ast.Call)
def made_on_cpu(node: ast.Call, seen: Facts) -> Iterator[ast.AST]:
    if seen.is_tensor and any(keyword.arg == "device" for keyword in node.keywords):
        rest = [keyword for keyword in node.keywords if keyword.arg != "device"]
        yield replaced(node, keywords=[*rest, ast.keyword("device", ast.Constant("cpu"))])


@rule("an argument changed in place", ast.Assign)
def written_into(node: ast.Assign, seen: Facts) -> Iterator[ast.AST]:
    """`x = a + b` written as `x = a.add_(b)`."""
    methods = {ast.Add: "add_", ast.Sub: "sub_", ast.Mult: "mul_", ast.Div: "div_"}
    value = node.value
    if isinstance(value, ast.BinOp) and type(value.op) in methods and value.left.facts.is_float_tensor:
        yield replaced(node, value=expression(f"a.{methods[type(value.op)]}(b)", a=value.left, b=value.right))


@rule("a copy returned", ast.Return)
def copied(node: ast.Return, seen: Facts) -> Iterator[ast.AST]:
    for value in values_of(node, Facts.is_tensor.fget):
        yield with_value(node, value, expression("x.clone()", x=value))


@rule("axes of length 1 dropped", ast.Return)
def squeezed(node: ast.Return, seen: Facts) -> Iterator[ast.AST]:
    for value in values_of(node, Facts.is_tensor.fget):
        yield with_value(node, value, expression("x.squeeze()", x=value))


@rule("masked after the softmax", ast.Call)
def masked_afterwards(node: ast.Call, seen: Facts) -> Iterator[ast.AST]:
    """The softmax of everything, with what is hidden set to 0 and the rest divided by its sum."""
    for filled in ast.walk(node):
        if called_name(node) == "softmax" and called_name(filled) == "masked_fill" and is_method_of_value(filled):
            whole = Swap(filled, filled.func.value).visit(copy.deepcopy(node))
            divided = "(lambda w: w / w.sum(-1, keepdim=True).clamp(min=1e-9))(weights * ~hidden)"
            yield expression(divided, weights=whole, hidden=filled.args[0])


@rule("float32 alone", ast.Attribute)
def float32_alone(node: ast.Attribute, seen: Facts) -> Iterator[ast.AST]:
    if node.attr == "dtype" and torch.dtype in seen.kinds:
        yield expression("torch.float32")
    if node.attr in ("float32", "float64", "long", "int64"):
        yield expression("torch.float16" if node.attr.startswith("float") else "torch.int32")


class Swap(ast.NodeTransformer):
    """Replaces what reads like one expression by another."""

    def __init__(self, old: ast.expr, new: ast.expr):
        self.old, self.new = ast.unparse(old), new

    def visit(self, node: ast.AST) -> ast.AST:
        is_old = isinstance(node, ast.expr) and ast.unparse(node) == self.old
        return self.new if is_old else super().generic_visit(node)


def values_of(node: ast.Assign | ast.Return, fits) -> Iterator[ast.expr]:
    """The values that are assigned or returned, each of several in a tuple, of which the facts fit."""
    value = node.value
    for part in value.elts if isinstance(value, (ast.Tuple, ast.List)) else [value]:
        facts = getattr(part, "facts", None)
        if facts is not None and fits(facts):
            yield part


def with_value(node: ast.Assign | ast.Return, old: ast.expr, new: ast.expr) -> ast.AST:
    """The statement with one of its values replaced."""
    value = node.value
    if value is old:
        return replaced(node, value=new)
    return replaced(node, value=replaced(value, elts=[new if part is old else part for part in value.elts]))
