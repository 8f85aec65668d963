"""What the repository as a whole must hold to."""

import ast
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
LISTING = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
TRACKED = [ROOT / name for name in LISTING.split("\0") if name]
CODE = [path for path in TRACKED if path.suffix == ".py"]
# Each of these can run code that a file brings along.
UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}


IN_THE_ROOT = """
book vlm toybox exercises solutions tests .github/workflows
_config.yml _toc.yml environment.yml pyproject.toml requirements.lock Makefile .ci/run docs/LOG.md
README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md CITATION.cff LICENSE LICENSE-TEXT
"""


def test_the_root_has_what_it_should():
    tracked = {path for file in TRACKED for path in (file, *file.parents)}
    assert [name for name in IN_THE_ROOT.split() if ROOT / name not in tracked] == []


def test_no_code_can_unpickle():
    assert CODE
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
                assert not names & UNPICKLERS, path
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch"):
                assert not {"load", "serialization"} & {alias.name for alias in node.names}, path
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("torch.load", "torch.serialization.load"), path
                assert not any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords), path


def test_no_file_is_large():
    assert [path.name for path in TRACKED if path.stat().st_size > 12_000_000] == []


def test_shipped_weights_stay_within_16_megabytes():
    weights = [path for path in TRACKED if path.suffix in (".safetensors", ".npz")]
    assert weights
    assert sum(path.stat().st_size for path in weights) <= 16_000_000
