"""Prints what was found, as a table by chapter with each hole in a line, and writes it as JSON."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from tools.holes.explained import reason
from tools.holes.search import Hole, Search
from vlm.checkpoints.atomic_write import write_text

Reasons = dict[tuple[str, str], str]
HEAD = f"{'chapter':24}{'mutants':>9}{'differing':>11}{'caught':>8}{'explained':>11}{'holes':>7}"


def table(searches: Iterable[Search], reasons: Reasons) -> str:
    """For each chapter how many mutants were tried, differ, are caught, and are left."""
    lines, total = [HEAD], [0] * 5
    for chapter, group in groupby(searches, key=lambda search: search.chapter):
        counts = [sum(column) for column in zip(*(numbers(search, reasons) for search in group))]
        total = [before + more for before, more in zip(total, counts)]
        lines.append(row(chapter, counts))
    return "\n".join([*lines, row("all", total)])


def numbers(search: Search, reasons: Reasons) -> list[int]:
    explained = sum(bool(reason(search, hole, reasons)) for hole in search.holes)
    caught = search.differing - len(search.holes)
    return [search.mutants, search.differing, caught, explained, len(search.holes) - explained]


def row(name: str, counts: Sequence[int]) -> str:
    return f"{name:24}" + "".join(f"{count:{width}}" for count, width in zip(counts, (9, 11, 8, 11, 7)))


def lines_of(search: Search, reasons: Reasons) -> list[str]:
    """One line for each hole that is not explained: the change, and the input that shows it."""
    lines = []
    for hole in search.holes:
        if not reason(search, hole, reasons):
            lines.append(f"{search.chapter} {search.exercise} [{hole.mutant.rule}] {describe(hole)}")
    return lines


def describe(hole: Hole) -> str:
    shown = f"{hole.origin}: {hole.problem} {hole.case}".strip()
    return f"{hole.mutant.change}   passes at seeds {list(hole.seeds)}; {shown}"


def write_json(searches: Sequence[Search], reasons: Reasons, path: Path):
    """Everything that was found, without the files of the mutants."""
    found = []
    for search in searches:
        entry = dataclasses.asdict(search)
        for hole, data in zip(search.holes, entry["holes"], strict=True):
            data["reason"] = reason(search, hole, reasons)
            data |= {name: text for name, text in data.pop("mutant").items() if name != "text"}
        found.append(entry)
    write_text(path, json.dumps(found, indent=1) + "\n")
