"""`pytest exercises` as a student and a teacher use it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHECKS = "exercises/test_ch02_patches.py"


def grade(*options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", CHECKS, "-q", *options]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


@pytest.fixture
def submission(tmp_path) -> Path:
    """A folder with the right solutions, to be spoiled."""
    folder = tmp_path / "mine"
    folder.mkdir()
    text = (ROOT / "solutions" / "ch02_patches.py").read_text(encoding="utf-8")
    (folder / "ch02_patches.py").write_text(text, encoding="utf-8")
    return folder


def test_fresh_stubs_are_not_written_yet_and_nothing_of_ours_is_traced():
    code, out = grade("--impl", "exercises")
    assert code == 1
    assert out.count("not written yet") >= 4 and "0 of 7 points" in out
    assert "Traceback" not in out and "grader/" not in out


def test_solutions_pass():
    code, out = grade("--impl", "solutions", "--grader-seed", "3")
    assert code == 0
    assert "7 of 7 points" in out and "(seed 3)" in out


def test_a_mistake_is_called_by_its_name_and_the_seed_is_there_to_repeat_it(submission):
    path = submission / "ch02_patches.py"
    text = path.read_text(encoding="utf-8")
    assert "permute(0, 2, 4, 1, 3, 5)" in text
    path.write_text(text.replace("permute(0, 2, 4, 1, 3, 5)", "permute(0, 4, 2, 1, 3, 5)"), encoding="utf-8")
    code, out = grade("--impl", str(submission), "--grader-seed", "4", "--tb=short")
    assert code == 1
    assert "Your patches are ordered column by column" in out and "See “Cutting an image into patches”." in out
    assert "(--grader-seed 4)" in out
    assert "3 of 7 points" in out  # embed_patches is built on it


def test_the_report_is_what_gradescope_reads(submission, tmp_path):
    path = submission / "ch02_patches.py"
    path.write_text(path.read_text(encoding="utf-8").replace("+ bias", ""), encoding="utf-8")
    report = tmp_path / "results.json"
    grade("--impl", str(submission), "--report", str(report))
    results = json.loads(report.read_text(encoding="utf-8"))
    assert results["score"] == 5
    assert [test["status"] for test in results["tests"]] == ["passed", "passed", "failed", "passed"]
    assert results["tests"][2]["output"].startswith("The bias is missing.")
    assert {"name", "number", "score", "max_score", "status", "output"} == set(results["tests"][0])


def test_junit_xml_is_pytest_s_own(tmp_path):
    report = tmp_path / "results.xml"
    grade("--impl", "solutions", f"--junitxml={report}")
    assert 'tests="4"' in report.read_text(encoding="utf-8")


def test_what_was_printed_is_shown_where_something_is_wrong(submission):
    path = submission / "ch02_patches.py"
    text = path.read_text(encoding="utf-8").replace(
        "    patches = patchify(", "    print('HERE', weight.shape)\n    patches = -patchify("
    )
    path.write_text(text, encoding="utf-8")
    assert "printed: 'HERE torch.Size(" in grade("--impl", str(submission))[1]


def test_a_folder_that_is_not_there_is_said():
    code, out = grade("--impl", "nowhere")
    assert code == 4
    assert "--impl nowhere is not a folder" in out
