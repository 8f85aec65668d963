"""Hostile submissions, in `tests/hostile`: none gets a point that it did not earn, none harms another or the machine.

Each is graded alone, and all of them in one class with two honest students. They harm nothing if the grader fails:
what they write, delete or fill is small, and lies in temporary folders.
"""

import csv
import ctypes
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from grader import classroom, confine, grading, project
from grader.classroom import collect, grade_class
from grader.compare import difference
from grader.encoding import Meta, decode, encode
from grader.exercise import Exercise
from grader.grading import Result, grade_exercise
from grader.judge import Truth, Verdict, judge, plain
from grader.places import EXERCISES, ROOT, SOLUTIONS
from grader.project import Project, check_project
from grader.reports import table
from grader.runner import Outcome, Runner, end

pytestmark = pytest.mark.abuse

CHAPTER, SEED = "ch02_patches", 5
FOLDER = Path(__file__).parent / "hostile"
# The chapter's own checks, of one exercise, with less patience.
CHECKS = f"""
import dataclasses, importlib.util

spec = importlib.util.spec_from_file_location("real", {str(EXERCISES / f"test_{CHAPTER}.py")!r})
real = importlib.util.module_from_spec(spec)
spec.loader.exec_module(real)
[exercise] = [exercise for exercise in real.EXERCISES if exercise.name == "patch_of_pixel"]
EXERCISES = [dataclasses.replace(exercise, seconds=3.0, forbidden=("torch.div",))]
"""

# What each is told. These are stopped wherever Python runs on Unix.
SAYS = {
    "reads_solutions_by_open": "tried to read ch02_patches.py",
    "reads_solutions_by_import": "tried to read __init__.py",
    "reads_solutions_by_loader": "tried to read ch02_patches.py",
    "reads_solutions_by_linecache": "tried to read ch02_patches.py",
    "reads_solutions_by_inspect": "tried to read ch02_patches.py",
    "reads_solutions_by_mmap": "tried to read ch02_patches.py",
    "reads_solutions_by_cat": "tried to call subprocess.Popen",
    "reads_solutions_by_two_names": "tried to open a file whose name is a Name",
    "reads_solutions_by_string_that_lies": "tried to open a file whose name is a Name",
    "reads_history": "tried to read HEAD",
    "reads_recorded_answers": "tried to read ch02_patches.answers",
    "reads_another_student": "tried to read ch02_patches.py",
    "reads_the_home_folder": "tried to read .netrc",
    "looks_for_answers_in_memory": "values differ",
    "looks_for_answers_in_frames": "values differ",
    "calls_what_is_forbidden": "it calls torch.div",
    "patches_pytest": "values differ",
    "patches_grader": "values differ",
    "patches_exercise": "answers are missing",
    "patches_torch": "values differ",
    "patches_random_numbers": "values differ",
    "sets_environment": "values differ",
    "answers_with_tensor_that_lies": "values differ",
    "answers_with_equal_to_all": "a Yes was returned",
    "answers_with_false_class": "object has no attribute",
    "answers_with_pickle": "a Program was returned",
    "answers_without_numbers": "it is on the meta device",
    "answers_with_nan": "the dtype is float32, expected int64",
    "answers_with_huge_number": "expected a tensor, got an int",
    "answers_with_huge_tensor": "larger than 256 MB",
    "answers_with_huge_text": "larger than 16 MB",
    "answers_for_ever": "not finish within 3 seconds",
    "forges_verdict": "could not be read",
    "forges_no_cases": "answers are missing",
    "forges_skipped_cases": "expected a tensor, got None",
    "forges_unknown_problem": "could not be read",
    "forges_wrong_kinds": "could not be read",
    "forges_deep_message": "could not be read",
    "forges_many_lists": "too much text",
    "forges_large_message": "could not be read",
    "forges_half_a_message": "not finish within 3 seconds",
    "closes_every_file": "crashed the Python process",
    "writes_into_every_file": "could not be read",
    "forges_report": "tried to write to the file",
    "edits_another_student": "tried to write to the file",
    "deletes_another_student": "tried to call os.remove",
    "outlives_others_when_memory_ends": "tried to write to the file",
    "removes_attributes": "tried to call os.removexattr",
    "signals_by_pipe": "tried to call fcntl.fcntl",
    "tells_the_environment": f"ValueError: secrets: ['{Path.home()}', 'student', '/tmp', '']",
    "links_to_another_place": "tried to call os.symlink",
    "writes_a_database": "tried to call sqlite3.connect",
    "forks": "tried to call os.fork",
    "starts_threads": "values differ",
    "starts_a_shell": "tried to call os.system",
    "calls_c": "tried to call ctypes.dlopen",
    "kills_the_grader": "tried to call os.kill",
    "kills_the_grader_by_handle": "which the grader does not let a submission do",
    "limits_the_grader": "tried to call resource.prlimit",
    "lifts_its_limit": "tried to call resource.setrlimit",
    "fills_the_disk": "tried to write to the file",
    "prints_a_gigabyte": "values differ",
    "raises_a_novel": "ValueError: xxx",
    "raises_what_rewrites_the_terminal": "ValueError: \N{REPLACEMENT CHARACTER}[1A",
    "opens_a_socket": "tried to call socket",
    "sleeps": "not finish within 3 seconds",
    "ignores_signals": "not finish within 3 seconds",
    "exits": "called exit()",
    "exits_at_once": "crashed the Python process (exit code 0)",
    "interrupts": "KeyboardInterrupt",
    "recurses": "RecursionError",
    "crashes_the_interpreter": "crashed the Python process (SIGSEGV)",
}
# And these by the Linux kernel alone: Python does not report them, or the submission has made it blind; and macOS takes
# no limit of memory.
KERNEL_SAYS = {
    "fills_memory": "more than 4 GB of memory",
    "native_reads_solutions_past_the_hook": "Permission denied",
    "native_reads_solutions_by_torch": "Permission denied",
    "native_reads_solutions_by_tokenizers": "Permission denied",
    "native_reads_solutions_by_folder": "Permission denied",
    "native_reads_memory_of_the_grader": "Permission denied",
    "native_forks": "Operation not permitted",
    "native_starts_a_program": "Operation not permitted",
    "native_kills_the_grader": "Operation not permitted",
    "native_limits_the_grader": "Operation not permitted",
    "native_lifts_its_limit": "not allowed to raise maximum limit",
    "native_opens_a_socket": "Operation not permitted",
    "native_writes_a_file": "Permission denied",
    "native_deletes_another_student": "Operation not permitted",
    "native_locks_another_student_out": "Operation not permitted",
    "native_fills_memory_elsewhere": "Operation not permitted",
    "native_signals_by_pipe": "Operation not permitted",
    "native_owns_the_signals_of_a_file": "through the wall: []",
    "native_slows_the_grader": "through the wall: []",
    "native_hides_a_key": "through the wall: []",
    "native_leaves_memory_behind": "through the wall: []",
    "native_reaches_into_the_kernel": "through the wall: []",
    "native_removes_attributes": "through the wall: []",
    "native_watches_other_students": "through the wall: []",
    "native_opens_devices": "opened []",
    "native_survives_the_grader": "through the wall: []",
    "native_takes_a_lease": "Operation not permitted",
    "native_locks_a_file": "Operation not permitted",
    "native_takes_every_thread": "can't start new thread",
    "native_takes_every_open_file": "opened 0 and more",
    "native_calls_as_32_bit_program": "crashed the Python process (SIG",
    "native_calls_by_foreign_numbers": "through the wall: []",
    "native_calls_by_io_uring": "through the wall: []",
    "native_kills_its_group": "Operation not permitted",
    "native_reads_command_lines": "Permission denied",
    "native_lists_other_students": "Permission denied",
    "native_reads_the_rest_of_the_machine": "Permission denied",
    "native_types_at_the_terminal": "through the wall: []",
    "native_takes_what_a_user_may_have": "through the wall: []",
    "native_becomes_root_elsewhere": "through the wall: []",
    "native_moves_memory_of_others": "through the wall: []",
}
CONFINED = (
    sys.platform == "linux"
    and platform.machine() == "x86_64"
    and confine.landlock_version(ctypes.CDLL(None)) >= 3  # the first that knows all that is tried here
)
NAMES = [*SAYS, *KERNEL_SAYS] if CONFINED else list(SAYS)
needs_the_kernel = pytest.mark.skipif(not CONFINED, reason="this kernel does not confine processes")


def hand_in(folder: Path, text: str):
    folder.mkdir(parents=True)
    (folder / f"{CHAPTER}.py").write_text(text, encoding="utf-8")


def hostile(name: str, reports: Path) -> str:
    return (FOLDER / f"{name}.py").read_text(encoding="utf-8").replace("THE_REPORTS", str(reports))


def solution() -> str:
    return (SOLUTIONS / f"{CHAPTER}.py").read_text(encoding="utf-8")


def digest(folder: Path) -> dict[str, tuple[str, int]]:
    """The contents and the permissions of every file."""
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mode)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def processes(above: int) -> set[int]:
    """Those that a process has started, and those that they have started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, *_ = path.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has ended
            continue
        if state != "Z":
            parents[int(path.parent.name)] = int(parent)
    found, new = set(), {above}
    while new:
        new = {process for process, parent in parents.items() if parent in new}
        found |= new
    return found


@pytest.fixture(scope="module", autouse=True)
def adopt_orphans():
    """A process whose parent has ended becomes a child of this one, so that none can hide."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1)


@pytest.fixture(scope="module")
def checks(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("checks") / f"test_{CHAPTER}.py"
    path.write_text(CHECKS, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def exercise(checks) -> Exercise:
    return grading.load_exercises(checks)[0]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, checks, exercise):
    """Grade one submission, of a student whose folder lies beside an honest one's; nothing else may have changed."""
    root = tmp_path_factory.mktemp("alone")
    hand_in(root / "ada", solution())
    runner = Runner(hidden=[root])

    def alone(text: str | bytes) -> Result:
        (root / "eve").mkdir(exist_ok=True)
        path = root / "eve" / f"{CHAPTER}.py"
        path.unlink(missing_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        before = digest(root)
        result = grade_exercise(exercise, checks, path.parent, SEED, runner)
        assert digest(root) == before
        return result

    assert alone(solution()).points == 1
    return alone


@pytest.fixture(scope="module")
def graded(tmp_path_factory, checks):
    """A class: every hostile student, and two honest ones."""
    root = tmp_path_factory.mktemp("class")
    submissions, output, reports = root / "submissions", root / "grades.csv", root / "reports"
    for student in ("ada", "zoe"):
        hand_in(submissions / student, solution())
    for name in NAMES:
        hand_in(submissions / name, hostile(name, reports))
    before = [digest(folder) for folder in (EXERCISES, SOLUTIONS, submissions)]
    with pytest.MonkeyPatch.context() as patch:
        for module in (classroom, grading):
            patch.setattr(module, "all_checks", lambda: [checks])
        grade_class(submissions, output, SEED, jobs=2, reports=reports)
    assert [digest(folder) for folder in (EXERCISES, SOLUTIONS, submissions)] == before
    return output, reports


def test_every_hostile_submission_is_tried():
    assert {path.stem for path in FOLDER.glob("*.py")} == {*SAYS, *KERNEL_SAYS}


@pytest.mark.parametrize("name", [*SAYS, *(pytest.param(name, marks=needs_the_kernel) for name in KERNEL_SAYS)])
def test_a_hostile_submission_gets_no_point_and_is_told_why(alone, name, tmp_path):
    before, start = processes(os.getpid()), time.monotonic()
    result = alone(hostile(name, tmp_path))
    assert result.points == 0
    assert (SAYS | KERNEL_SAYS)[name] in result.verdict.message
    assert len(result.verdict.message) + len(result.printed) < 10_000
    assert time.monotonic() - start < 30
    assert processes(os.getpid()) == before  # none is left over, and none of the grader's own is missing
    assert list(tmp_path.iterdir()) == []


def test_in_a_class_each_gets_what_it_earned(graded):
    with open(graded[0], newline="", encoding="utf-8") as file:
        points = {row["student"]: int(row["points"]) for row in csv.DictReader(file)}
    assert points == {"ada": 1, "zoe": 1} | dict.fromkeys(NAMES, 0)


def test_in_a_class_each_has_a_report_of_its_own(graded):
    reports = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in graded[1].iterdir()}
    assert sorted(reports) == sorted(["ada", "zoe", *NAMES])
    for student in ("ada", "zoe"):
        assert (reports[student]["score"], reports[student]["tests"][0]["output"]) == (1, "")
    for name in NAMES:
        assert reports[name]["score"] == 0
        assert (SAYS | KERNEL_SAYS)[name] in reports[name]["tests"][0]["output"]


def test_the_grader_itself_stays_small(graded):
    """Whatever they send. A message of many lists, once read, would take this alone."""
    resource = pytest.importorskip("resource")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2_500_000 * (1024 if sys.platform == "darwin" else 1)


def test_an_error_in_one_student_s_grading_costs_no_other(tmp_path, checks, monkeypatch, capsys):
    for module in (classroom, grading):
        monkeypatch.setattr(module, "all_checks", lambda: [checks])
    for student in ("ada", "eve", "zoe"):
        hand_in(tmp_path / "submissions" / student, solution())
    real = classroom.collect
    monkeypatch.setattr(
        classroom, "collect", lambda student, folder: real(student, folder) or 1 // (student.name != "eve")
    )
    grade_class(tmp_path / "submissions", tmp_path / "grades.csv", SEED, jobs=1)
    lines = (tmp_path / "grades.csv").read_text(encoding="utf-8").splitlines()
    assert sorted(lines[1:]) == ["ada,1,1", "zoe,1,1"]
    assert "eve could not be graded: ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [b"\0", b"x = '\xff'\n", b"# coding: nothing\n", b"x = 1" + b"(" * 10_000, b"\xef\xbb\xbf\0"]
)
def test_what_is_no_text_of_python_is_said_to_be_none(alone, content):
    result = alone(content)
    assert result.points == 0
    assert "cannot be read as Python" in result.verdict.message


def test_a_file_of_ten_gigabytes_is_not_read(alone, tmp_path, exercise, checks):
    (tmp_path / "eve").mkdir()
    with open(tmp_path / "eve" / f"{CHAPTER}.py", "wb") as file:
        file.truncate(10 * 1024**3)  # it has no contents, so it takes no room
    assert "larger than 1 MB" in grade_exercise(exercise, checks, tmp_path / "eve", SEED, Runner()).verdict.message
    collect(tmp_path / "eve", tmp_path)
    assert (tmp_path / f"{CHAPTER}.py").stat().st_size == 1_000_001


@pytest.mark.parametrize("kind", ["pipe", "device", "link to the solution", "link to its folder"])
def test_what_is_no_file_of_the_student_s_own_is_not_collected(tmp_path, kind):
    student, folder = tmp_path / "eve", tmp_path / "copy"
    for path in (student, folder):
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(student / f"{CHAPTER}.py")
    elif kind == "device":
        (student / f"{CHAPTER}.py").symlink_to("/dev/zero")
    elif kind == "link to the solution":
        (student / f"{CHAPTER}.py").symlink_to(SOLUTIONS / f"{CHAPTER}.py")
    else:
        (student / "capstone").symlink_to(SOLUTIONS / "capstone")
    collect(student, folder)
    assert list(folder.iterdir()) == []


NUMBER = Exercise("number", "", lambda random: iter([{"x": torch.tensor([1.0])}]))


@pytest.mark.parametrize(
    "parts",
    [
        {"answers": [10**400]},
        {"answers": [Meta((1,), torch.float32)]},
        {"answers": [float("nan")]},
        {"answers": [0.5], "arguments": []},
        {"answers": [0.5], "arguments": [{}]},
        {"answers": [0.5], "arguments": [None]},
        {"answers": [0.5], "arguments": [{"x": torch.tensor([2.0])}]},
        {"answers": [None], "skipped": [torch.zeros(2)]},
        {"answers": [None], "skipped": [0]},
        {"problem": "error", "case": 10**9},
        {"problem": "nothing that we know"},
    ],
    ids=str,
)
def test_whatever_a_message_holds_is_judged_and_is_not_right(parts):
    case = {"x": torch.tensor([1.0])}
    assert judge(NUMBER, [case], Outcome(answers=[0.5], arguments=[dict(case)]), Truth([0.5], [])).passed
    outcome = Outcome(**({"arguments": [dict(case)]} | parts))
    verdict = judge(NUMBER, [case], outcome, Truth([0.5], []))
    assert not verdict.passed and verdict.message


@pytest.mark.parametrize("part", ["problem", "what", "answers", "arguments", "skipped", "printed", "case", "refused"])
def test_a_message_with_a_part_of_another_kind_is_not_read(part):
    with pytest.raises(TypeError, match=part):
        Outcome(**{part: 1.5})


def test_a_tensor_without_numbers_is_no_answer():
    assert "no numbers" in difference(Meta((2,), torch.float32), torch.zeros(2), 1e-5)


@pytest.mark.parametrize("dtype", ["load", "nn", "Tensor"])
def test_a_dtype_in_a_message_is_a_dtype(dtype):
    data = encode(Meta((2,), torch.float32)).replace(b'"float32"', f'"{dtype}"'.encode().ljust(9))
    with pytest.raises(ValueError, match="not encoded values"):
        decode(data)


def test_what_a_submission_says_cannot_rewrite_the_table(exercise):
    message = plain("\x1b[1A\x1b[2K\r  passed \ud800\x07\n" + "x" * 100_000)
    assert len(message) < 4000
    result = Result(CHAPTER, exercise, Verdict(False, message), SEED, plain("\x1b[2K" + "y" * 100_000))
    shown = table([result])
    assert "0/1" in shown and "0 of 1 points" in shown
    assert all(c.isprintable() or c == "\n" for c in shown)


def test_nan_is_no_measured_share(tmp_path):
    measured = Project(tmp_path, before=np.zeros(4), after=np.ones(4), old=np.ones((4, 2)))
    names = ("before", "after", "old_before", "old_after")
    (tmp_path / "results.json").write_text(json.dumps(dict.fromkeys(names, math.nan) | {"interval": [math.nan] * 2}))
    for check in (project.check_results, project.check_interval, project.check_forgetting):
        assert "measured" in check(measured)


@pytest.mark.parametrize("content", ["[]", '{"interval": ["a", "b"], "before": []}', "[" * 100_000, "\0", "{}"])
def test_a_project_of_broken_files_is_checked_to_its_end(tmp_path, monkeypatch, content):
    measured = Project(tmp_path, before=np.zeros(4), after=np.ones(4), old=np.ones((4, 2)))
    monkeypatch.setattr(project, "Project", lambda folder: measured)
    no_model = [check for check in project.CHECKS if check[2] not in (project.check_weights, project.check_learned)]
    monkeypatch.setattr(project, "CHECKS", no_model)
    for name in ("results.json", "train.jsonl", "test.jsonl", "report.md"):
        (tmp_path / name).write_text(content)
    checks = check_project(tmp_path)
    assert len(checks) == 5 and all(check.says for check in checks)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_a_submission_has_started_ends_with_it():
    submission = subprocess.Popen(["sh", "-c", "sleep 100 & wait"], start_new_session=True)
    while not processes(submission.pid):
        time.sleep(0.1)
    started = processes(submission.pid)
    end(submission)
    submission.wait()
    time.sleep(0.1)
    assert not processes(os.getpid()) & started


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_no_file_grows_where_the_kernel_does_not_confine(tmp_path):
    place = str(tmp_path / "new")
    program = f"from grader.sandbox import set_limits; set_limits(); open({place!r}, 'wb', buffering=0).write(b'x')"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert "File too large" in result.stderr
    assert (tmp_path / "new").stat().st_size == 0


@needs_the_kernel
def test_root_has_no_privilege_left_but_to_read_what_others_own(alone):
    if os.geteuid() != 0:
        pytest.skip("only root has privileges to lose")
    text = """
def patch_of_pixel(y, x, width, patch_size):
    [line] = [line for line in open("/proc/self/status") if line.startswith("CapPrm")]
    raise ValueError(int(line.split()[1], 16))
"""
    message = alone(text).verdict.message
    assert any(f"ValueError: {left}\n" in message for left in (0, 1 << 1, 1 << 2))


@pytest.mark.skipif(not hasattr(os, "setsid"), reason="Windows has no sessions")
def test_a_submission_has_a_session_of_its_own(alone):
    text = """
import os

def patch_of_pixel(y, x, width, patch_size):
    raise ValueError(os.getsid(0) == os.getpgrp() == os.getpid())
"""
    assert "ValueError: True" in alone(text).verdict.message


@needs_the_kernel
def test_a_submission_ends_with_the_grader(tmp_path, checks):
    hand_in(tmp_path / "eve", hostile("sleeps", tmp_path))
    program = f"""
from dataclasses import replace
from pathlib import Path
from grader.grading import Runner, grade_exercise, load_exercises
checks = Path({str(checks)!r})
exercise = replace(load_exercises(checks)[0], seconds=100.0)
grade_exercise(exercise, checks, Path({str(tmp_path / "eve")!r}), {SEED}, Runner())
"""
    grader = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    confined = False
    while not confined and grader.poll() is None:
        time.sleep(0.5)
        started = processes(grader.pid)
        confined = any("Seccomp:\t2" in Path(f"/proc/{process}/status").read_text() for process in started)
    grader.kill()
    grader.wait()
    deadline = time.monotonic() + 20
    while processes(os.getpid()) & started and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not processes(os.getpid()) & started
