"""Find holes in the graders: `python -m tools.holes ch03 ch08`; without a chapter, in all of them."""

import argparse
import os
import warnings
from pathlib import Path

import torch

from grader.grading import all_checks, chapter_of
from grader.runner import Runner
from tools.holes.course import search_chapter
from tools.holes.explained import load_reasons
from tools.holes.report import lines_of, rules, table, write_json
from tools.holes.rules import RULES


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chapters", nargs="*", help="beginnings of their names, such as ch03; default: all")
    parser.add_argument("--exercise", help="only the exercise of this name")
    parser.add_argument("--rules", nargs="+", help="only rules whose names contain one of these words")
    parser.add_argument("--seeds", type=int, default=3, help="seeds at which a wrong answer must be caught")
    parser.add_argument("--solutions-only", action="store_true", help="leave out the mutants of other right variants")
    parser.add_argument(
        "--quick", action="store_true", help="compare in this process, not in the grader's confined one"
    )
    parser.add_argument("--doubtful", action="store_true", help="print where right variants disagree on a wide case")
    parser.add_argument("--json", type=Path, help="write everything that was found to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a process that was forked from one with many threads would hang
    warnings.simplefilter("ignore")
    runner, reasons, searches = None if options.quick else Runner(), load_reasons(), []
    if options.rules:
        RULES[:] = [rule for rule in RULES if any(word in rule.name for word in options.rules)]
    for checks in all_checks():
        if not chapter_of(checks).startswith(tuple(options.chapters) or "ch"):
            continue
        for found in search_chapter(checks, options.exercise, options.seeds, not options.solutions_only, runner):
            searches.append(found)
            doubtful = [f"? {found.exercise} {text}" for text in dict.fromkeys(found.doubtful + found.illegal)]
            counts = f"{found.mutants} mutants, {len(found.holes)} holes, {sum(os.times()[:4]):.0f} s of CPU so far"
            lines = [*lines_of(found, reasons), *(doubtful if options.doubtful else [])]
            print("\n".join([*lines, f"  {found.chapter} {found.exercise}: {counts}"]), flush=True)
            if options.json:
                write_json(searches, reasons, options.json)
    print("\n\n".join([rules(searches, reasons), table(searches, reasons)]))


if __name__ == "__main__":
    main()
