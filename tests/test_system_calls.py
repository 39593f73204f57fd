"""The filter of system calls, on both architectures: its numbers are Linux's own, and what it decides is run here as the
kernel would run it."""

from __future__ import annotations

import errno
import os
import re
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest

from autograder.sandbox import seccomp
from autograder.sandbox.seccomp import CALLS

MACHINES = ["x86_64", "aarch64"]
TABLES = {  # of Debian's linux-libc-dev, which every compiler for C needs; the second is the one that arm64 includes
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "aarch64": "/usr/include/asm-generic/unistd.h",
}
ALLOWED = "allowed"
FUTEX_PRIVATE = 128


def table(machine: str) -> dict[str, int]:
    place = Path(TABLES[machine])
    if not place.is_file():
        pytest.skip(f"no {place} on this machine (linux-libc-dev)")
    lines = place.read_text(encoding="utf-8")
    found = re.findall(r"#define __NR(?:3264)?_(?!syscalls)(\w+)\s+(\d+)", lines)  # which is how many there are
    return {name: int(number) for name, number in found}


@pytest.mark.parametrize("machine", MACHINES)
def test_every_number_is_linuxs_own(machine):
    linux, column = table(machine), MACHINES.index(machine)
    ours = {name: pair[column] for name, pair in CALLS.items()}
    wrong = {name: (number, linux[name]) for name, number in ours.items() if name in linux and linux[name] != number}
    assert not wrong, "(ours, Linux's)"
    newest = max(linux.values())  # a call that this table does not know is newer than the table, or there is none
    strange = {name: n for name, n in ours.items() if name not in linux and n is not None and n <= newest}
    assert not strange
    assert sum(name in linux for name in ours) >= 90


class Filter:
    """The program, run as the kernel runs it."""

    def __init__(self, code: bytes, machine: str):
        self._steps = list(struct.iter_unpack("=HBBI", code))
        self._column = MACHINES.index(machine)
        self._architecture = (0xC000003E, 0xC00000B7)[self._column]

    def __call__(self, name: str | int, *arguments: int) -> str:
        """What becomes of a call: "allowed", "killed", or the error's name ("" where it is pretended)."""
        number = CALLS[name][self._column] if isinstance(name, str) else name
        data = struct.pack("=iIQ6Q", number, self._architecture, 0, *[*arguments, *[0] * 6][:6])
        at, value = 0, 0
        while True:
            code, if_true, if_false, constant = self._steps[at]
            at += 1
            if code == 0x20:
                value = struct.unpack_from("=I", data, constant)[0]
            elif code == 0x54:
                value &= constant
            elif code == 0x06:
                kind, error = constant & 0xFFFF0000, constant & 0xFFFF
                if kind == 0x7FFF0000:
                    return ALLOWED
                return (errno.errorcode[error] if error else "") if kind == 0x00050000 else "killed"
            else:
                holds = {0x15: value == constant, 0x35: value >= constant, 0x45: bool(value & constant)}[code]
                at += if_true if holds else if_false


@pytest.fixture(params=MACHINES)
def filters(request, monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=request.param))
    among_others = seccomp.program_among_others(signals=True, kernel=False)
    return Filter(seccomp.program(), request.param), Filter(among_others, request.param)


def test_what_is_refused_is_refused_and_nothing_else(filters):
    first, second = filters
    column = first._column
    refused = {CALLS[name][column] for name in seccomp._FORBIDDEN} - {None}
    refused_second = refused | {CALLS[name][column] for name in seccomp._FORBIDDEN_AMONG_OTHERS} - {None}
    named = {pair[column] for pair in CALLS.values()}
    for number in range(600):
        if number in refused:
            assert first(number) == "EPERM" and second(number) == "EPERM", number
        elif number in refused_second:
            assert second(number) == "EPERM", number
        elif number not in named:
            assert first(number) == ALLOWED == second(number), number


CASES = [  # what is called with what, what becomes of it with namespaces, and without
    (("futex", 1, 0, 5), "EAGAIN", "EAGAIN"),
    (("futex", 1, 9 | 256, 5, 4096), "ETIMEDOUT", "ETIMEDOUT"),
    (("futex", 1, 1, 5), "", ""),
    (("futex", 1, 5, 5), "", ""),
    (("futex", 1, 10, 5), "", ""),
    (("futex", 1, 6, 5), "ENOSYS", "ENOSYS"),
    (("futex", 1, FUTEX_PRIVATE, 5), ALLOWED, ALLOWED),
    (("futex", 1, 1 | FUTEX_PRIVATE, 5), ALLOWED, ALLOWED),
    (("futex", 1, 9 | 256 | FUTEX_PRIVATE, 5), ALLOWED, ALLOWED),
    (("futex_wake",), "ENOSYS", "ENOSYS"),
    (("flock", 3, 2), "", ""),
    (("fcntl", 3, 6), "", ""),
    (("fcntl", 3, 38), "", ""),
    (("fcntl", 3, 1024), "EPERM", "EPERM"),
    (("fcntl", 3, 8), ALLOWED, "EPERM"),
    (("fcntl", 3, 3), ALLOWED, ALLOWED),
    (("fcntl", 3, 1036), "EPERM", "EPERM"),
    (("fcntl", 3, 1040), "EPERM", "EPERM"),
    (("fcntl", 3, 1030), ALLOWED, ALLOWED),
    (("fcntl", 3, 1034), ALLOWED, ALLOWED),
    (("ioctl", 3, 0x40086602), "EPERM", "EPERM"),
    (("ioctl", 3, 0x6612), "EPERM", "EPERM"),
    (("ioctl", 3, 0xC020660B), "EPERM", "EPERM"),
    (("ioctl", 3, 0x80045200), "EPERM", "EPERM"),
    (("ioctl", 3, 2), "EPERM", "EPERM"),
    (("ioctl", 3, 0x15401), "EPERM", "EPERM"),
    (("ioctl", 3, 0x8912), ALLOWED, ALLOWED),
    (("ioctl", 3, 0x541B), ALLOWED, ALLOWED),
    (("setsockopt", 3, 1, 7), "", ""),
    (("setsockopt", 3, 1, 8), "", ""),
    (("setsockopt", 3, 1, 2), ALLOWED, ALLOWED),
    (("clock_gettime", 0xFFFFFFF2), "EINVAL", "EINVAL"),
    (("timer_create", 0x80000002), "EINVAL", "EINVAL"),
    (("clock_gettime", 2), ALLOWED, ALLOWED),
    (("clock_nanosleep", 1), ALLOWED, ALLOWED),
    (("statfs",), ALLOWED, "EPERM"),
    (("io_setup", 1000), "EPERM", "EPERM"),
    (("ioctl", 3, 0x5401), ALLOWED, ALLOWED),
    (("preadv2", 3, 0, 0, 0, 0, 8), "ENOTSUP", "ENOTSUP"),
    (("preadv2", 3, 0, 0, 0, 0, 0), ALLOWED, ALLOWED),
    (("madvise", 1, 1, 21), "EPERM", "EPERM"),
    (("madvise", 1, 1, 4), ALLOWED, ALLOWED),
    (("fadvise64", 3), "", ""),
    (("memfd_create",), "ENOSYS", "ENOSYS"),
    (("clone3",), "ENOSYS", "ENOSYS"),
    (("clone", 0x10000011), "EPERM", "EPERM"),
    (("clone", 0x3D0F00), ALLOWED, ALLOWED),
    (("socket", 1), ALLOWED, "EPERM"),
    (("socket", 40), "EAFNOSUPPORT", "EPERM"),
    (("sendto", 3, 0, 0, 0, 4096), ALLOWED, "EPERM"),
    (("sendto", 3, 0, 0, 0, 0), ALLOWED, ALLOWED),
    (("sched_setaffinity", 0), ALLOWED, ALLOWED),
    (("sched_setaffinity", 7), "EPERM", "EPERM"),
    (("prlimit64", 1 << 32), "EPERM", "EPERM"),
    (("sched_getaffinity", 7), ALLOWED, "ESRCH"),
    (("sched_getaffinity", 0), ALLOWED, ALLOWED),
    (("getpriority", 0, 7), ALLOWED, "ESRCH"),
    (("getpriority", 0, 0), ALLOWED, ALLOWED),
    (("ioprio_get", 1, 7), ALLOWED, "ESRCH"),
    (("pidfd_open", 7), ALLOWED, "ESRCH"),
    (("setsid",), ALLOWED, ""),
    (("kill", 7, 0), ALLOWED, "EPERM"),
    (("kill", os.getpid(), 9), ALLOWED, ALLOWED),
    (("tkill", 7, 9), ALLOWED, "EPERM"),
    ((0x40000000,), "EPERM", "EPERM"),
]


@pytest.mark.parametrize(
    ("asked", "apart", "among_others"),
    CASES,
    ids=lambda value: str(value).replace(str(os.getpid()), "own process")[:40],
)
def test_arguments_decide_where_they_should(filters, asked, apart, among_others):
    assert (filters[0](*asked), filters[1](*asked)) == (apart, among_others)


def test_another_architecture_is_ended(filters):
    filters[0]._architecture = 0x40000003  # i386, by which an x86-64 kernel offers other numbers
    assert filters[0]("futex") == "killed"
