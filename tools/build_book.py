"""Builds the web pages: `make book`. Executes the chapters that changed, and prints where the first page is."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    # The interpreter's own jupyter-book, called as a module: a script in .venv/bin may not survive a path with spaces.
    command = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    result = subprocess.run([sys.executable, "-c", command, "build", "-W", "--keep-going", "."], cwd=ROOT, check=False)
    if result.returncode != 0:
        print("The book was not built: see the warnings above.", file=sys.stderr)
        return result.returncode
    print(f"\nThe book: {ROOT / '_build' / 'html' / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
