"""Finds links in the repository's Markdown files whose target does not exist: a part of `make lint`.

The links of the built pages are checked by tests/test_pages.py. Links to other hosts would need a network, and are not
checked.
"""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlparse

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def find_broken_links(path: Path) -> list[str]:
    """The links of one Markdown file to files that do not exist, ignoring code blocks."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    targets = [target for target in LINK.findall(text) if not urlparse(target).scheme]
    return [target for target in targets if not (path.parent / target.partition("#")[0]).exists()]


def main() -> int:
    command = ["git", "ls-files", "-z", "*.md"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listing.split("\0") if name]
    broken = [f"{path.relative_to(ROOT)}: {link}" for path in paths for link in find_broken_links(path)]
    print("\n".join(broken) or f"all links of {len(paths)} Markdown files have a target")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
