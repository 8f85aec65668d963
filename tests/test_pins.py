"""pyproject.toml (ranges), requirements.lock (exact) and environment.yml (conda, Binder) say the same."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK_LINES = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def locked_versions() -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in LOCK_LINES)}


def test_lock_holds_exact_versions_and_no_addresses():
    for line in LOCK_LINES:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line), line


def test_every_dependency_of_the_project_is_locked_within_its_range():
    wanted = PROJECT["dependencies"] + [line for group in PROJECT["optional-dependencies"].values() for line in group]
    locked = locked_versions()
    for requirement in map(Requirement, wanted):
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in requirements.lock"
        assert version in requirement.specifier, f"{requirement} but the lock has {version}"


@pytest.mark.lock
def test_lock_matches_what_is_installed():
    """Else the tests would speak of other packages than a new machine gets."""
    from importlib.metadata import version

    for name in ("torch", "transformers", "tokenizers", "safetensors", "numpy", "pillow", "jupyter-book"):
        assert version(name).partition("+")[0] == locked_versions()[name], name


def test_conda_environment_installs_the_lock_on_a_python_that_the_project_allows():
    packages = [entry for entry in ENVIRONMENT["dependencies"] if isinstance(entry, str)]
    [pip_lines] = [entry["pip"] for entry in ENVIRONMENT["dependencies"] if isinstance(entry, dict)]
    assert pip_lines == ["-r requirements.lock", "-e ."]  # pip takes no other options in such a file
    [python] = [entry.partition("=")[2] for entry in packages if entry.startswith("python=")]
    assert python in SpecifierSet(PROJECT["requires-python"])
    assert set(packages) == {f"python={python}", "pip"}  # a version given twice would drift


def test_setup_asks_for_the_python_that_the_project_asks_for():
    minimum = PROJECT["requires-python"].removeprefix(">=")
    script = (ROOT / "tools" / "setup.sh").read_text(encoding="utf-8")
    assert f"({minimum.replace('.', ', ')})" in script
    assert f"Python {minimum} or newer" in script


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_workflows_name_actions_by_hash_and_ask_for_few_rights(path):
    """A tag can be moved to other code by whoever owns the action; the hash of a commit cannot."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}  # a job that needs more says so itself
    steps = [step for job in workflow["jobs"].values() for step in job.get("steps", [])]
    actions = [step["uses"] for step in steps if "uses" in step]
    assert actions
    for action in actions:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
