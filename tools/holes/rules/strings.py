"""Texts and patterns: a method of strings that does less or more, a looser pattern, another text."""

import ast
from collections.abc import Iterator

from tools.holes.observe import Facts
from tools.holes.rules.rule import replaced, rule, without

RELATIVES = {
    "strip": ("lstrip", "rstrip"),
    "lstrip": ("strip",),
    "rstrip": ("strip",),
    "removeprefix": ("lstrip", "strip"),
    "removesuffix": ("rstrip", "strip"),
    "startswith": ("__contains__", "endswith"),
    "endswith": ("__contains__", "startswith"),
    "lower": ("upper", "casefold"),
    "find": ("rfind",),
    "index": ("find",),
    "fullmatch": ("match", "search"),
    "match": ("fullmatch", "search"),
    "search": ("match", "fullmatch"),
    "split": ("rsplit", "splitlines"),
    "partition": ("rpartition",),
    "finditer": ("findall",),
    "isdigit": ("isalnum", "isnumeric"),
}
PATTERN = "\\^$[]()*+?{}"
LOOSER = [
    ("*", "+"),
    ("+", "*"),
    (r"\d{4}", r"\d+"),
    (r"\d{3}", r"\d+"),
    (r"\d", "."),
    (r"\s", " "),
    (r"\b", ""),
    ("^", ""),
    ("$", ""),
    ("*", "*?"),
    ("+", "+?"),
    ("*?", "*"),
    ("+?", "+"),
    ("?", ""),
    (r"\.", "."),
    (" ", ""),
    ("{4}", ""),
]


@rule("another method of strings", ast.Attribute)
def other_method(node: ast.Attribute, seen: Facts) -> Iterator[ast.AST]:
    for other in RELATIVES.get(node.attr, ()):
        yield replaced(node, attr=other)


@rule("a looser or a tighter pattern", ast.Constant)
def looser_pattern(node: ast.Constant, seen: Facts) -> Iterator[ast.AST]:
    if isinstance(node.value, str) and any(sign in node.value for sign in PATTERN):
        for old, new in LOOSER:
            start = node.value.find(old)
            while start >= 0:
                yield ast.Constant(node.value[:start] + new + node.value[start + len(old) :])
                start = node.value.find(old, start + len(old))


@rule("another text", ast.Constant)
def other_text(node: ast.Constant, seen: Facts) -> Iterator[ast.AST]:
    if isinstance(node.value, str) and node.value and "\n" not in node.value.strip("\n"):
        for text in {node.value[1:], node.value[:-1], node.value.strip(), node.value + " ", ""} - {node.value}:
            yield ast.Constant(text)


@rule("an item of a list dropped", ast.Tuple, ast.List, ast.Set)
def dropped_item(node: ast.Tuple | ast.List | ast.Set, seen: Facts) -> Iterator[ast.AST]:
    if isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        for index in range(len(node.elts)):
            yield replaced(node, elts=without(node.elts, index))
