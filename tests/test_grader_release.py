"""The students' copy: nothing of a solution in it, and it grades all the same."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grader import release
from grader.places import SOLUTIONS
from grader.release import find_traces, make_release, without_solution_folds


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "course"
    make_release(folder, seeds=(0, 1))
    return folder


ONE_CHAPTER = "exercises/test_ch02_patches.py"


def grade(copy: Path, checks: str, *options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", checks, "-q", *options]
    environment = os.environ | {"PYTHONPATH": str(copy)}
    result = subprocess.run(command, cwd=copy, capture_output=True, text=True, env=environment)
    return result.returncode, result.stdout + result.stderr


def test_it_has_chapters_stubs_and_checks_and_no_solutions(copy):
    assert not (copy / "solutions").exists() and not (copy / "tests").exists()
    for name in (
        "book/ch02_patches.ipynb",
        "exercises/ch02_patches.py",
        "exercises/test_ch02_patches.py",
        "vlm/siglip.py",
    ):
        assert (copy / name).is_file()
    for path in copy.glob("book/ch*"):
        text = path.read_text(encoding="utf-8")
        assert "Hint" in text or "ch01" in path.name
        assert "literalinclude} ../solutions" not in text and "{admonition} Solution" not in text


def test_stubs_fail_and_solutions_pass_without_the_solutions_there(copy, tmp_path):
    code, out = grade(copy, ONE_CHAPTER)
    assert code == 1 and "not written yet" in out
    handed_in = tmp_path / "mine"
    shutil.copytree(SOLUTIONS, handed_in, ignore=shutil.ignore_patterns("__pycache__", "mistakes"))
    for checks, seed in (("exercises", "0"), (ONE_CHAPTER, "1")):
        code, out = grade(copy, checks, "--impl", str(handed_in), "--grader-seed", seed)
        assert code == 0, out


def test_mistakes_are_named_there_too(copy, tmp_path):
    text = (SOLUTIONS / "ch02_patches.py").read_text(encoding="utf-8").replace("+ bias", "")
    (tmp_path / "ch02_patches.py").write_text(text, encoding="utf-8")
    assert "The bias is missing." in grade(copy, ONE_CHAPTER, "--impl", str(tmp_path))[1]


def test_a_seed_that_was_not_recorded_is_said(copy):
    assert (
        "recorded for --grader-seed [0, 1], not for 7"
        in grade(copy, ONE_CHAPTER, "--grader-seed", "7", "--tb=short")[1]
    )


def test_a_solution_that_is_left_is_found(copy, tmp_path):
    (tmp_path / "notes.md").write_text((SOLUTIONS / "ch02_patches.py").read_text(encoding="utf-8"), encoding="utf-8")
    assert "notes.md: ch02_patches.patchify" in find_traces(tmp_path)
    assert find_traces(copy) == []


def test_a_release_with_a_trace_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(release, "LEFT_OUT", (".github/", ".ci/"))  # the solutions slip in
    with pytest.raises(ValueError, match=r"solutions/ch02_patches\.py: ch02_patches\.patchify"):
        make_release(tmp_path / "course", seeds=(0,))


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    with pytest.raises(FileExistsError, match="name another folder"):
        make_release(tmp_path)


@pytest.mark.parametrize("prefix", ["", "# "])
def test_only_the_folds_titled_solution_go(prefix):
    lines = ["before", "```{admonition} Hint", ":class: dropdown", "think", "```", "````{admonition} Solution"]
    lines += ["```{literalinclude} x", "```", "````", "after", ""]
    text = "\n".join(prefix + line if line else line for line in lines)
    kept = without_solution_folds(text).splitlines()
    assert kept == [prefix + line for line in lines[:5]] + [prefix + "after"]
