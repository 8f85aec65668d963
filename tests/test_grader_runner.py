"""Whatever a submission does costs one exercise, and the report says what it was."""

import multiprocessing
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from grader import Exercise
from grader.grading import grade_exercise
from grader.runner import Runner

CHECKS = """
import torch
from grader import Exercise

def make_cases(random):
    yield {"x": random.normal(3, 4)}

EXERCISES = [
    Exercise("double", "Twice as much", make_cases, seconds=5.0),
    Exercise("softmax", "Shares", make_cases, seconds=5.0, forbidden=("torch.softmax", "torch.Tensor.softmax")),
]
"""


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner()


@pytest.fixture
def run(runner, tmp_path):
    """Run `double` (or another exercise) of a submission with this text."""
    checks = tmp_path / "test_ch99_doubling.py"
    checks.write_text(CHECKS)

    def run(text: str, name: str = "double"):
        submission = tmp_path / "ch99_doubling.py"
        submission.write_text(text)
        exercise = Exercise(name, "", make_cases, seconds=5.0)
        return runner.run(exercise, submission, checks, 0, tmp_path / "solutions")

    return run


def make_cases(random):
    yield {"x": random.normal(3, 4)}


def test_answers_and_arguments_come_back(run):
    outcome = run("def double(x):\n    return 2 * x\n")
    [case] = Exercise("double", "", make_cases).cases(0)
    assert outcome.problem == ""
    assert torch.equal(outcome.answers[0], 2 * case["x"])
    assert torch.equal(outcome.arguments[0]["x"], case["x"])


def test_a_case_without_numbers_does_not_count_against_who_needs_numbers(runner, tmp_path):
    checks, submission = tmp_path / "test_ch99_doubling.py", tmp_path / "ch99_doubling.py"
    checks.write_text(CHECKS.replace("random.normal(3, 4)", "torch.empty(3, 4, device='meta')"))
    exercise = Exercise("double", "", make_cases_without_numbers)

    def run(body: str):
        submission.write_text(f"import torch\ndef double(x):\n    {body}\n")
        return runner.run(exercise, submission, checks, 0, tmp_path / "solutions")

    for body in (
        "return torch.tensor([[2 * n for n in row] for row in x.tolist()])",
        "y = torch.empty(3, 4); y[:] = x",
    ):
        outcome = run(body)
        assert (outcome.problem, outcome.skipped) == ("", [0])
    assert run("raise NotImplementedError").problem == "not written"
    assert run("raise RuntimeError('no')").problem == "error"
    assert run("return 2 * x").skipped == []


def test_an_error_of_torch_is_not_taken_for_an_unwritten_exercise(run):
    outcome = run("import torch\ndef double(x):\n    return torch.Tensor.__torch_dispatch__(x, 1, 2, 3)\n")
    assert outcome.problem == "error"


def make_cases_without_numbers(random):
    yield {"x": torch.empty(3, 4, device="meta")}


def test_arguments_come_back_as_they_were_left(run):
    outcome = run("def double(x):\n    return x.mul_(2)\n")
    [case] = Exercise("double", "", make_cases).cases(0)
    assert torch.equal(outcome.arguments[0]["x"], 2 * case["x"])


@pytest.mark.parametrize(
    ("body", "problem", "what"),
    [
        ("raise NotImplementedError", "not written", ""),
        ("while True: pass", "time", "5"),
        ("import time; time.sleep(60)", "time", "5"),
        ("raise SystemExit(0)", "exit", ""),
        ("import os; os._exit(0)", "crash", "exit code 0"),
        ("import os; os.abort()", "crash", "SIGABRT"),
        ("import ctypes; ctypes.string_at(0)", "crash", "SIGSEGV"),
        ("return torch.zeros(10**11)", "memory", ""),
        ("return [0] * 10**12", "memory", ""),
        ("return x @ x", "error", "line 4, in `return x @ x`: RuntimeError"),
        ("return double", "error", "TypeError: a function was returned: expected tensors"),
        ("open('stolen.txt', 'w')", "not allowed", "write to the file stolen.txt"),
        ("import os; os.remove('anything')", "not allowed", "call os.remove"),
        ("import subprocess; subprocess.run(['true'])", "not allowed", "call subprocess.Popen"),
        ("import os; os.system('true')", "not allowed", "call os.system"),
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "not allowed", "call socket"),
        ("import shutil; shutil.rmtree('somewhere')", "not allowed", "call shutil.rmtree"),
        ("import grader.sandbox as s; open(s.__file__)", "not allowed", "read sandbox.py"),
    ],
)
def test_misbehaviour_has_a_name(run, body, problem, what):
    outcome = run(f"import torch\n\ndef double(x):\n    {body}\n")
    assert outcome.problem == problem, outcome
    assert what in outcome.what


def test_an_unwritten_exercise_that_another_one_calls_is_named(run):
    outcome = run("def half(x):\n    raise NotImplementedError\n\ndef double(x):\n    return 4 * half(x)\n")
    assert (outcome.problem, outcome.what) == ("calls the unwritten", "half")


def test_a_forgotten_return_is_said_where_the_checks_look_into_the_answer(runner, tmp_path):
    checks, submission = tmp_path / "test_ch99_doubling.py", tmp_path / "ch99_doubling.py"
    checks.write_text(
        CHECKS.replace("make_cases, ", "make_cases, call=lambda s, case: list(s.double(case['x']).shape), ")
    )
    submission.write_text("def double(x):\n    2 * x\n")
    outcome = runner.run(Exercise("double", "", make_cases), submission, checks, 0, tmp_path / "solutions")
    assert (outcome.problem, outcome.what) == ("error", "one of your functions returns None: is a `return` missing?")


def test_an_error_in_another_file_of_the_student_s_has_its_name(run, tmp_path):
    (tmp_path / "ch98_halving.py").write_text("import torch\n\nhalf = torch.thirds\n")
    text = "from pathlib import Path\nfrom grader.sandbox import load_file\n\ndef double(x):\n    {call}\n"
    load = "load_file(Path(__file__).parent / 'ch98_halving.py', 'part')"
    assert "line 5, in `load_file" in run(text.format(call=load)).what  # the submission's own line comes first
    (tmp_path / "ch98_halving.py").write_text("half = (\n")
    assert run(text.format(call=load)).what.startswith("ch98_halving.py, line 1: ")


def test_a_method_that_is_not_written_is_named(run):
    outcome = run(
        "class double:\n    def __init__(self, x):\n        self.half()\n"
        "    def half(self):\n        raise NotImplementedError\n"
    )
    assert (outcome.problem, outcome.what) == ("partly written", "double.half")


def test_a_class_that_is_not_written_is_not_written(run):
    outcome = run("class double:\n    def __init__(self, x):\n        raise NotImplementedError\n")
    assert outcome.problem == "not written"


def test_a_file_that_is_no_python_is_said_with_its_line(run):
    outcome = run("def double(x):\n    return 2 * x\n\ndef softmax(x)\n    return x\n")
    assert (outcome.problem, outcome.what) == ("syntax", "line 4: expected ':'")


def test_a_file_that_fails_on_import_is_said(run):
    assert "ModuleNotFoundError" in run("import no_such_thing\n").what


def test_a_missing_function_and_a_missing_file_are_said(run, runner, tmp_path):
    assert "AttributeError" in run("def triple(x):\n    return 3 * x\n").what
    exercise = Exercise("double", "", make_cases)
    outcome = runner.run(exercise, tmp_path / "nothing.py", tmp_path / "test_ch99_doubling.py", 0, tmp_path)
    assert (outcome.problem, outcome.what) == ("not written", "there is no file nothing.py")


@pytest.mark.parametrize("call", ["torch.softmax(x, -1)", "x.softmax(-1)"])
def test_what_the_exercise_is_about_may_not_be_called(run, call):
    outcome = run(f"import torch\n\ndef softmax(x):\n    return {call}\n", "softmax")
    assert outcome.problem == "forbidden"
    assert outcome.what.endswith(".softmax")
    allowed = run(
        "import torch\n\ndef softmax(x):\n    e = x.exp()\n    return e / e.sum(-1, keepdim=True)\n", "softmax"
    )
    assert allowed.problem == ""


def test_a_flood_of_output_is_cut_and_costs_nothing(run):
    outcome = run("def double(x):\n    for _ in range(300_000):\n        print('flood' * 20)\n    return 2 * x\n")
    assert outcome.problem == ""
    assert outcome.printed.startswith("flood") and len(outcome.printed) <= 2000


def test_what_ran_before_does_not_matter(run):
    spoiled = "import torch\ntorch.Tensor.__mul__ = None\ndef double(x):\n    return x * 2\n"
    assert run(spoiled).problem == "error"
    assert run("def double(x):\n    return x * 2\n").problem == ""


def test_the_solutions_may_not_be_read(run, tmp_path):
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "ch99_doubling.py").write_text("def double(x):\n    return 2 * x\n")
    text = f"def double(x):\n    return open({str(tmp_path / 'solutions' / 'ch99_doubling.py')!r}).read()\n"
    outcome = run(text)
    assert (outcome.problem, outcome.what) == ("not allowed", "read ch99_doubling.py")


def test_an_answer_forged_on_the_wire_cannot_be_read(run):
    text = (
        "import gc, os\nfrom multiprocessing.connection import Connection\n"
        "def double(x):\n"
        "    wires = [thing for thing in gc.get_objects() if isinstance(thing, Connection)]\n"
        "    wires[-1].send_bytes(b'all right!')\n"
        "    os._exit(0)\n"
    )
    assert run(text).problem == "garbled"


def test_a_graded_chapter_survives_one_bad_exercise(runner, tmp_path):
    checks = Path(__file__).parent.parent / "exercises" / "test_ch02_patches.py"
    solution = (Path(__file__).parent.parent / "solutions" / "ch02_patches.py").read_text(encoding="utf-8")
    (tmp_path / "ch02_patches.py").write_text(
        solution.replace(
            "    rows, columns = height // patch_size",
            "    import os; os.abort()\n    rows, columns = height // patch_size",
            1,
        )
    )
    from grader.sandbox import load_file

    exercises = load_file(checks, "checks_for_the_runner").EXERCISES
    verdicts = {e.name: grade_exercise(e, checks, tmp_path, 0, runner).verdict for e in exercises}
    assert "SIGABRT" in verdicts["patchify"].message
    assert verdicts["unpatchify"].passed and verdicts["patch_of_pixel"].passed


def test_what_honest_code_does_goes_through(run, tmp_path):
    """Above all the kernel's list of calls and files must be long enough for libraries that students use."""
    (tmp_path / "beside.txt").write_text("2")
    outcome = run("""
import concurrent.futures, getpass, hashlib, io, os, threading, time, warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.utils.data import DataLoader
from torch.utils.checkpoint import checkpoint

import toybox
from toybox import tokenizer


def double(x):
    here = Path(__file__).parent
    assert "beside.txt" in os.listdir(here) and list(here.glob("*.txt"))
    assert os.path.expanduser("~") and getpass.getuser() and os.cpu_count() and os.urandom(4) and os.getcwd()
    with open("/dev/urandom", "rb") as noise, open(os.devnull) as nothing:
        assert len(noise.read(4)) == 4 and nothing.read() == ""
    load_file(Path(toybox.__file__).parent / "checkpoint" / "model.safetensors")
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30)).resize((20, 15), Image.BICUBIC).save(buffer, "PNG")
    np.asarray(Image.open(buffer)) @ np.ones((3, 2))
    torch.set_num_threads(4)
    layer = torch.nn.Linear(256, 256)
    checkpoint(layer, torch.randn(512, 256), use_reentrant=False).sum().backward()
    torch.optim.AdamW(layer.parameters()).step()
    torch.nn.functional.scaled_dot_product_attention(*torch.randn(3, 1, 4, 64, 32).bfloat16())
    plt.plot([1, 2], label="drawn")
    plt.savefig(io.BytesIO())
    for batch in DataLoader(torch.arange(10), batch_size=2, shuffle=True):
        time.sleep(0.001)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(abs, range(10))) == 45
    with warnings.catch_warnings(record=True):
        warnings.warn("said")
    time.localtime(), time.process_time(), threading.Event().wait(0.001), hashlib.sha256(b"x").digest()
    return int((here / "beside.txt").read_text()) * x
""")
    assert (outcome.problem, outcome.what) == ("", "")
    assert outcome.refused == "call os.mkdir"  # of matplotlib, which can do without


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_submission_that_a_signal_ended_is_run_again_alone(run, runner, monkeypatch):
    """And it is the first to be ended when the machine runs out of memory."""
    entered, gate = [], runner.gate
    monkeypatch.setattr(
        runner,
        "gate",
        SimpleNamespace(
            together=lambda: entered.append("together") or gate.together(),
            alone=lambda: entered.append("alone") or gate.alone(),
        ),
    )
    text = "import time\ndef double(x):\n    time.sleep(2)\n    return 2 * x\n"
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run, text)
        confined = []
        while not confined and not future.done():
            time.sleep(0.02)
            for process in multiprocessing.active_children():
                if "Seccomp:\t2" in Path(f"/proc/{process.pid}/status").read_text():
                    confined.append(process)
        assert Path(f"/proc/{confined[0].pid}/oom_score_adj").read_text() == "1000\n"
        confined[0].kill()
        assert future.result().problem == ""
    assert entered == ["together", "alone"]
    always = "import os, signal\ndef double(x):\n    signal.raise_signal(signal.SIGKILL)\n"
    assert (run(always).problem, run(always).what) == ("crash", "SIGKILL")
