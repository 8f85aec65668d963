"""What the Linux kernel refuses this process from now on, whatever code runs in it. It cannot be taken back.

Python's audit hooks see only what Python does, and they live in the memory of the process that they watch. The kernel
is outside of it. Landlock (in Linux since 5.13; landlock(7)) decides about files, seccomp (seccomp(2)) about system
calls. Neither needs privileges.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable
from pathlib import Path

_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every machine
_DIES_WITH_PARENT, _SET_SECCOMP, _NO_NEW_PRIVILEGES = 1, 22, 38  # for prctl(2)
_READ_OF_OTHERS = 1 << 1  # root may still read what belongs to others: in a container submissions often do

# Numbers of system calls on x86-64. Elsewhere there is no filter: see `_refuse_calls`.
_CLONE, _CLONE3, _THREAD = 56, 435, 0x10000
_OWN_PROCESS_ONLY = {"kill": 62, "tgkill": 234, "prlimit64": 302, "sched_setaffinity": 203}
_REFUSED = {
    "socket": 41,
    "fork": 57,
    "vfork": 58,
    "execve": 59,
    "execveat": 322,
    "ptrace": 101,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "tkill": 200,
    "rt_sigqueueinfo": 129,
    "rt_tgsigqueueinfo": 297,
    "pidfd_open": 434,
    "pidfd_send_signal": 424,
    "pidfd_getfd": 438,
    "setpriority": 141,
    "unshare": 272,
    "setns": 308,
    "io_uring_setup": 425,  # would do other calls unseen
    # Memory that is not the process's own, and so not limited.
    "shmget": 29,
    "memfd_create": 319,
    # What Landlock leaves to others.
    "chmod": 90,
    "fchmod": 91,
    "fchmodat": 268,
    "fchmodat2": 452,
    "chown": 92,
    "fchown": 93,
    "lchown": 94,
    "fchownat": 260,
    "utime": 132,
    "utimes": 235,
    "futimesat": 261,
    "utimensat": 280,
    "setxattr": 188,
    "lsetxattr": 189,
    "fsetxattr": 190,
}
_X86_64, _FOREIGN_NUMBERS = 0xC000003E, 0x40000000
_LOAD, _IS_EQUAL, _IS_AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000


def confine(places: Iterable[Path], connection: int):
    """Only files in these places can be opened, to read; no process can be started or signalled, no socket opened.

    Whatever the kernel does not know is left out. Threads that exist already are not confined, so call it early.

    Args:
        connection: the one file descriptor that stays open, beside the standard streams.
    """
    os.closerange(3, connection)
    os.closerange(connection + 1, min(os.sysconf("SC_OPEN_MAX"), 1 << 20))  # in containers it can be a billion
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_DIES_WITH_PARENT, 9)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _restrict_files(libc, places)
    _drop_privileges(libc)
    if platform.machine() == "x86_64":
        _refuse_calls(libc)


def readable(private: set[Path], opened: set[Path]) -> list[Path]:
    """Everything but what is private, and what is opened though it lies in something private.

    Private and opened folders can lie in each other; the innermost counts.
    """
    return [part for top in {Path("/")} | opened for part in _all_but(private - {top}, top)]


def _all_but(private: set[Path], top: Path) -> list[Path]:
    """The largest files and folders that make up `top` without what is private."""
    if top in private:
        return []
    if not any(path.is_relative_to(top) for path in private):
        return [top]
    try:
        children = [child for child in top.iterdir() if not child.is_symlink()]
    except PermissionError:  # a folder that nobody may list is left to the audit hook
        return [top]
    return [part for child in children for part in _all_but(private, child)]


def landlock_version(libc: ctypes.CDLL) -> int:
    """Which version of Landlock this kernel has; less than 1: none."""
    return libc.syscall(_CREATE_RULESET, None, 0, 1)


def _restrict_files(libc: ctypes.CDLL, places: Iterable[Path]):
    version = landlock_version(libc)
    if version < 1:
        return
    every_right = (1 << min(12 + version, 15)) - 1  # version 1 has 13 of them, 2 and 3 have one more each
    ruleset = libc.syscall(_CREATE_RULESET, struct.pack("Q", every_right), 8, 0)
    for path, right in [(Path("/"), _READ_FOLDER), *((path, _READ_FILE) for path in places)]:
        try:
            place = os.open(path, os.O_PATH)
        except FileNotFoundError:  # a temporary file of somebody else's, gone by now
            continue
        libc.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", right, place), 0)
        os.close(place)
    if libc.syscall(_RESTRICT_SELF, ruleset, 0) != 0:
        raise OSError(ctypes.get_errno(), "the process could not be confined")
    os.close(ruleset)


def _drop_privileges(libc: ctypes.CDLL):
    for kept in (_READ_OF_OTHERS if os.geteuid() == 0 else 0, 0):
        if libc.capset(struct.pack("Ii", 0x20080522, 0), struct.pack("6I", kept, kept, 0, 0, 0, 0)) == 0:
            return


def _refuse_calls(libc: ctypes.CDLL):
    """A program for the kernel's filter: each step is a code, how many steps to skip if true or false, and a value."""
    refuse = (_RETURN, 0, 0, 0x50000 | errno.EPERM)
    number, machine, first_argument = (_LOAD, 0, 0, 0), (_LOAD, 0, 0, 4), (_LOAD, 0, 0, 16)
    steps = [machine, (_IS_EQUAL, 1, 0, _X86_64), (_RETURN, 0, 0, _KILL)]
    steps += [number, (_IS_AT_LEAST, 0, 1, _FOREIGN_NUMBERS), refuse]
    for call in _REFUSED.values():
        steps += [(_IS_EQUAL, 0, 1, call), refuse]
    # The C library then uses clone, whose flags can be seen.
    steps += [(_IS_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, 0x50000 | errno.ENOSYS)]
    steps += [(_IS_EQUAL, 0, 4, _CLONE), first_argument, (_HAS_BIT, 1, 0, _THREAD), refuse, (_RETURN, 0, 0, _ALLOW)]
    for call in _OWN_PROCESS_ONLY.values():
        own = [(_IS_EQUAL, 2, 0, os.getpid()), (_IS_EQUAL, 1, 0, 0)]
        steps += [(_IS_EQUAL, 0, 5, call), first_argument, *own, refuse, (_RETURN, 0, 0, _ALLOW)]
    steps.append((_RETURN, 0, 0, _ALLOW))
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    header = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program))
    if libc.prctl(_SET_SECCOMP, 2, header) != 0 and ctypes.get_errno() != errno.EINVAL:  # that is: it has no filters
        raise OSError(ctypes.get_errno(), "the process could not be confined")
