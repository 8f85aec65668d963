"""Each wall by itself: what the filter lets through, what Landlock keeps inside, what is said where one is missing."""

import errno
import json
import os
import platform
import subprocess
import sys

import pytest

if sys.platform != "linux" or platform.machine() != "x86_64":
    pytest.skip("the walls are those of Linux on x86-64", allow_module_level=True)

import ctypes

from grader import confine, system_calls
from grader.places import ROOT

ALLOW, REFUSE, UNKNOWN, KILL = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS, 0x80000000
LANDLOCK = confine.landlock_version(ctypes.CDLL(None))
BEGIN = """
import ctypes, json, os, signal, socket, sys
from pathlib import Path
from unittest.mock import patch
from grader import confine, system_calls
libc = ctypes.CDLL(None, use_errno=True)
"""


def decide(number: int, *arguments: int, machine: int = 0xC000003E) -> int:
    """What the filter says to a system call: the kernel's part, in Python."""
    words = {0: number, 4: machine} | {16 + 8 * i: argument for i, argument in enumerate(arguments)}
    steps, at, loaded = confine._filter(), 0, 0
    while True:
        code, if_true, if_false, value = steps[at]
        if code == 0x06:
            return value
        if code == 0x20:
            loaded, skip = words.get(value, 0), 0
        else:
            holds = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code]
            skip = if_true if holds else if_false
        at += 1 + skip


def run_program(text: str) -> list:
    result = subprocess.run([sys.executable, "-c", BEGIN + text], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_only_the_calls_of_the_list_go_through():
    through = {number for number in range(471) if decide(number) == ALLOW}
    assert through == {*system_calls.ALLOWED.values(), 72, 302}  # fcntl's F_DUPFD and a limit of its own are 0 as well
    assert decide(435) == UNKNOWN  # clone3: the C library takes clone instead
    assert all(decide(number) == REFUSE for number in range(435) if number not in through)


def test_calls_that_are_newer_than_the_list_are_unknown_to_the_kernel():
    assert {decide(number) for number in (471, 600, 0x3FFFFFFF)} == {UNKNOWN}


def test_calls_for_other_processors_and_by_numbers_of_x32_do_not_go_through():
    assert decide(0, machine=0x40000003) == KILL  # a program of 32 bits
    assert {decide(0x40000000 + number) for number in (0, 39, 521)} == {REFUSE}


def test_threads_are_started_and_processes_are_not():
    assert decide(56, 0x3D0F00) == ALLOW  # what the C library passes for a thread
    assert decide(56, 0x1200011) == decide(57) == decide(58) == decide(59) == REFUSE


@pytest.mark.parametrize(("call", "argument"), [("kill", 62), ("tgkill", 234), ("prlimit64", 302)])
def test_signals_and_limits_go_to_the_process_itself(call, argument):
    assert decide(argument, os.getpid()) == ALLOW
    assert decide(argument, os.getppid()) == decide(argument, 2**32 - 1) == REFUSE
    assert decide(argument, 0) == (ALLOW if call == "prlimit64" else REFUSE)  # for kill that is the whole group


@pytest.mark.parametrize(
    ("number", "position", "allowed", "refused"),
    [
        (72, 1, [0, 3, 4, 1030], [6, 8, 10, 15, 1024, 1026, 1031, 1033]),  # fcntl
        (16, 1, [0x5401, 0x5413, 0x5451], [0x5402, 0x540E, 0x5412, 0x8901, 0x8902]),  # ioctl
        (157, 0, [15, 0x53564D41], [1, 4, 22, 35, 36, 38]),  # prctl
    ],
    ids=["fcntl", "ioctl", "prctl"],
)
def test_of_calls_that_do_many_things_the_harmless_ones_go_through(number, position, allowed, refused):
    before = [7] * position
    assert {decide(number, *before, value) for value in allowed} == {ALLOW}
    assert {decide(number, *before, value) for value in refused} == {REFUSE}


@pytest.mark.skipif(LANDLOCK < 6, reason="this kernel's Landlock knows no signals")
def test_landlock_alone_keeps_signals_and_sockets_inside():
    """Of three ways to reach another process: to signal it, to let a pipe signal it, and its abstract socket."""
    assert run_program("""
import fcntl
listener = socket.socket(socket.AF_UNIX)
listener.bind("\\0" + str(os.getpid()))
listener.listen()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
other = os.fork()
if other == 0:
    os._exit(signal.sigtimedwait({signal.SIGUSR1}, 2) is not None)
libc.prctl(38, 1, 0, 0, 0)
confine._restrict_files(libc, [Path("/")], [])
came = []
pipe, end = os.pipe()
fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGUSR1)
fcntl.fcntl(pipe, fcntl.F_SETOWN, other)
fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_ASYNC)
os.write(end, b"x")
for reach in (
    lambda: os.kill(other, signal.SIGUSR1),
    lambda: socket.socket(socket.AF_UNIX).connect(listener.getsockname()),
):
    try:
        reach()
        came.append(True)
    except PermissionError:
        came.append(False)
print(json.dumps([*came, os.waitstatus_to_exitcode(os.waitpid(other, 0)[1])]))
""") == [False, False, 0]


@pytest.mark.skipif(LANDLOCK < 5, reason="this kernel's Landlock knows neither the network nor devices")
def test_landlock_alone_keeps_from_the_network_and_from_commands_to_devices():
    assert (
        run_program("""
import fcntl, termios
libc.prctl(38, 1, 0, 0, 0)
confine._restrict_files(libc, [Path("/")], [])
said = []
for use in (
    lambda: socket.create_connection(("127.0.0.1", 9), timeout=1),
    lambda: socket.create_server(("127.0.0.1", 0)),
    lambda: fcntl.ioctl(os.open("/dev/null", os.O_RDONLY), termios.TCGETS),
):
    try:
        use()
    except OSError as error:
        said.append(type(error).__name__)
print(json.dumps(said))
""")
        == ["PermissionError"] * 3
    )


def test_what_is_missing_is_said_for_each_wall():
    said = run_program("""
missing = []
for place, value in (
    ("landlock_version", lambda _: 0),
    ("landlock_version", lambda _: 5),
    ("platform.machine", lambda: "aarch64"),
    ("os.geteuid", lambda: -1),
    ("_refuse_calls", confine._refuse_calls),
):
    reader, writer = os.pipe()
    if os.fork() == 0:
        libc.unshare = lambda _: -1  # as where containers refuse it; root does not ask
        with patch(f"grader.confine.{place}", value), patch("ctypes.CDLL", lambda *_, **__: libc):
            os.write(writer, json.dumps(confine.confine([], [], writer)).encode())
        os._exit(0)
    os.wait()
    missing.append(json.loads(os.read(reader, 1000)))
print(json.dumps(missing))
""")
    user = "separate user for a submission (user namespaces)"
    everyone = [] if os.geteuid() == 0 else [user]
    assert said == [
        ["Landlock (Linux 5.13)", *everyone],
        ["Landlock 6 (Linux 6.12; this kernel has version 5)", *everyone],
        [*everyone, "seccomp filter for aarch64"],
        [user],
        everyone,
    ]
