"""Runs one exercise of a submission in a separate process, so that a failure affects only that exercise.

The process has the questions but not the answers: expected values never enter it. Limits and an audit hook, which
reports in Python's terms what was refused, protect against accidents and mischief; on Linux the kernel does too, and
Python code cannot bypass it (`grader/confine.py`). To grade code of strangers, also run the grader in a container.
"""

import contextlib
import ctypes
import importlib.util
import io
import linecache
import os
import site
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import toybox
import vlm
from grader import confine
from grader.encoding import encodable_part, encode
from grader.exercise import Case, Exercise

MEMORY_BYTES = 4 * 1024**3  # in addition to what the process has when it starts
OPEN_FILES = 256
PRINTED_CHARACTERS = 2000
PACKAGES = [Path(package.__file__).parent for package in (vlm, toybox)]
# What a submission needs to run: it may read these, wherever they are.
RUNTIME = [
    Path(place).resolve()
    for place in (
        *(Path(package.__file__).parent for package in (vlm, toybox)),
        sys.prefix,
        sys.base_prefix,
        site.getusersitepackages(),
    )
] + confine.SYSTEM_FILES
# Audit events of actions for which a submission has no reason.
_REFUSED_EVENTS = (
    "ctypes.dlopen",
    "ctypes.dlsym",
    "fcntl.",
    "os.chmod",
    "os.chown",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.kill",
    "os.link",
    "os.mkdir",
    "os.posix_spawn",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.setxattr",
    "os.spawn",
    "os.symlink",
    "os.system",
    "os.truncate",
    "os.utime",
    "resource.",
    "shutil.",
    "signal.",
    "socket.",
    "sqlite3.",
    "subprocess.Popen",
)


class ForbiddenCall(Exception):
    """The submission called a function that it should implement."""


class NotAllowed(PermissionError):
    """The submission tried to access something outside its exercise."""


class BoundedText(io.TextIOBase):
    """Accepts any number of characters, and keeps the first ones."""

    def __init__(self):
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text[: max(PRINTED_CHARACTERS - len(self.text), 0)]
        return len(text)


def load_file(path: Path, name: str) -> ModuleType:
    """Run a Python file as a module of that name."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    return module


def load_exercise(checks: Path, name: str) -> Exercise:
    """The exercise of that name in a check file."""
    module = load_file(checks, f"checks_of_{checks.stem}")
    return next(exercise for exercise in module.EXERCISES if exercise.name == name)


def work(connection: Connection, submission: Path, checks: Path, name: str, seed: int, private: list[Path]):
    """The main function of the process: make the cases, run the submission on them, send the outcome."""
    printed = BoundedText()
    if hasattr(os, "setsid"):
        os.setsid()  # so that all processes that it starts can be killed with it
    # Only what the submission prints to Python's streams is kept; the output of C libraries is discarded.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.stdout = sys.stderr = printed
    sys.dont_write_bytecode = True
    try:
        # torch imports this at the first operation on the meta device, and then looks for a writable folder.
        importlib.import_module("torch._dynamo")
        exercise = load_exercise(checks, name)
        private = {*private, checks}
        opened = {submission.parents[1 if submission.parent.name == "capstone" else 0], *RUNTIME}
        set_limits()
        forget_environment()
        confine_process(private, opened, connection)
        cases = exercise.cases(seed)
        forbid(exercise.forbidden)
        refused = guard(private, opened)
        connection.send_bytes(b"ready")
        message = run(exercise, submission, cases)
        message = encode(message | {"printed": printed.text, "refused": refused[0] if refused else ""})
    except MemoryError:
        message = encode({"problem": "memory"})
    except (TypeError, ValueError) as error:
        message = encode({"problem": "garbled", "what": str(error)})
    connection.send_bytes(message)
    connection.close()
    os._exit(0)  # skips everything that the submission registered to run at exit


def report_confinement(connection: Connection):
    """The main function of a process that only reports what this machine lacks to confine it."""
    with contextlib.suppress(BrokenPipeError):  # Ctrl-C has ended the program that asked
        connection.send_bytes(encode(confine_process(set(), set(), connection)))


def confine_process(private: set[Path], opened: set[Path], connection: Connection) -> list[str]:
    """Confine this process as far as the system can; return what the system lacks."""
    if sys.platform != "linux":
        return [f"Linux kernel (it is {sys.platform})"]
    opened = opened | {Path(f"/proc/{os.getpid()}")}
    return confine.confine(confine.readable(private, opened), opened, connection.fileno())


def forget_environment():
    """Remove environment variables (they may contain passwords), also from the memory that the process got them in."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT", "USERPROFILE") if name in os.environ}  # of Windows
    kept |= {"HOME": os.path.expanduser("~"), "LOGNAME": "student"}  # otherwise Python would ask the system for them
    os.environ.clear()
    os.environ.update(kept)
    if sys.platform == "linux":
        os.environ["MPLCONFIGDIR"] = "/tmp"  # matplotlib wants a folder that looks writable, also to another user
        start, end = map(int, Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[47:49])
        ctypes.memset(start, 0, end - start)


def run(exercise: Exercise, submission: Path, cases: list[Case]) -> dict[str, Any]:
    """Answers for every case, or a description of what went wrong."""
    answers, arguments, skipped, at = [], [], [], -1
    try:
        module = load_file(submission, "submission")
        for case in cases:
            at += 1
            try:
                answers.append(exercise.run(module, case))
            except (NotImplementedError, RuntimeError, TypeError) as error:
                if not (has_no_numbers(case) and asks_for_numbers(error)):
                    raise
                answers.append(None)  # without data, we cannot tell whether this submission is right
                skipped.append(at)
            arguments.append(encodable_part(case))
        return {"answers": encode_each(answers), "arguments": encode_each(arguments), "skipped": skipped}
    except NotImplementedError as error:
        name = unwritten(error, submission)
        if name in (exercise.name, f"{exercise.name}.__init__"):
            return {"problem": "not written"}
        if name.startswith(f"{exercise.name}."):
            return {"problem": "partly written", "what": name}
        if name:
            return {"problem": "calls the unwritten", "what": name.removesuffix(".__init__")}
        return {"problem": "error", "what": describe(error, submission), "case": at}
    except MemoryError:
        return {"problem": "memory"}
    except ForbiddenCall as error:
        return {"problem": "forbidden", "what": str(error)}
    except NotAllowed as error:
        return {"problem": "not allowed", "what": str(error)}
    except PermissionError as error:  # of the system
        return {"problem": "not allowed", "what": f"do something that the system forbids ({error})"}
    except SyntaxError as error:
        file = "" if error.filename == str(submission) else f"{Path(str(error.filename)).name}, "
        return {"problem": "syntax", "what": f"{file}line {error.lineno}: {error.msg}"}
    except SystemExit:
        return {"problem": "exit"}
    except BaseException as error:
        if "can't allocate memory" in str(error):
            return {"problem": "memory"}
        return {"problem": "error", "what": describe(error, submission), "case": at}


def has_no_numbers(case: Case) -> bool:
    """Whether a tensor of the case is on the meta device, which reveals on any machine where a result was created."""
    return any(isinstance(value, torch.Tensor) and value.is_meta for value in case.values())


def asks_for_numbers(error: Exception) -> bool:
    """Whether torch raised the error because a meta tensor has no data, for example in `.tolist()`."""
    words = ("copy out of meta tensor", "called on meta tensors", "convert meta device")
    return any(word in str(error) for word in words)


def unwritten(error: NotImplementedError, submission: Path) -> str:
    """The function that raised it, in the submission or in a file next to it; "" if it is somewhere else."""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    path = Path(code.co_filename)
    if path == submission:
        return code.co_qualname
    return f"{path.stem}.{code.co_qualname}" if is_part(path, submission) else ""


def is_part(path: Path, submission: Path) -> bool:
    """Whether it is another file of the student, such as a chapter that the capstone uses, and not a check file."""
    return path.parent in (submission.parent, submission.parent.parent) and not path.name.startswith("test_")


def encode_each(values: list[Any]) -> list[Any]:
    """Check that each value can be encoded, so that the whole message can."""
    for value in values:
        encode(value)
    return values


def describe(error: BaseException, submission: Path) -> str:
    """The error, and the student's line that raised it: in the submission, or else in a file next to it."""
    lines = [(Path(frame.f_code.co_filename), number) for frame, number in traceback.walk_tb(error.__traceback__)]
    own = [line for line in lines if line[0] == submission]
    own = own or [line for line in lines if is_part(line[0], submission)]
    if not own and "NoneType" in str(error):
        return "one of your functions returns None: is a `return` missing?"
    where = ""
    if own:
        path, number = own[-1]
        file = "" if path == submission else f"{path.name}, "
        where = f"{file}line {number}, in `{linecache.getline(str(path), number).strip()}`: "
    text = str(error).strip().splitlines()
    return f"{where}{type(error).__name__}{': ' + text[0] if text else ''}"[:PRINTED_CHARACTERS]


def forbid(names: tuple[str, ...]):
    """Replace each named function or class by one that raises ForbiddenCall."""
    for dotted in names:
        owner_name, attribute = dotted.rsplit(".", 1)
        setattr(find(owner_name), attribute, refusal(dotted))


def find(dotted: str) -> Any:
    """The module or class of that name."""
    first, *rest = dotted.split(".")
    found = importlib.import_module(first)
    for index, part in enumerate(rest):
        if not hasattr(found, part):
            importlib.import_module(".".join([first, *rest[: index + 1]]))
        found = getattr(found, part)
    return found


def refusal(dotted: str) -> Callable[..., Any]:
    def refused(*_, **__):
        raise ForbiddenCall(dotted)

    return refused


def set_limits():
    """Limit memory, so that a huge allocation raises MemoryError, and forbid files to grow. Unix only."""
    try:
        import resource
    except ImportError:  # Windows
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    with contextlib.suppress(ValueError, OSError):  # macOS has this limit but rejects it
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))  # the system limits their total number
    with contextlib.suppress(OSError):  # other systems do not have this file
        # If the machine runs out of memory, the kernel kills this process first, and not the grader.
        Path("/proc/self/oom_score_adj").write_text("1000")


def guard(private: set[Path], opened: set[Path]) -> list[str]:
    """From now on refuse to write files, start programs, use the network, or read private files.

    Args:
        private: files and folders that must not be read.
        opened: exceptions inside private folders, which may be read.

    Returns:
        A list to which every refused action is added, because Python's own modules suppress some errors.
    """
    places, refused = {str(path): path in opened for path in private | opened}, []

    def refuse(what: str):
        refused.append(what)
        raise NotAllowed(what)

    def hook(event: str, arguments: tuple):
        if event == "open":
            path, mode, flags = arguments
            if type(path) is int:
                return
            if type(path) not in (str, bytes):  # it could return a different name each time
                refuse(f"open a file whose name is a {type(path).__name__}")
            writes = (flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)) if isinstance(flags, int) else 0
            if writes or (mode and set(str(mode)) & set("wax+")):
                refuse(f"write to the file {os.fsdecode(path)}")
            resolved = Path(os.path.realpath(os.fsdecode(path)))
            around = [str(place) for place in (resolved, *resolved.parents) if str(place) in places]
            if around and not places[around[0]]:  # the innermost one decides
                refuse(f"read {resolved.name}")
        elif event.startswith(_REFUSED_EVENTS):
            refuse(f"call {event}")

    sys.addaudithook(hook)
    return refused
