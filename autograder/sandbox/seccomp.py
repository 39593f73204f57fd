"""A filter of system calls: what no exercise needs, what attacks on kernels start with, and what one sandbox could tell
another by fails with EPERM.

Files of the system and of Python are the same ones in every sandbox. A lock on one, a lease, notice of who opens it, or
a thread that waits at an address in it would be a word from one submission to another. So locks are granted without
being set, and waiting at an address that is not the process's own (a futex without FUTEX_PRIVATE_FLAG) ends at once:
whoever waits looks again, which is what a lock between processes of one sandbox then does until it is free.

The filter is a classic BPF program (see the kernel's Documentation/userspace-api/seccomp_filter.rst). It is a list of
what is forbidden, a second fence behind the namespaces, not the first.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterable

from . import linux

CALLS: dict[str, tuple[int | None, int | None]] = {  # number on x86_64 and on aarch64; None: no such call
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "cachestat": (451, 451),
    "chmod": (90, None),
    "chown": (92, None),
    "chroot": (161, 51),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "clone": (56, 220),
    "clone3": (435, 435),
    "connect": (42, 203),
    "delete_module": (176, 106),
    "fadvise64": (221, 223),
    "fanotify_init": (300, 262),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "fcntl": (72, 25),
    "file_setattr": (469, 469),
    "finit_module": (313, 273),
    "flock": (73, 32),
    "fremovexattr": (199, 16),
    "fsetxattr": (190, 7),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fstatfs": (138, 44),
    "futex": (202, 98),
    "futex_requeue": (456, 456),
    "futex_wait": (455, 455),
    "futex_waitv": (449, 449),
    "futex_wake": (454, 454),
    "futimesat": (261, None),
    "getpgid": (121, 155),
    "getpriority": (140, 141),
    "getsid": (124, 156),
    "init_module": (175, 105),
    "inotify_add_watch": (254, 27),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "io_setup": (206, 0),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioprio_get": (252, 31),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "lchown": (94, None),
    "lremovexattr": (198, 15),
    "lsetxattr": (189, 6),
    "madvise": (28, 233),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "mincore": (27, 232),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "msgctl": (71, 187),
    "msgget": (68, 186),
    "msgrcv": (70, 188),
    "msgsnd": (69, 189),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "preadv2": (327, 286),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "readahead": (187, 213),
    "reboot": (169, 142),
    "removexattr": (197, 14),
    "removexattrat": (466, 466),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "sched_getaffinity": (204, 123),
    "sched_getattr": (315, 275),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_rr_get_interval": (148, 127),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "semctl": (66, 191),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "sendmmsg": (307, 269),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "setns": (308, 268),
    "setpgid": (109, 154),
    "setpriority": (141, 140),
    "setsid": (112, 157),
    "setsockopt": (54, 208),
    "settimeofday": (164, 170),
    "setxattr": (188, 5),
    "setxattrat": (463, 463),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmget": (29, 194),
    "socket": (41, 198),
    "statfs": (137, 43),
    "swapon": (167, 224),
    "sysinfo": (99, 179),
    "syslog": (103, 116),
    "tgkill": (234, 131),
    "timer_create": (222, 107),
    "tkill": (200, 130),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "ustat": (136, None),
    "utime": (132, None),
    "utimensat": (280, 88),
    "utimes": (235, None),
}
_FORBIDDEN = (
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "unshare",
    "setns",
    "keyctl",
    "add_key",
    "request_key",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_setup",  # the kernel counts for all how much is waiting to be read
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "open_by_handle_at",
    "fanotify_init",
    "mincore",
    "cachestat",
    "sysinfo",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsmount",
    "mount_setattr",
    "pidfd_getfd",
    "swapon",
    "reboot",
    "acct",
    "quotactl",
    "quotactl_fd",
    "settimeofday",
    "syslog",
    "personality",
    "memfd_secret",
    "inotify_init",
    "inotify_init1",
    "inotify_add_watch",
    "setpriority",
    "ioprio_set",
    "process_madvise",
    "migrate_pages",
    "move_pages",
    "kcmp",
    "shmget",
    "shmat",
    "shmctl",
    "semget",
    "semop",
    "semctl",
    "semtimedop",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "mq_open",
    "mq_unlink",
)
# What can harm processes and files of the same user.
_FORBIDDEN_AMONG_OTHERS = (
    "chmod",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "utime",
    "utimes",
    "futimesat",
    "utimensat",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "removexattr",
    "lremovexattr",
    "fremovexattr",
    "setxattrat",
    "removexattrat",
    "file_setattr",
    "statfs",  # how much is free on a disk that several write
    "fstatfs",
    "ustat",
    "connect",
    "sendmsg",
    "sendmmsg",
)
# What a process has set for itself, read by another; which argument names the process.
_ASKED_OF_ITSELF = {
    "getpgid": 0,
    "getsid": 0,
    "sched_getaffinity": 0,
    "sched_getparam": 0,
    "sched_getscheduler": 0,
    "sched_getattr": 0,
    "sched_rr_get_interval": 0,
    "getpriority": 1,
    "ioprio_get": 1,
    "pidfd_open": 0,
}
# By a clock's number, below zero, one reads how long another process has computed.
_CLOCKS = ("clock_gettime", "clock_getres", "clock_nanosleep", "timer_create")
_PRETENDED = ("setpgid", "setsid")  # does nothing, without an error: a session is ended whole
# Allowed for the calling thread alone: the first argument is 0.
_OF_ITSELF = (
    "prlimit64",
    "sched_setparam",
    "sched_setscheduler",
    "sched_setattr",
    "sched_setaffinity",
)
_ZMQ_NEEDS = ("sched_setparam", "sched_setscheduler")  # it ends its process where they fail
_SIGNALS = (
    "tkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "pidfd_send_signal",
)
_KILL_CALLS = ("kill", "tgkill")  # to oneself only
_OUT_OF_CACHE = ("fadvise64", "readahead")  # advice; not taken
_FUTEXES = ("futex_waitv", "futex_wake", "futex_wait", "futex_requeue")
_LOCKS = (6, 7, 37, 38)  # F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW
_LEASES = (1024, 1026)  # F_SETLEASE, F_NOTIFY
_ON_INODES = 1035  # from here on: hints how long a file will be kept, which all can read; delegations
_OWNERS = (8, 15)  # F_SETOWN, F_SETOWN_EX
_TERMINALS, _SOCKETS = 0x5400, 0x8900  # requests to these; none to files and disks, such as flags of an inode
_BUFFERS = (7, 8)  # SO_SNDBUF, SO_RCVBUF: how much a socket may hold (see limits.py)
_PRIVATE, _COMMAND = 128, 127  # FUTEX_PRIVATE_FLAG, and what remains of the operation without the clock
_WAITS, _WAKES = (0, 9), (1, 3, 4, 5, 10)
_COLD, _PAGEOUT = 20, 21
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of CALLS, AUDIT_ARCH
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16  # no others: AF_VSOCK knows no network namespace


def supported() -> bool:
    """Is the filter written for this machine?"""
    return os.uname().machine in _ARCHITECTURES


def forbid(kernel: bool = False) -> None:
    """Install the filter for this process and all that it starts; `kernel`: leave what a Jupyter kernel needs."""
    _install(program(kernel))


def forbid_among_others(signals: bool, kernel: bool) -> None:
    """The same where no namespace separates this process from others of its user: also what could harm those.

    `signals`: no signal to another process (where the kernel does not see to that itself). `kernel`: leave the Unix
    sockets on which a Jupyter kernel waits; without it no socket can be made, and none can be connected in any case.
    """
    _install(program_among_others(signals, kernel))


def program(kernel: bool = False) -> bytes:
    """The filter of `forbid`."""
    return _program([*_of_itself(kernel), *_only("socket", (_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK))])


def program_among_others(signals: bool, kernel: bool) -> bytes:
    """The filter of `forbid_among_others`."""
    code = _each(_refuse, (*_FORBIDDEN_AMONG_OTHERS, *(_SIGNALS if signals else ())))
    code += _each(lambda name: _answer(name, 0), _PRETENDED)
    code += _of_itself(kernel)
    if not kernel:
        code += _each(lambda name: _unless(name, _ASKED_OF_ITSELF[name], 0, errno.ESRCH), _ASKED_OF_ITSELF)
    code += _unless("sendto", 4, 0)  # an address
    # zmq ends its process where it cannot ask for interfaces, unless for want of support
    code += _unless("socket", 0, _AF_UNIX, errno.EOPNOTSUPP) if kernel else _refuse("socket")
    if signals:
        code += _each(lambda name: _unless(name, 0, os.getpid()), _KILL_CALLS)
        code += _where("fcntl", _OWNERS)
    return _program(code)


def _install(code: bytes) -> None:
    linux.no_new_privileges()
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]

    filter_ = Program(len(code) // 8, ctypes.addressof(buffer))
    if linux.libc.prctl(22, 2, ctypes.byref(filter_), 0, 0) < 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "seccomp filter refused")


def _program(more: list[bytes]) -> bytes:
    """The filter as bytes; `more` are further steps, which find and leave the call's number loaded."""
    architecture = _ARCHITECTURES[os.uname().machine][1]
    refused = _ERRNO | errno.EPERM
    code = [_step(_LOAD, 4), _step(_EQUAL, architecture, 1, 0), _step(_RETURN, _KILL), _step(_LOAD, 0)]
    code += [_step(_AT_LEAST, 0x40000000, 0, 1), _step(_RETURN, refused)]  # the x32 numbers
    code += _no_shared_futex()  # first, for it is asked most often
    code += _each(_refuse, _FORBIDDEN)
    code += _answer("flock", 0) + _where("fcntl", _LOCKS, 0) + _where("fcntl", _LEASES)
    code += _from_on("fcntl", _ON_INODES) + _only_requests("ioctl", (_TERMINALS, _SOCKETS))
    code += _where("setsockopt", _BUFFERS, 0, argument=2)
    code += _each(lambda name: _answer(name, errno.ENOSYS), _FUTEXES)
    # Which pages of a file are in memory is a word, too, where one can ask without reading them, or put them out.
    code += _each(lambda name: _answer(name, 0), _OUT_OF_CACHE)
    code += _unless("preadv2", 5, 0, errno.EOPNOTSUPP) + _where("madvise", (_COLD, _PAGEOUT), argument=2)
    code += _answer("memfd_create", errno.ENOSYS)  # memory that no process maps is counted by nobody
    code += _each(_no_clock_of_others, _CLOCKS)
    code += more
    code += _answer("clone3", errno.ENOSYS)  # its flags lie in memory; libc falls back to clone
    code += [
        _step(_EQUAL, _number("clone"), 0, 3),
        _step(_LOAD, _argument(0)),
        _step(_ANY_BIT, linux.CLONE_NEWUSER, 0, 1),
        _step(_RETURN, refused),
    ]
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _number(name: str) -> int:
    """Of a call that this machine has."""
    number = CALLS[name][_ARCHITECTURES[os.uname().machine][0]]
    assert number is not None, name
    return number


def _each(steps: Callable[[str], list[bytes]], names: Iterable[str]) -> list[bytes]:
    """The steps for each call that there is on this machine."""
    column = _ARCHITECTURES[os.uname().machine][0]
    return [step for name in names if CALLS[name][column] is not None for step in steps(name)]


def _of_itself(kernel: bool) -> list[bytes]:
    names = [name for name in _OF_ITSELF if not (kernel and name in _ZMQ_NEEDS)]
    return _each(lambda name: _unless(name, 0, 0), names)


def _refuse(call: str) -> list[bytes]:
    return _answer(call, errno.EPERM)


def _answer(call: str, error: int) -> list[bytes]:
    """The call is not made; its caller hears of an error, or with 0 of success."""
    return [_step(_EQUAL, _number(call), 0, 1), _step(_RETURN, _ERRNO | error)]


def _unless(call: str, argument: int, value: int, error: int = errno.EPERM) -> list[bytes]:
    """Refuse a call unless an argument (its lower half, with zeros above) has a value."""
    return [
        _step(_EQUAL, _number(call), 0, 6),
        _step(_LOAD, _argument(argument)),
        _step(_EQUAL, value, 0, 2),
        _step(_LOAD, _argument(argument) + 4),
        _step(_EQUAL, 0, 1, 0),
        _step(_RETURN, _ERRNO | error),
        _step(_LOAD, 0),
    ]


def _where(call: str, values: tuple[int, ...], error: int = errno.EPERM, argument: int = 1) -> list[bytes]:
    """Do not make a call whose second (or another) argument, an int, is one of `values`."""
    tried = [step for value in values for step in (_step(_EQUAL, value, 0, 1), _step(_RETURN, _ERRNO | error))]
    return [
        _step(_EQUAL, _number(call), 0, 2 + len(tried)),
        _step(_LOAD, _argument(argument)),
        *tried,
        _step(_LOAD, 0),
    ]


def _from_on(call: str, least: int) -> list[bytes]:
    """Refuse a call whose second argument, an int, is so large or larger."""
    return [
        _step(_EQUAL, _number(call), 0, 4),
        _step(_LOAD, _argument(1)),
        _step(_AT_LEAST, least, 0, 1),
        _step(_RETURN, _ERRNO | errno.EPERM),
        _step(_LOAD, 0),
    ]


def _only_requests(call: str, kinds: tuple[int, int]) -> list[bytes]:
    """Refuse a call unless its second argument, an int, is of one of two kinds: all of it but the last byte."""
    return [
        _step(_EQUAL, _number(call), 0, 6),
        _step(_LOAD, _argument(1)),
        _step(_AND, 0xFFFFFF00),
        _step(_EQUAL, kinds[0], 2, 0),
        _step(_EQUAL, kinds[1], 1, 0),
        _step(_RETURN, _ERRNO | errno.EPERM),
        _step(_LOAD, 0),
    ]


def _no_clock_of_others(call: str) -> list[bytes]:
    """The clock of a process by its number, even its own, is one that the kernel does not have."""
    return [
        _step(_EQUAL, _number(call), 0, 4),
        _step(_LOAD, _argument(0)),
        _step(_ANY_BIT, 0x80000000, 0, 1),
        _step(_RETURN, _ERRNO | errno.EINVAL),
        _step(_LOAD, 0),
    ]


def _no_shared_futex() -> list[bytes]:
    """Whoever waits is sent away at once (a wait with a time: as if it were over), whoever wakes finds nobody."""
    waits = [
        _step(_LOAD, _argument(3)),
        _step(_EQUAL, 0, 0, 1),
        _step(_RETURN, _ERRNO | errno.EAGAIN),
        _step(_RETURN, _ERRNO | errno.ETIMEDOUT),
    ]
    wakes, others = [_step(_RETURN, _ERRNO)], [_step(_RETURN, _ERRNO | errno.ENOSYS)]
    known = len(_WAITS) + len(_WAKES)
    steps = [_step(_LOAD, _argument(1)), _step(_ANY_BIT, _PRIVATE, known + 1 + len(waits + wakes + others), 0)]
    steps.append(_step(_AND, _COMMAND))
    for index, value in enumerate((*_WAITS, *_WAKES)):
        left = known - index - 1  # comparisons still to come; after them: others, waits, wakes
        steps.append(_step(_EQUAL, value, left + len(others) + (0 if value in _WAITS else len(waits)), 0))
    steps += [*others, *waits, *wakes]
    return [_step(_EQUAL, _number("futex"), 0, len(steps) + 1), *steps, _step(_LOAD, 0)]


def _only(call: str, values: tuple[int, ...]) -> list[bytes]:
    """Refuse a call unless its first argument, an int, is one of `values`."""
    tried = [_step(_EQUAL, value, len(values) - i, 0) for i, value in enumerate(values)]
    refused = _step(_RETURN, _ERRNO | errno.EAFNOSUPPORT)
    return [
        _step(_EQUAL, _number(call), 0, 3 + len(tried)),
        _step(_LOAD, _argument(0)),
        *tried,
        refused,
        _step(_LOAD, 0),
    ]


def _argument(number: int) -> int:
    """Where an argument's lower half lies in what the filter is given."""
    return 16 + 8 * number


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
