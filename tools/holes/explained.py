"""Holes that need not be closed, each with its reason, from `explained.json`."""

import json
from pathlib import Path

from tools.holes.search import Hole, Search

FILE = Path(__file__).parent / "explained.json"


def load_reasons(path: Path = FILE) -> dict[tuple[str, str], str]:
    """For an exercise and a change the reason why it may pass.

    The file has a list of objects with `chapter`, `exercise`, `reason`, and `changes`, the changed lines as reported.
    """
    entries = json.loads(path.read_text(encoding="utf-8"))
    return {
        (f"{entry['chapter']} {entry['exercise']}", change): entry["reason"]
        for entry in entries
        for change in entry["changes"]
    }


def reason(search: Search, hole: Hole, reasons: dict[tuple[str, str], str]) -> str:
    """Why a hole may stay; "" if it is not explained."""
    return reasons.get((f"{search.chapter} {search.exercise}", hole.mutant.change), "")
