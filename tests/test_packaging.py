"""What setuptools packs: all code of the packages and all their data."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def test_every_folder_is_a_package_and_every_file_of_data_is_packed():
    tops = {name.partition(".")[0] for name in SETTINGS["packages"]}
    files = [path for top in tops for path in (ROOT / top).rglob("*") if path.is_file()]
    lost, packages = [], set()
    for path in files:
        if path.parent.name != "__pycache__":
            package = ".".join(path.parent.relative_to(ROOT).parts)
            packages.add(package)
            patterns = ["*.py", *SETTINGS["package-data"].get(package, [])]
            if not any(path.match(pattern) for pattern in patterns):
                lost.append(path)
    assert packages == set(SETTINGS["packages"])
    assert lost == []
