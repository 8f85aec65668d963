"""Finds holes in the graders: wrong answers, made from the right ones by rules, that a grader passes."""
