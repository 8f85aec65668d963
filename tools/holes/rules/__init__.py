"""Rules that make a wrong answer from a right one: each changes one node of the syntax tree."""

from tools.holes.rules import calls, classes, constants, operators, statements, strings, tensors
from tools.holes.rules.rule import RULES, Rule

__all__ = ["RULES", "Rule", "calls", "classes", "constants", "operators", "statements", "strings", "tensors"]
