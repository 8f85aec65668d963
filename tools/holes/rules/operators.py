"""Operators: swapped, with an operand less, strict for loose, a condition turned around."""

import ast
from collections.abc import Iterator

from tools.holes.observe import Facts
from tools.holes.rules.rule import expression, replaced, rule, without

SWAPPED = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Div, ast.Mult),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
}
EDGE = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
OTHER_WAY = {
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
TO_INEQUALITY = {ast.Eq: (ast.LtE, ast.GtE), ast.NotEq: (ast.Lt, ast.Gt)}


@rule("operator swapped", ast.BinOp)
def swapped_operator(node: ast.BinOp, seen: Facts) -> Iterator[ast.AST]:
    for kind in SWAPPED.get(type(node.op), ()):
        yield replaced(node, op=kind())


@rule("operand dropped", ast.BinOp)
def dropped_operand(node: ast.BinOp, seen: Facts) -> Iterator[ast.AST]:
    yield node.left
    yield node.right


@rule("operands exchanged", ast.BinOp)
def exchanged_operands(node: ast.BinOp, seen: Facts) -> Iterator[ast.AST]:
    if isinstance(node.op, (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.MatMult)):
        yield replaced(node, left=node.right, right=node.left)


@rule("strict for loose comparison", ast.Compare)
def other_edge(node: ast.Compare, seen: Facts) -> Iterator[ast.AST]:
    for index, op in enumerate(node.ops):
        if type(op) in EDGE:
            yield replaced(node, ops=[*node.ops[:index], EDGE[type(op)](), *node.ops[index + 1 :]])


@rule("comparison turned around", ast.Compare)
def other_comparison(node: ast.Compare, seen: Facts) -> Iterator[ast.AST]:
    for index, op in enumerate(node.ops):
        for kind in (OTHER_WAY.get(type(op)), *TO_INEQUALITY.get(type(op), ())):
            if kind is not None:
                yield replaced(node, ops=[*node.ops[:index], kind(), *node.ops[index + 1 :]])


@rule("another number compared", ast.Compare)
def other_operand(node: ast.Compare, seen: Facts) -> Iterator[ast.AST]:
    """Such as the old length for the new one: numbers that the function has under other names."""
    right = node.comparators[0]
    for name in node.numbers:
        if node.left.facts.is_number and ast.unparse(node.left) != ast.unparse(name):
            yield replaced(node, left=name)
        if right.facts.is_number and ast.unparse(right) != ast.unparse(name):
            yield replaced(node, comparators=[name, *node.comparators[1:]])


@rule("and for or", ast.BoolOp)
def other_connective(node: ast.BoolOp, seen: Facts) -> Iterator[ast.AST]:
    yield replaced(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())


@rule("clause removed", ast.BoolOp)
def removed_clause(node: ast.BoolOp, seen: Facts) -> Iterator[ast.AST]:
    for index in range(len(node.values)):
        rest = without(node.values, index)
        yield rest[0] if len(rest) == 1 else replaced(node, values=rest)


@rule("negation dropped", ast.UnaryOp)
def dropped_negation(node: ast.UnaryOp, seen: Facts) -> Iterator[ast.AST]:
    if not isinstance(node.operand, ast.Constant):  # a number is changed by another rule
        yield node.operand


@rule("condition negated", ast.If, ast.While, ast.IfExp)
def negated_condition(node: ast.If | ast.While | ast.IfExp, seen: Facts) -> Iterator[ast.AST]:
    yield replaced(node, test=ast.UnaryOp(ast.Not(), node.test))


@rule("condition always or never true", ast.If, ast.IfExp)
def fixed_condition(node: ast.If | ast.IfExp, seen: Facts) -> Iterator[ast.AST]:
    if isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse
        return
    for value in (True, False):
        yield replaced(node, test=ast.Constant(value))


@rule("condition of a list removed", ast.comprehension)
def removed_filter(node: ast.comprehension, seen: Facts) -> Iterator[ast.AST]:
    for index, test in enumerate(node.ifs):
        yield replaced(node, ifs=without(node.ifs, index))
        yield replaced(node, ifs=[*without(node.ifs, index), ast.UnaryOp(ast.Not(), test)])


@rule("eps added", ast.BinOp)
def added_eps(node: ast.BinOp, seen: Facts) -> Iterator[ast.AST]:
    if isinstance(node.op, ast.Div):
        for eps in ("1e-5", "1e-8", "1e-12"):
            yield replaced(node, right=expression(f"x + {eps}", x=node.right))


@rule("clamp added", ast.BinOp)
def added_clamp(node: ast.BinOp, seen: Facts) -> Iterator[ast.AST]:
    if isinstance(node.op, ast.Div):
        for least in ("1", "1e-6"):
            yield replaced(
                node,
                right=expression(f"x.clamp(min={least}) if hasattr(x, 'clamp') else max(x, {least})", x=node.right),
            )


@rule("equality by tolerance", ast.Compare)
def nearly_equal(node: ast.Compare, seen: Facts) -> Iterator[ast.AST]:
    if len(node.ops) == 1 and isinstance(node.ops[0], (ast.Eq, ast.NotEq)) and not isinstance(node.left, ast.Call):
        near = "abs(x - y) {} 1e-5".format("<" if isinstance(node.ops[0], ast.Eq) else ">=")
        yield expression(near, x=node.left, y=node.comparators[0])
