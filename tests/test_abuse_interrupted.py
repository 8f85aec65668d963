"""Ctrl-C, kill -9 and a full disk at any moment: nothing half-written is mistaken for complete, and work can resume."""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import interrupted_worker
import pytest
import torch
from checkpoints import save_random_checkpoint
from hub_server import serve
from safetensors.torch import load_file

import vlm.checkpoints.atomic_write
from grader import classroom
from grader.classroom import columns, grade_class
from grader.grading import all_checks
from grader.places import SOLUTIONS
from toybox import train as training
from vlm.__main__ import main
from vlm.checkpoints.headers import TensorHeader, find_weight_files
from vlm.checkpoints.shards import write_shards
from vlm.loader import load_hf_model, load_model, save_hf_model
from vlm.training.lora import LoraConfig, add_lora, save_lora

pytestmark = [
    pytest.mark.abuse,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither these signals nor such limits"),
]
ROOT = Path(__file__).parent.parent
FULL = OSError(errno.ENOSPC, "No space left on device")
CTRL_C, KILL = signal.SIGINT, signal.SIGKILL
PROMPTLY = 15  # seconds, on a busy machine; a submission that never ends has 20, a download that hangs minutes


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_random_checkpoint(tmp_path_factory.mktemp("checkpoint"))


STARTED: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def signals_and_processes():
    """Programs that a test starts receive Ctrl-C even if the tests run with SIGINT ignored, as in a script's background
    job; and no program outlives its test."""
    before = signal.signal(CTRL_C, signal.default_int_handler)
    yield
    signal.signal(CTRL_C, before)
    while STARTED:
        process = STARTED.pop()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, KILL)
        process.communicate()


def start_program(*words: str | Path, **environment: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # its own process group, signaled as by a terminal
    )
    STARTED.append(process)
    return process


def start(*words: str | Path, **environment: str) -> subprocess.Popen:
    return start_program("tests/interrupted_worker.py", *words, **environment)


def finish(process: subprocess.Popen) -> tuple[int, str]:
    _, err = process.communicate(timeout=120)
    return process.returncode, err


def stop(
    process: subprocess.Popen, happened: Callable[[], bool], by: signal.Signals, within: float = PROMPTLY
) -> tuple[int, str]:
    """Send the signal to the program and its children, as soon as `happened` is true; it must end soon."""
    give_up = time.monotonic() + 120
    while not happened():
        assert process.poll() is None and time.monotonic() < give_up, process.communicate()
        time.sleep(0.02)
    os.killpg(process.pid, by)
    sent = time.monotonic()
    result = finish(process)
    assert time.monotonic() - sent < within
    return result


def assert_stopped(result: tuple[int, str], by: signal.Signals, words: str):
    """Silently by kill; with exit code 130 and one short line by Ctrl-C."""
    code, err = result
    if by is KILL:
        assert code == -KILL
    else:
        assert code == 130, err
        assert "Traceback" not in err and err.splitlines()[-1].startswith(words)


PROGRAMS = "vlm toybox.train toybox.train_masks toybox.evaluate toybox.demo benchmark"
PROGRAMS += " grader.classroom grader.project grader.release"


def imports_torch(pid: int) -> bool:
    """Whether it has begun to import torch, which takes half a second or more from here."""
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


def children(pid: int) -> list[int]:
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows which libraries a process has loaded")
@pytest.mark.parametrize("program", [*PROGRAMS.split(), "command"])
def test_ctrl_c_during_the_imports_ends_a_program_silently(tmp_path, program):
    if program == "command":
        script = tmp_path / "vlm"  # as pip installs it
        script.write_text("import sys\nfrom vlm.__main__ import program\nsys.exit(program())\n", encoding="utf-8")
        process = start_program(script, "--help")
    else:
        process = start_program("-m", program, "--help")
    assert stop(process, lambda: imports_torch(process.pid), CTRL_C) == (130, "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows which libraries a process has loaded")
def test_a_program_started_with_ctrl_c_ignored_keeps_ignoring_it(checkpoint):
    signal.signal(CTRL_C, signal.SIG_IGN)  # as nohup and background jobs of scripts do
    process = start_program("-m", "vlm", "inspect", checkpoint)
    assert stop(process, lambda: imports_torch(process.pid), CTRL_C) == (0, "")


@pytest.mark.parametrize(
    ("work", "code"), [("threading.Thread(target=press).start()", 130), ("atexit.register(press)", 0)]
)
def test_ctrl_c_after_the_work_leaves_no_traceback(work, code):
    """While Python waits for threads it ends the program; while Python shuts down it has no effect."""
    script = f"""
import atexit, os, signal, threading, time
from vlm.commands.program import run_as_program

def press():
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGINT)

def main():
    {work}

run_as_program("test", main)
"""
    assert finish(start_program("-c", script)) == (code, "")


def test_in_other_programs_ctrl_c_keeps_its_meaning(tmp_path):
    """The package changes nothing for a program that imports it, even if that program is started with `python -m`."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other/__init__.py").write_text("import vlm, toybox, grader, benchmark\n", encoding="utf-8")
    body = "import signal\nassert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    (tmp_path / "other/__main__.py").write_text(body, encoding="utf-8")
    assert finish(start_program("-m", "other", PYTHONPATH=f"{ROOT}:{tmp_path}")) == (0, "")


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


@pytest.fixture
def train(monkeypatch):
    """The worker's tiny training in this process; what the worker changes is put back afterwards."""
    for name in ("Recipe", "toybox_config", "SECONDS_BETWEEN_SAVES"):
        monkeypatch.setattr(training, name, getattr(training, name))
    monkeypatch.setattr(training.Trainer, "compile", training.Trainer.compile)
    monkeypatch.setattr(sys, "argv", sys.argv)
    threads = torch.get_num_threads()
    yield lambda directory: interrupted_worker.train(["--directory", str(directory)])
    torch.set_num_threads(threads)


def test_a_training_run_stopped_twice_ends_in_the_same_weights(train, tmp_path):
    train(tmp_path / "unbroken")
    directory, marker = tmp_path / "broken", tmp_path / "half-written"
    state = directory / "state.safetensors"
    for number, by in ((2, CTRL_C), (3, KILL)):  # the second state; then the third after that one
        marker.unlink(missing_ok=True)
        process = start(f"stall:{number}:{marker}", "train", "--directory", directory)
        assert_stopped(stop(process, marker.exists, by), by, "interrupted: run the same command again")
        load_file(state)  # whole: the one before the one that was half written
        assert not (directory / "final").exists()
        assert state.with_name("state.safetensors.partial").exists() == (by is KILL)
    train(directory)
    ours, theirs = (load_file(tmp_path / name / "final" / "model.safetensors") for name in ("broken", "unbroken"))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert [path.name for path in tmp_path.rglob("*.partial")] == []


def test_a_finished_model_whose_writing_was_cut_off_is_not_taken_for_one(tmp_path, monkeypatch):
    """In the order in which the files are written: whatever is missing, the loader says so."""
    trainer = SimpleNamespace(recipe=training.Recipe(), commit="", seconds=0.0, device="cpu", started_from=None)
    trainer.model = load_model(training.CHECKPOINT_DIRECTORY)
    replace, done = os.replace, []

    def replace_or_die(source, target):
        if len(done) == limit:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_or_die)
    for limit in range(10):
        done.clear()
        try:
            training.export(trainer, tmp_path / str(limit))
        except KeyboardInterrupt:
            with pytest.raises(FileNotFoundError, match=r"has no config\.json"):
                load_hf_model(tmp_path / str(limit))
            continue
        load_hf_model(tmp_path / str(limit))
        break
    assert limit == 5  # files, each of which was once the first to be missing


def test_training_whose_batches_end_early_exports_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "DataLoader", lambda *_, **__: [])
    monkeypatch.setattr(training.Trainer, "compile", lambda self: None)
    with pytest.raises(OSError, match="no batch came after step 0 of 6: is shared memory full"):
        training.train(training.Recipe(look_steps=2, speak_steps=4), tmp_path, "cpu")
    assert not (tmp_path / "final").exists()


def test_a_full_disk_ends_the_training_with_one_message_and_the_last_state_whole(tmp_path):
    limit = 600_000  # a batch fits, the first state too, without words yet; the whole state does not
    code, err = finish(start(f"disk:{limit}", "train", "--directory", tmp_path))
    assert code == 1 and "Traceback" not in err
    assert "training stopped: " in err and "state.safetensors.partial cannot be written" in err
    assert "is the disk full?" in err
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"] and load_file(
        tmp_path / "state.safetensors"
    )


@pytest.mark.parametrize("by", [CTRL_C, KILL], ids=["ctrl-c", "kill"])
def test_an_interrupted_conversion_leaves_no_checkpoint_and_the_same_command_completes_it(checkpoint, tmp_path, by):
    marker, target = tmp_path / "half-written", tmp_path / "target"
    words = ["convert", str(checkpoint), str(target), "--layout", "C", "--max-shard-gigabytes", "0.0005"]
    result = stop(start(f"stall:2:{marker}", *words), marker.exists, by)
    assert_stopped(result, by, "vlm convert: interrupted")
    assert files(target) == {} and (by is KILL or not any(target.iterdir()))
    with pytest.raises(FileNotFoundError):
        load_model(target)
    assert main(words) == 0
    assert main([*words[:2], str(tmp_path / "unbroken"), *words[3:]]) == 0
    assert files(target) == files(tmp_path / "unbroken") and len(find_weight_files(target)) > 2
    assert not any(path.is_dir() for path in target.iterdir())


def test_a_full_disk_ends_a_conversion_with_one_line_and_leaves_nothing(checkpoint, tmp_path):
    words = ["convert", str(checkpoint), str(tmp_path / "target")]
    code, err = finish(start("disk:1000000", *words))
    assert code == 1 and err.count("\n") == 1
    assert err.startswith("vlm convert: ") and "cannot be written" in err and "is the disk full?" in err
    assert list((tmp_path / "target").iterdir()) == []
    assert main(words) == 0
    load_hf_model(tmp_path / "target")


@pytest.fixture
def hub(checkpoint):
    with serve(checkpoint) as hub:
        yield hub
        hub.go_on.set()


@pytest.fixture
def inspect(hub, tmp_path):
    """Start `vlm inspect owner/name`, which downloads, against a hub on this machine."""
    known = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "*"}
    known |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

    def inspect(kind: str = "", **environment: str) -> subprocess.Popen:
        words, environment = ("inspect", "owner/name"), known | environment
        return start(kind, *words, **environment) if kind else start_program("-m", "vlm", *words, **environment)

    return inspect


@pytest.mark.parametrize("by", [CTRL_C, KILL], ids=["ctrl-c", "kill"])
def test_an_interrupted_download_is_not_mistaken_for_complete_and_the_same_command_completes_it(hub, inspect, by):
    hub.stall_after = 100_000
    result = stop(inspect(), hub.stalled.is_set, by)
    assert_stopped(result, by, "vlm inspect: interrupted")
    hub.stall_after = None
    hub.go_on.set()
    code, err = finish(inspect(HF_HUB_OFFLINE="1"))
    assert code == 1 and "it is not complete in the cache" in err and err.count("\n") == 1
    assert finish(inspect())[0] == 0


def test_a_full_disk_ends_a_download_with_one_line_and_it_resumes_when_there_is_space(inspect):
    code, err = finish(inspect("disk:500000"))
    assert code == 1 and err.count("\n") == 1, err
    assert err.startswith("vlm inspect: File too large in the cache") and "free some space, or set HF_HOME" in err
    assert finish(inspect())[0] == 0


def test_grading_that_is_stopped_goes_on_with_who_is_left(tmp_path, monkeypatch):
    """First Ctrl-C while a student is graded whose program never ends, then kill with another such student."""
    submissions, output, reports = tmp_path / "submissions", tmp_path / "grades.csv", tmp_path / "reports"
    right = (SOLUTIONS / "ch00_setup.py").read_text(encoding="utf-8")
    for student, program in (("ada", right), ("bob", "while True: pass\n"), ("eve", "while True: pass\n")):
        (submissions / student).mkdir(parents=True)
        (submissions / student / "ch00_setup.py").write_text(program, encoding="utf-8")
    words = ["grade", submissions, "--output", output, "--reports", reports, "--jobs", "1"]
    done, before = [], b""
    for last, next_one, by in (("ada", "bob", CTRL_C), ("bob", "eve", KILL)):
        process = start("whole", *words)
        result = stop(process, lambda last=last: output.is_file() and last in output.read_text(), by)
        assert_stopped(result, by, "interrupted: run the same command again")
        done.append(f"{last}.json")
        assert sorted(path.name for path in reports.iterdir()) == done
        assert output.read_bytes().startswith(before)
        before = output.read_bytes()
        assert before.count(b"\n") == 1 + len(done) and before.endswith(b"\n")
        (submissions / next_one / "ch00_setup.py").write_text(right, encoding="utf-8")
    asked, checks = [], all_checks()[:1]
    monkeypatch.setattr(classroom, "all_checks", lambda: checks)
    right = [SimpleNamespace(points=1)] * 3
    monkeypatch.setattr(classroom, "grade_student", lambda student, *_: asked.append(student.name) or right)
    grade_class(submissions, output, seed=0, jobs=1)
    assert asked == ["eve"]
    header, *rows = output.read_text().splitlines()
    assert output.read_bytes().startswith(before) and header.startswith("student,points,ch00_setup/")
    assert rows == [f"{student},3,1,1,1" for student in ("ada", "bob", "eve")]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows which libraries a process has loaded")
def test_grading_that_is_stopped_while_it_prepares_for_submissions_shows_no_traceback_of_theirs(tmp_path):
    (tmp_path / "submissions/ada").mkdir(parents=True)
    shutil.copy(SOLUTIONS / "ch00_setup.py", tmp_path / "submissions/ada")
    words = ["-m", "grader.classroom", tmp_path / "submissions", "--output", tmp_path / "grades.csv"]
    process = start_program(*words)
    result = stop(process, lambda: any(map(imports_torch, children(process.pid))), CTRL_C, within=60)
    assert result == (130, "\ngrader.classroom: interrupted\n")


@pytest.fixture
def class_of_three(tmp_path, monkeypatch) -> Path:
    """Three students, each of whom has one point for everything; how they are graded is of no matter."""
    for student in ("ada", "bob", "eve"):
        (tmp_path / "submissions" / student).mkdir(parents=True)
    all_right = [SimpleNamespace(points=1)] * (len(columns()) - 2)
    monkeypatch.setattr(classroom, "grade_student", lambda *_: all_right)
    return tmp_path / "submissions"


def assert_all_graded(output: Path):
    header, *rows = output.read_text().splitlines()
    points = len(columns()) - 2
    assert header == ",".join(columns())
    assert sorted(rows) == [f"{name},{points}" + ",1" * points for name in ("ada", "bob", "eve")]


def test_grading_stopped_before_the_first_student_has_one_header(class_of_three, tmp_path, monkeypatch):
    output = tmp_path / "grades.csv"

    def press_ctrl_c(*_):
        raise KeyboardInterrupt

    for _ in range(2):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(classroom, "grade_student", press_ctrl_c)
            grade_class(class_of_three, output, seed=0, jobs=1)
    grade_class(class_of_three, output, seed=0, jobs=1)
    assert_all_graded(output)


@pytest.mark.parametrize("cut", [1, 2, 3, 60, 200])
def test_half_a_line_of_grades_is_taken_out_and_its_student_graded_again(class_of_three, tmp_path, cut):
    output = tmp_path / "grades.csv"
    grade_class(class_of_three, output, seed=0, jobs=1)
    output.write_bytes(output.read_bytes()[:-cut])
    grade_class(class_of_three, output, seed=0, jobs=1)
    assert_all_graded(output)


def test_a_full_disk_ends_the_grading_with_one_message(class_of_three, tmp_path, monkeypatch):
    output = tmp_path / "grades.csv"

    def fail(*_):
        raise FULL

    with (
        monkeypatch.context() as patch,
        pytest.raises(SystemExit, match="No space left on device\nrun the same command again"),
    ):
        patch.setattr(classroom, "grade_student", fail)
        classroom.main([str(class_of_three), "--output", str(output), "--jobs", "1"])
    grade_class(class_of_three, output, seed=0, jobs=1)
    assert_all_graded(output)


TENSORS = {name: torch.full((10,), float(i)) for i, name in enumerate("abc")}
HEADERS = {name: TensorHeader(name, (10,), torch.float32) for name in TENSORS}  # 40 bytes each


@pytest.mark.parametrize("shards_before", [1, 2, 3])
@pytest.mark.parametrize("shards_after", [1, 2, 3])
def test_old_and_new_shards_are_never_mixed(tmp_path, monkeypatch, shards_before, shards_after):
    """Wherever writing is interrupted, the readable weights are all old, all new, or incomplete."""
    limits, replace, limit = {1: 120, 2: 80, 3: 40}, os.replace, 0
    while True:
        folder = tmp_path / str(limit)
        folder.mkdir()
        write_shards(folder, HEADERS, TENSORS.__getitem__, limits[shards_before])
        done = []

        def replace_or_die(source, target, done=done, limit=limit):
            if len(done) == limit:
                raise KeyboardInterrupt
            done.append(target)
            replace(source, target)

        new = {name: -tensor - 1 for name, tensor in TENSORS.items()}
        finished = False
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace_or_die)
            try:
                write_shards(folder, HEADERS, new.__getitem__, limits[shards_after])
                finished = True
            except KeyboardInterrupt:
                pass
        try:
            read = {name: tensor for path in find_weight_files(folder) for name, tensor in load_file(path).items()}
        except FileNotFoundError:
            read = {}
        is_new = {name: torch.equal(tensor, new[name]) for name, tensor in read.items()}
        assert len(read) < len(TENSORS) or len(set(is_new.values())) == 1
        assert not list(folder.glob("*.partial"))
        if finished:
            assert all(is_new.values()) and len(is_new) == len(TENSORS)
            break
        limit += 1


def test_a_full_disk_leaves_the_old_checkpoint_and_no_temporary_files(checkpoint, tmp_path, monkeypatch):
    directory = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    model, before = load_model(directory), files(directory)

    def fail_half_way(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise FULL

    monkeypatch.setattr(vlm.checkpoints.atomic_write, "save_file", fail_half_way)
    with pytest.raises(OSError, match="No space left on device"):
        save_hf_model(model, directory)
    assert files(directory) == before
    add_lora(model, LoraConfig())
    with pytest.raises(OSError, match="No space left on device"):
        save_lora(model, directory / "adapter")
    assert files(directory / "adapter") == {}
