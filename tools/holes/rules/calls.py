"""Calls: dropped, with arguments dropped or exchanged, replaced by a relative."""

import ast
from collections.abc import Iterator

from tools.holes.observe import Facts
from tools.holes.rules.rule import called_name, expression, is_method_of_value, replaced, rule, without

RELATIVES = {
    "max": ("min",),
    "min": ("max",),
    "amax": ("amin",),
    "amin": ("amax",),
    "maximum": ("minimum",),
    "minimum": ("maximum",),
    "argmax": ("argmin",),
    "any": ("all",),
    "all": ("any",),
    "sum": ("mean",),
    "mean": ("sum",),
    "var": ("std",),
    "floor": ("round", "ceil"),
    "ceil": ("round", "floor"),
    "round": ("floor", "int"),
    "int": ("round",),
    "zeros": ("empty", "ones"),
    "zeros_like": ("empty_like", "ones_like"),
    "empty": ("zeros",),
    "exp": ("exp2", "expm1"),
    "log": ("log2", "log1p"),
    "rsqrt": ("sqrt",),
    "softmax": ("log_softmax", "softmin"),
    "repeat_interleave": ("repeat",),
    "cumsum": ("cumprod",),
    "append": ("extend",),
    "reshape": ("view",),
    "flatten": ("view",),
    "sorted": ("list",),
    "Parameter": ("Buffer",),
    "ValueError": ("KeyError", "TypeError"),
}
IN_PLACE = (
    *("masked_fill", "clamp", "add", "mul", "div", "sub", "scatter", "index_copy", "exp", "sqrt", "neg", "cumsum"),
    *("masked_scatter", "sigmoid", "tanh", "relu", "round", "floor", "copysign", "index_fill", "index_add"),
)
CASTS = ("float", "double", "half", "long", "int", "bool", "to", "type_as", "type", "bfloat16")


@rule("call dropped", ast.Call)
def dropped_call(node: ast.Call, seen: Facts) -> Iterator[ast.AST]:
    if is_method_of_value(node) and called_name(node) not in CASTS:
        yield node.func.value
    elif node.args and not isinstance(node.args[0], (ast.Starred, ast.GeneratorExp)) and called_name(node):
        yield node.args[0]


@rule("cast dropped", ast.Call)
def dropped_cast(node: ast.Call, seen: Facts) -> Iterator[ast.AST]:
    if called_name(node) in CASTS and is_method_of_value(node):
        yield node.func.value


@rule("keyword argument dropped", ast.Call)
def dropped_keyword(node: ast.Call, seen: Facts) -> Iterator[ast.AST]:
    for index, keyword in enumerate(node.keywords):
        if keyword.arg is not None:
            yield replaced(node, keywords=without(node.keywords, index))


@rule("argument dropped", ast.Call)
def dropped_argument(node: ast.Call, seen: Facts) -> Iterator[ast.AST]:
    for index in range(len(node.args)):
        if len(node.args) > 1 or is_method_of_value(node):
            yield replaced(node, args=without(node.args, index))


@rule("arguments exchanged", ast.Call)
def exchanged_arguments(node: ast.Call, seen: Facts) -> Iterator[ast.AST]:
    for index in range(len(node.args) - 1):
        first, second = node.args[index : index + 2]
        yield replaced(node, args=[*node.args[:index], second, first, *node.args[index + 2 :]])


@rule("a related function", ast.Call)
def related_function(node: ast.Call, seen: Facts) -> Iterator[ast.AST]:
    for other in RELATIVES.get(called_name(node), ()):
        if isinstance(node.func, ast.Attribute):
            yield replaced(node, func=replaced(node.func, attr=other))
        else:
            yield replaced(node, func=ast.Name(other))


@rule("in place", ast.Call)
def in_place(node: ast.Call, seen: Facts) -> Iterator[ast.AST]:
    if called_name(node) in IN_PLACE and is_method_of_value(node):
        yield replaced(node, func=replaced(node.func, attr=called_name(node) + "_"))


@rule("the last of several that are largest", ast.Call)
def last_of_ties(node: ast.Call, seen: Facts) -> Iterator[ast.AST]:
    if called_name(node) in ("argmax", "argmin") and is_method_of_value(node):
        parts = {"x": node.func.value, "n": node.args[0] if node.args else ast.Constant(-1)}
        yield expression(f"x.shape[n] - 1 - x.flip(n).{called_name(node)}(n)", **parts)
