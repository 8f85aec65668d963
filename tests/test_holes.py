"""The search for holes in graders: each rule makes what it says; a hole is found, and where there is none, none."""

import ast
import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from grader import Case, Exercise, Random
from tools.holes.closing import CLOSED_BY
from tools.holes.derived import another_layout, changed_cases, scaled
from tools.holes.explained import load_reasons, reason
from tools.holes.mutants import change, make_mutants
from tools.holes.observe import number_nodes, watched_module
from tools.holes.questions import ask
from tools.holes.report import rules, table
from tools.holes.rules import RULES
from tools.holes.search import Search, answered, search, settled
from tools.holes.sources import right_answers, source_of
from tools.holes.worker import examine, module_from

X = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
LAYER = "class Layer:\n    def __init__(self, size):\n        self.kept = torch.zeros(size)\n"
TWO = "class Two(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
TWO += "        self.a = nn.Linear(2, 2)\n        self.b = nn.Linear(2, 2)\n"
GUARD = (
    "def f(x):\n    if x.size > 3:\n        raise ValueError('full')\n    y = 2\n    x.count = 1\n    return x.count"
)
# The rule, a function, its arguments while it is watched, and a part of one of the changes.
EXAMPLES = [
    ("operator swapped", "def f(a, b): return a + b", (1, 2), "return a - b"),
    ("operand dropped", "def f(a, b): return a + b", (1, 2), "-> return b"),
    ("operands exchanged", "def f(a, b): return a - b", (1, 2), "return b - a"),
    ("strict for loose comparison", "def f(a): return a < 2", (1,), "return a <= 2"),
    ("comparison turned around", "def f(a): return a == 2", (1,), "return a >= 2"),
    ("another number compared", "def f(a, b):\n    c = a + b\n    return c > 2", (1, 2), "return a > 2"),
    ("and for or", "def f(a, b): return a and b", (1, 2), "return a or b"),
    ("clause removed", "def f(a, b): return a and b", (1, 2), "-> return b"),
    ("negation dropped", "def f(a): return not a", (1,), "-> return a"),
    ("condition negated", "def f(a): return 1 if a else 2", (1,), "return 1 if not a else 2"),
    ("condition always or never true", "def f(a):\n    if a: return 1", (1,), "if False:"),
    ("condition of a list removed", "def f(a): return [n for n in a if n]", ([1],), "[n for n in a]"),
    ("eps added", "def f(a, b): return a / b", (1, 2), "return a / (b + 1e-05)"),
    ("clamp added", "def f(a, b): return a / b", (1, 2), "max(b, 1)"),
    ("equality by tolerance", "def f(a): return a == 2", (1,), "abs(a - 2) < 1e-05"),
    ("off by one", "def f(a): return a[2:]", ([1],), "a[3:]"),
    ("another number", "def f(a): return a * 0.5", (1,), "a * 5.0"),
    ("true for false", "def f(a): return a.sum(-1, keepdim=True)", (X,), "keepdim=False"),
    ("the last for the first, an axis from the other end", "def f(a): return a[0]", (X,), "return a[-1]"),
    ("border of a slice moved", "def f(a, n): return a[:n]", ([1], 1), "a[:n - 1]"),
    ("range moved", "def f(n): return range(n)", (3,), "range(1, n + 1)"),
    ("number of an expression off by one", "def f(n): return n", (3,), "return n - 1"),
    ("constant for what the cases never vary", "def f(a): return a.shape[0]", (X,), "-> return 2"),
    ("constant of the shipped model for an argument", "def f(eps): return eps", (0.5,), "return 1e-05"),
    ("constant for a special value", "def f(a): return torch.finfo(a.dtype).min", (X,), "return -10000.0"),
    ("call dropped", "def f(a): return a.clone()", (X,), "-> return a"),
    ("cast dropped", "def f(a): return a.float()", (X,), "-> return a"),
    ("keyword argument dropped", "def f(a): return a.sum(dim=0)", (X,), "return a.sum()"),
    ("argument dropped", "def f(a): return a.sum(0)", (X,), "return a.sum()"),
    ("arguments exchanged", "def f(a): return a.transpose(0, 1)", (X,), "a.transpose(1, 0)"),
    ("a related function", "def f(a): return a.max()", (X,), "return a.min()"),
    ("in place", "def f(a): return a.clamp(0, 1)", (X,), "a.clamp_(0, 1)"),
    ("the last of several that are largest", "def f(a): return a.argmax(-1)", (X,), "a.flip(-1).argmax(-1)"),
    ("cast added", "def f(a): return a", (X,), "return a.float()"),
    ("gradient cut", "def f(a): return a", (X,), "return a.detach()"),
    ("numbers taken out of a tensor", "def f(a):\n    b = a * 2\n    return b", (X,), "(a * 2).tolist()"),
    ("the first for all", "def f(a): return a", (X,), "a[:1].expand_as(a)"),
    ("special numbers replaced", "def f(a): return a", (X,), "torch.nan_to_num(a)"),
    ("a tensor made on the CPU", "def f(a): return torch.zeros(2, device=a.device)", (X,), "device='cpu'"),
    ("an argument changed in place", "def f(a):\n    b = a + 1\n    return b", (X,), "b = a.add_(1)"),
    ("a copy returned", "def f(a): return a", (X,), "return a.clone()"),
    ("axes of length 1 dropped", "def f(a): return a", (X,), "return a.squeeze()"),
    (
        "masked after the softmax",
        "def f(a): return a.masked_fill(a > 3, 0).softmax(-1)",
        (X,),
        "(a.softmax(-1) * ~(a > 3))",
    ),
    ("float32 alone", "def f(a): return a.to(torch.float32)", (X,), "a.to(torch.float16)"),
    ("statement removed", "def f(a):\n    a = a + 1\n    return a", (1,), "a = a + 1 -> nothing"),
    ("else removed", "def f(a):\n    if a: a = 1\n    else: a = 2\n    return a", (1,), "else: / a = 2 -> nothing"),
    ("statements exchanged", "def f(a):\n    b = a\n    a = 2\n    return b", (1,), "b = a / a = 2 -> a = 2 / b = a"),
    ("state changed before a refusal", GUARD, (SimpleNamespace(size=1),), "x.count = 1 / if x.size > 3:"),
    ("another error", GUARD, (SimpleNamespace(size=1),), "raise KeyError('full')"),
    ("loop left or gone on with", "def f(a):\n    for n in a:\n        break", ([1],), "break -> continue"),
    ("loop over a part", "def f(a): return [n for n in a]", ([1],), "list(a)[:-1]"),
    ("the first item for all", "def f(a): return [n for n in a]", ([1],), "items[:1] * len(items)"),
    ("default of an argument changed", "def f(a, b=2): return a + b", (1,), "b=3"),
    (
        "a value kept for the next time",
        "def f(a):\n    b = []\n    return b",
        (1,),
        "globals().setdefault('_kept', [])",
    ),
    (
        "allocation moved to the first use",
        f"{LAYER}def f(n): return Layer(n)",
        (2,),
        "self._make = lambda: torch.zeros",
    ),
    ("state shared by all instances", f"{LAYER}def f(n): return Layer(n)", (2,), "setdefault('_shared', {})"),
    ("a parameter that is not trained", "def f(a): return nn.Parameter(a)", (X,), "requires_grad=False"),
    ("two layers are one", f"{TWO}def f(): return Two()", (), "self.b = self.a"),
    ("another method of strings", "def f(a): return a.strip()", (" a",), "a.lstrip()"),
    ("a looser or a tighter pattern", r"def f(a): return re.sub('\\d+', '', a)", ("a1",), r"'\\d*'"),
    ("another text", "def f(a): return a + 'xy'", ("a",), "a + 'x'"),
    ("an item of a list dropped", "def f(a): return [a, 2]", (1,), "return [2]"),
]


def source(text: str):
    imports = "import re\nimport torch\nfrom torch import nn\n"
    return source_of("solution", imports + text, "f", set())


def changes(rule: str, text: str, arguments: tuple) -> list[str]:
    """The changes that a rule makes to a function `f`, which was watched with some arguments."""
    right = source(text)
    number_nodes(right.parts)
    module, facts = watched_module(right.tree)
    module.f(*arguments)
    return [mutant.change for mutant in make_mutants(right, facts) if mutant.rule == rule]


@pytest.mark.parametrize(("rule", "text", "arguments", "expected"), EXAMPLES, ids=[example[0] for example in EXAMPLES])
def test_each_rule_makes_what_it_says(rule, text, arguments, expected):
    found = changes(rule, text, arguments)
    assert any(expected in one for one in found), found


def test_every_rule_has_an_example_and_a_case_that_closes_its_holes():
    assert {rule.name for rule in RULES} == {example[0] for example in EXAMPLES} == CLOSED_BY.keys()


def test_watching_changes_nothing_and_tells_what_was_seen():
    right = source(
        "def f(a, *rest, b=1):\n    c = [n + b for n in a if n > 0]\n    return f'{c[0]:.2f}', max(*c, *rest)"
    )
    number_nodes(right.parts)
    module, facts = watched_module(right.tree)
    assert module.f([1.0, -2.0, 4.0], 3, b=2) == ("3.00", 6.0)
    names = {
        node.id: facts[node.number]
        for node in ast.walk(right.parts[0])
        if getattr(node, "number", -1) in facts and isinstance(node, ast.Name)
    }
    assert names["b"].constant == "2"
    assert names["n"].constant == ""
    assert names["a"].is_sequence


def test_a_change_is_told_in_one_line():
    assert change("a\nb\nc", "a\nx\ny\nc") == "b -> x / y"
    assert change("a\nb\nc", "a\nc") == "b -> nothing"


def clipped(random: Random, bounds: tuple[float, ...]) -> Iterator[Case]:
    for bound in bounds:
        yield {"values": random.normal(4, 3), "low": bound}


def find(own_bounds: tuple[float, ...], text: str = "def f(values, low): return values.clamp(min=low)") -> Search:
    """Search an exercise whose grader tries some bounds, with wide cases that try others."""
    right, found = source(text), Search("ch99_none", "f")
    solution = module_from(ast.unparse(right.tree))
    exercise = Exercise("f", "Cut off what is low", lambda random: clipped(random, own_bounds))
    wider = Exercise("f", "", lambda random: clipped(random, (-0.5, 0.0, 0.25, 1.0)))
    own = [list(ask(f"seed {seed}", exercise, lambda seed=seed: exercise.cases(seed), solution)) for seed in range(2)]
    wide = list(ask("wide", wider, lambda: wider.cases(5), solution))
    search(found, right, exercise, own, wide, lambda _mutant, _seed: True)
    return found


def test_a_hole_is_found_with_the_case_that_shows_it():
    found = find(own_bounds=(0.0,))
    constant = [hole for hole in found.holes if hole.mutant.rule == "constant for what the cases never vary"]
    assert [hole.mutant.change for hole in constant] == ["return values.clamp(min=low) -> return values.clamp(min=0.0)"]
    assert "low -0.5" in constant[0].case
    assert "constant for what the cases never vary: ch99 f" in rules([found], {})
    assert "values differ" in constant[0].problem
    assert found.mutants > found.differing > len(found.holes)


def test_where_there_is_no_hole_none_is_found():
    found = find(own_bounds=(-0.5, 0.0, 0.3))
    assert found.holes == []
    assert found.differing > 5


def test_a_mutant_that_never_ends_or_kills_its_process_costs_only_itself():
    exercise = Exercise("f", "", lambda random: iter([{"n": 3}]))
    solution = module_from("def f(n): return n")
    own = [list(ask("seed 0", exercise, lambda: exercise.cases(0), solution))]
    texts = [
        "def f(n): return n",
        "import os\ndef f(n): os._exit(1)",
        "def f(n):\n    while n: pass",
        "def f(n): return n + 1",
        "def f(n): return n",
    ]
    assert [finding.passed for finding in examine(texts, own, [], seconds=0.5)] == [(0,), (), (), (), (0,)]


def test_a_derived_case_has_the_same_numbers_in_another_layout_and_what_is_never_negative_is_not_scaled():
    assert torch.equal(another_layout(X), X)
    assert not another_layout(X).is_contiguous()
    assert torch.equal(scaled(3.0)(X), X)
    assert torch.equal(scaled(3.0)(-X), -3 * X)
    exercise = Exercise("f", "", lambda random: iter([{"a": [X], "b": 1}, {"b": 2}]))
    [case] = changed_cases(exercise, lambda tensor: tensor + 1)
    assert torch.equal(case["a"][0], X + 1)


def test_a_question_on_which_right_answers_do_not_agree_is_dropped_and_told():
    exercise = Exercise("f", "", lambda random: iter([{"n": 3}, {"n": -3}]))
    solution = module_from("def f(n): return abs(n)")
    questions = list(ask("twice", exercise, lambda: exercise.cases(0), solution))
    found = Search("ch99_none", "f")
    assert settled(found, questions, [source("def f(n): return n")]) == questions[:1]
    assert "it is -3, expected 3" in found.doubtful[0]
    assert answered(source("def f(n): return -n"), questions) == questions[1:]


def test_right_answers_of_a_chapter_can_be_run_from_one_file():
    names = [answer.name for answer in right_answers("ch10_sampling", "filter_top_p", ["filter_top_p", "draw_tokens"])]
    assert names == ["solution", "row_by_row", "by_a_threshold"]
    for answer in right_answers("ch10_sampling", "filter_top_p", ["filter_top_p"]):
        kept = module_from(ast.unparse(answer.tree)).filter_top_p(torch.tensor([[0.25, 0.75]]), 0.5)
        assert kept.tolist() == [[0.0, 1.0]], answer.name


def test_a_hole_with_a_reason_is_counted_apart(tmp_path):
    found = find(own_bounds=(0.0,))
    path = tmp_path / "explained.json"
    entry = {"chapter": "ch99_none", "exercise": "f", "reason": "why", "changes": [found.holes[0].mutant.change]}
    path.write_text(json.dumps([entry]))
    reasons = load_reasons(path)
    assert [reason(found, hole, reasons) for hole in found.holes[:2]] == ["why", ""][: len(found.holes)]
    assert table([found], reasons).splitlines()[-1].split()[-2:] == ["1", str(len(found.holes) - 1)]
