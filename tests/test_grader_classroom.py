"""Grading a class: one line for each student, whatever is in their folders."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from grader import classroom
from grader.classroom import columns, grade_class, main
from grader.grading import all_checks, load_exercises
from grader.places import EXERCISES, ROOT, SOLUTIONS

CHAPTER = all_checks()[0].stem.removeprefix("test_")
ALL_POINTS = sum(exercise.points for checks in all_checks() for exercise in load_exercises(checks))


def hand_in(folder: Path, source: Path, chapters: str = "ch*.py"):
    (folder / "capstone").mkdir(parents=True)
    for path in [*source.glob(chapters), source / "capstone" / "my_paligemma.py"]:
        (folder / path.relative_to(source)).write_bytes(path.read_bytes())


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Four students: all right in a copy of the course, nothing done, the first file of three mischievous, no file."""
    root = tmp_path_factory.mktemp("class")
    submissions, output, reports = root / "submissions", root / "grades.csv", root / "reports"
    hand_in(submissions / "ada" / "work" / "exercises", SOLUTIONS)
    capstone = submissions / "ada" / "work" / "exercises" / "capstone" / "my_paligemma.py"
    capstone.rename(submissions / "ada" / capstone.name)  # some platforms forget the folders of what is handed in
    shutil.copytree(ROOT / "book", submissions / "ada" / "work" / "book", ignore=shutil.ignore_patterns("*.ipynb"))
    hand_in(submissions / "bob", EXERCISES)
    hand_in(submissions / "eve", SOLUTIONS, "ch0[0-2]*.py")
    (submissions / "eve" / f"{CHAPTER}.py").write_text("import os\nos._exit(0)\n")
    (submissions / "eve" / "conftest.py").write_text("raise SystemExit\n")
    (submissions / "eve" / f"test_{CHAPTER}.py").write_text("EXERCISES = []\n")
    (submissions / "eve" / "grader").mkdir()
    (submissions / "eve" / "grader" / "__init__.py").write_text("raise SystemExit\n")
    (submissions / "zoe").mkdir()
    grade_class(submissions, output, seed=5, jobs=2, reports=reports)
    return submissions, output, reports


def rows(output: Path) -> dict[str, dict[str, str]]:
    with open(output, newline="", encoding="utf-8") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_each_student_has_a_line_with_a_column_for_each_exercise(graded):
    table = rows(graded[1])
    assert sorted(table) == ["ada", "bob", "eve", "zoe"]
    assert list(table["ada"]) == columns()


def test_points_are_those_of_the_exercises_that_are_right(graded):
    points = {student: int(row["points"]) for student, row in rows(graded[1]).items()}
    eves_points = sum(exercise.points for checks in all_checks()[1:3] for exercise in load_exercises(checks))
    assert points == {"ada": ALL_POINTS, "bob": 0, "eve": eves_points, "zoe": 0}
    for row in rows(graded[1]).values():
        assert int(row["points"]) == sum(int(value) for name, value in row.items() if "/" in name)


def test_what_is_wrong_is_in_each_student_s_report(graded):
    reports = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in graded[2].iterdir()}
    assert sorted(reports) == ["ada", "bob", "eve", "zoe"]
    assert reports["ada"]["score"] == ALL_POINTS
    says = {test["output"].splitlines()[0] for test in reports["bob"]["tests"]}
    assert "not written yet" in says
    assert all(line == "not written yet" or "planted bug" in line for line in says)  # the bugs of chapter 14
    assert "crashed the Python process" in reports["eve"]["tests"][0]["output"]


def test_who_is_graded_already_is_not_graded_again(graded, monkeypatch):
    submissions, output, _ = graded
    before = output.read_text(encoding="utf-8")
    monkeypatch.setattr(classroom, "grade_student", lambda *_: pytest.fail("graded again"))
    grade_class(submissions, output, seed=5, jobs=1)
    assert output.read_text(encoding="utf-8") == before


def test_a_table_of_another_course_is_left_alone(tmp_path):
    output = tmp_path / "grades.csv"
    output.write_text("student,points\nada,3\n", encoding="utf-8")
    (tmp_path / "submissions").mkdir()
    with pytest.raises(SystemExit, match="are not the exercises of this course"):
        main([str(tmp_path / "submissions"), "--output", str(output)])
    assert output.read_text(encoding="utf-8") == "student,points\nada,3\n"


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(SystemExit, match="is not a folder"):
        main([str(tmp_path / "nowhere")])


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"])
def test_a_student_is_no_formula_and_is_graded_once(tmp_path, monkeypatch, name):
    (tmp_path / "submissions" / name).mkdir(parents=True)
    monkeypatch.setattr(classroom, "grade_student", lambda *_: [])
    for _ in range(2):
        grade_class(tmp_path / "submissions", tmp_path / "grades.csv", seed=5, jobs=1)
    with open(tmp_path / "grades.csv", newline="", encoding="utf-8") as file:
        assert [row[0] for row in csv.reader(file)] == ["student", f"'{name}"]


def test_what_the_machine_lacks_is_one_line_and_no_class_is_graded_if_it_is_required(tmp_path, monkeypatch, capsys):
    (tmp_path / "submissions").mkdir()
    command = [str(tmp_path / "submissions"), "--output", str(tmp_path / "grades.csv")]
    monkeypatch.setattr(classroom.Runner, "missing_confinement", lambda _: ["Landlock", "seccomp filter"])
    main(command)
    says = "this machine confines submissions only in part: it has no Landlock, no seccomp filter"
    assert [line for line in capsys.readouterr().err.splitlines() if "this machine" in line] == [says]
    with pytest.raises(SystemExit, match=f"^{says}: grade in a container"):
        main([*command, "--require-confinement"])
    monkeypatch.setattr(classroom.Runner, "missing_confinement", lambda _: [])
    main([*command, "--require-confinement"])
    assert "this machine" not in capsys.readouterr().err
