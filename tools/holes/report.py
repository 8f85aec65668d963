"""Reports what was found: a table by chapter, a line for each hole, a table by rule, and JSON."""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from tools.holes.closing import CLOSED_BY
from tools.holes.explained import reason
from tools.holes.search import Hole, Search
from vlm.checkpoints.atomic_write import write_text

Reasons = dict[tuple[str, str], str]
WIDTHS = (9, 11, 8, 11, 7)
HEAD = f"{'chapter':24}" + "".join(
    f"{name:>{width}}" for name, width in zip(("mutants", "differing", "caught", "explained", "holes"), WIDTHS)
)


def table(searches: Iterable[Search], reasons: Reasons) -> str:
    """For each chapter how many mutants were tried, how many differ, are caught, are explained, and are left."""
    lines, total = [HEAD], [0] * len(WIDTHS)
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
    return f"{name:24}" + "".join(f"{count:{width}}" for count, width in zip(counts, WIDTHS))


def left(search: Search, reasons: Reasons) -> list[Hole]:
    """The holes that are not explained."""
    return [hole for hole in search.holes if not reason(search, hole, reasons)]


def lines_of(search: Search, reasons: Reasons) -> list[str]:
    """One line for each hole that is left: the change, and the input that shows it."""
    head = f"{search.chapter} {search.exercise}"
    return [f"{head} [{hole.mutant.rule}] {describe(hole)}" for hole in left(search, reasons)]


def describe(hole: Hole) -> str:
    shown = f"{hole.origin}: {hole.problem} {hole.case}".strip()
    return f"{hole.mutant.change}   passes at seeds {list(hole.seeds)}; {shown}"


def rules(searches: Iterable[Search], reasons: Reasons) -> str:
    """For each rule how many holes are left, in which exercises, and what case closes them."""
    found = defaultdict(list)
    for search in searches:
        for hole in left(search, reasons):
            found[hole.mutant.rule].append(f"{search.chapter.split('_')[0]} {search.exercise}")
    lines = []
    for name, places in sorted(found.items(), key=lambda item: -len(item[1])):
        lines.append(f"{len(places):5}  {name}: {', '.join(dict.fromkeys(places))}")
        lines.append(f"       closed by {CLOSED_BY[name]}")
    return "\n".join(lines)


def write_json(searches: Sequence[Search], reasons: Reasons, path: Path):
    """Write everything that was found, without the text of the mutants."""
    found = []
    for search in searches:
        entry = dataclasses.asdict(search)
        for hole, data in zip(search.holes, entry["holes"], strict=True):
            mutant = {name: text for name, text in data.pop("mutant").items() if name != "text"}
            data |= mutant | {"reason": reason(search, hole, reasons)}
        found.append(entry)
    write_text(path, json.dumps(found, indent=1) + "\n")
