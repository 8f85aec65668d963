"""Confines this process with the Linux kernel, whatever code runs in it. This cannot be undone.

Python's audit hooks see only what Python does, and they are in the memory of the process that they watch. The kernel
is outside it. Landlock (landlock(7)) controls access to files, and signals; seccomp (seccomp(2)) controls system calls;
and a separate user keeps the process from exhausting the limits of the grader's user. None of them needs privileges.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable
from pathlib import Path

from grader.system_calls import ALLOWED, ALLOWED_WITH

MAX_THREADS = 1000
# What torch reads in addition to Python and the course: shared libraries and descriptions of the machine.
SYSTEM_FILES = [
    Path(place)
    for place in (
        *("/usr", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/localtime"),
        *("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"),
        *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm/overcommit_memory"),
        *("/sys/devices/system/cpu", "/sys/devices/system/node"),
    )
]

_READ_FILE, _READ_FOLDER, _CONTROL_DEVICE = 1 << 2, 1 << 3, 1 << 15
_CONNECT, _SOCKETS_AND_SIGNALS = 3, 3  # all rights that Landlock has for the network, and for other processes
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every machine
_KEEP_CAPABILITIES, _DIES_WITH_PARENT, _SET_SECCOMP, _NO_NEW_PRIVILEGES = 8, 1, 22, 38  # for prctl(2)
_THREADS_OF_USER = 6  # for setrlimit(2); RLIMIT_NPROC
_NEW_USER_NAMESPACE = 0x10000000
_FIRST_USER = 1 << 30  # larger than the user ids that systems assign
_OVERRIDE_MODE, _IGNORE_MODE_TO_READ, _SET_GROUP, _SET_USER = 1 << 1, 1 << 2, 1 << 6, 1 << 7  # see capabilities(7)

_KILL_PROCESS, _KILL_THREAD, _LIMIT = 62, 234, 302  # kill, tgkill, prlimit64
_CLONE, _CLONE3, _THREAD = 56, 435, 0x10000
_X86_64, _FOREIGN_NUMBERS, _NEWER_NUMBERS = 0xC000003E, 0x40000000, 471
_LOAD, _IS_EQUAL, _IS_AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x50000, 0x80000000


def confine(files: Iterable[Path], folders: Iterable[Path], connection: int) -> list[str]:
    """Allow only these files to be opened, for reading; no process can be started or signaled, no socket opened.

    Threads that exist already are not confined, so call it early.

    Args:
        files: files that can be read, and folders whose files can be read.
        folders: folders that can be listed.
        connection: the only file descriptor that stays open, apart from the standard streams.

    Returns:
        What this kernel lacks, in words; [] if everything is in force.
    """
    os.closerange(3, connection)
    os.closerange(connection + 1, 1 << 20)  # descriptors can be higher than the current limit on open files
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    lacks = [
        *_restrict_files(libc, files, folders),
        *_take_own_user(libc),
        *(_refuse_calls(libc) if platform.machine() == "x86_64" else [f"seccomp filter for {platform.machine()}"]),
    ]
    return lacks


def readable(private: set[Path], opened: set[Path]) -> list[Path]:
    """Everything in `opened`, without what is private in it. If they are nested, the innermost one decides."""
    return [part for top in opened for part in _all_but(private - {top}, top)]


def _all_but(private: set[Path], top: Path) -> list[Path]:
    """The largest files and folders that together make up `top` without its private parts."""
    if top in private:
        return []
    if not any(path.is_relative_to(top) for path in private):
        return [top]
    children = [child for child in top.iterdir() if not child.is_symlink()]
    return [part for child in children for part in _all_but(private, child)]


def landlock_version(libc: ctypes.CDLL) -> int:
    """The version of Landlock in this kernel; less than 1 if it has none."""
    return libc.syscall(_CREATE_RULESET, None, 0, 1)


def _restrict_files(libc: ctypes.CDLL, files: Iterable[Path], folders: Iterable[Path]) -> list[str]:
    version = landlock_version(libc)
    if version < 1:
        return ["Landlock (Linux 5.13)"]
    # Version 1 has 13 rights, 2 and 3 have one more each, 5 the last one.
    rights = (1 << min(12 + version, 15)) - 1 | (_CONTROL_DEVICE if version >= 5 else 0)
    network, others = _CONNECT if version >= 4 else 0, _SOCKETS_AND_SIGNALS if version >= 6 else 0
    ruleset = libc.syscall(_CREATE_RULESET, struct.pack("QQQ", rights, network, others), 24, 0)
    listed = ((folder, _READ_FOLDER) for folder in folders if folder.is_dir())
    for path, right in [*((path, _READ_FILE) for path in files), *listed]:
        try:
            place = os.open(path, os.O_PATH)
        except FileNotFoundError:  # of another distribution, or a temporary file that no longer exists
            continue
        libc.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", right, place), 0)
        os.close(place)
    if libc.syscall(_RESTRICT_SELF, ruleset, 0) != 0:
        raise OSError(ctypes.get_errno(), "the process could not be confined")
    os.close(ruleset)
    return [] if version >= 6 else [f"Landlock 6 (Linux 6.12; this kernel has version {version})"]


def _take_own_user(libc: ctypes.CDLL) -> list[str]:
    """Switch to a user that owns no files and no processes: root changes its user id, others use a user namespace.

    A process that was root can still read what root can read: in a container, submissions often have other owners.
    """
    own = False
    if os.geteuid() != 0:
        # Kernels before version 2 of Landlock count the threads of a user in a namespace with those of the real user.
        own = landlock_version(libc) >= 2 and libc.unshare(_NEW_USER_NAMESPACE) == 0
        _keep_capabilities(libc, 0)
    elif reading := next((right for right in (_IGNORE_MODE_TO_READ, _OVERRIDE_MODE) if _can_switch(libc, right)), 0):
        user = _FIRST_USER + os.getpid()
        libc.prctl(_KEEP_CAPABILITIES, 1, 0, 0, 0)
        libc.setgroups(0, None)
        own = libc.setresgid(user, user, user) == 0 and libc.setresuid(user, user, user) == 0
        _keep_capabilities(libc, reading)
    else:
        _keep_capabilities(libc, 0)
    libc.prctl(_DIES_WITH_PARENT, 9)  # changing the user had reset it
    if own:
        libc.setrlimit(_THREADS_OF_USER, struct.pack("QQ", MAX_THREADS, MAX_THREADS))
        return []
    return ["separate user for a submission (user namespaces)"]


def _can_switch(libc: ctypes.CDLL, reading: int) -> bool:
    return _keep_capabilities(libc, reading | _SET_GROUP | _SET_USER)


def _keep_capabilities(libc: ctypes.CDLL, kept: int) -> bool:
    return libc.capset(struct.pack("Ii", 0x20080522, 0), struct.pack("6I", kept, kept, 0, 0, 0, 0)) == 0


def _refuse_calls(libc: ctypes.CDLL) -> list[str]:
    program = b"".join(struct.pack("HBBI", *step) for step in _filter())
    buffer = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    if libc.prctl(_SET_SECCOMP, 2, header) == 0:
        return []
    if ctypes.get_errno() == errno.EINVAL:
        return ["seccomp filter"]
    raise OSError(ctypes.get_errno(), "the process could not be confined")


def _filter() -> list[tuple[int, int, int, int]]:
    """A program for the kernel's filter. A step is a code, how many steps to skip if true or if false, and a value."""
    allow, refuse, unknown = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _FAIL | errno.EPERM), _FAIL | errno.ENOSYS
    number, machine, arguments = (_LOAD, 0, 0, 0), (_LOAD, 0, 0, 4), [(_LOAD, 0, 0, 16 + 8 * i) for i in range(6)]
    # For other processors, or with x32 numbers, the same numbers would mean other system calls.
    steps = [machine, (_IS_EQUAL, 1, 0, _X86_64), (_RETURN, 0, 0, _KILL)]
    steps += [number, (_IS_AT_LEAST, 0, 1, _FOREIGN_NUMBERS), refuse]
    for call in ALLOWED.values():
        steps += [(_IS_EQUAL, 0, 1, call), allow]
    own = os.getpid()
    this_process = [(_KILL_PROCESS, 0, (own,)), (_KILL_THREAD, 0, (own,)), (_LIMIT, 0, (0, own))]
    for call, argument, values in [*ALLOWED_WITH.values(), *this_process]:
        checks = [step for value in values for step in ((_IS_EQUAL, 0, 1, value), allow)]
        steps += [(_IS_EQUAL, 0, len(checks) + 2, call), arguments[argument], *checks, refuse]
    steps += [(_IS_EQUAL, 0, 4, _CLONE), arguments[0], (_HAS_BIT, 0, 1, _THREAD), allow, refuse]
    # For these the C library has an older call: for threads it is `clone`, whose flags the filter can check.
    steps += [(_IS_EQUAL, 1, 0, _CLONE3), (_IS_AT_LEAST, 0, 1, _NEWER_NUMBERS), (_RETURN, 0, 0, unknown)]
    return [*steps, refuse]
