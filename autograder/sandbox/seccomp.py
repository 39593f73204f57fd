"""A filter of system calls: what no exercise needs, what attacks on kernels start with, and what one sandbox could tell
another by fails with EPERM.

Files of the system and of Python are the same ones in every sandbox. A lock on one, a lease, or notice of who opens it
would be a word from one submission to another, so locks are granted without being set: inside of a sandbox they mean
nothing.

The filter is a classic BPF program (see the kernel's Documentation/userspace-api/seccomp_filter.rst). It is a list of
what is forbidden, a second fence behind the namespaces, not the first.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from . import linux

_FORBIDDEN = {  # name: number on x86_64, on aarch64
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "pidfd_getfd": (438, 438),
    "swapon": (167, 224),
    "reboot": (169, 142),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "settimeofday": (164, 170),
    "syslog": (103, 116),
    "personality": (135, 92),
    "memfd_secret": (447, 447),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "process_madvise": (440, 440),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "kcmp": (312, 272),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
}
_FORBIDDEN_AMONG_OTHERS = {  # what can harm processes and files of the same user; None where there is no such call
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "connect": (42, 203),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
}
_PRETENDED = {"setpgid": (109, 154), "setsid": (112, 157)}  # does nothing, without an error: a session is ended whole
_OF_ITSELF = {  # allowed for the calling thread alone: the first argument is 0
    "prlimit64": (302, 261),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122),
}
_ZMQ_NEEDS = ("sched_setparam", "sched_setscheduler")  # it ends its process where they fail
_MEMFD_CREATE, _FLOCK, _IOCTL = (319, 279), (73, 32), (16, 29)
_LOCKS = (6, 7, 37, 38)  # F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW
_LEASES = (1024, 1026)  # F_SETLEASE, F_NOTIFY
_FLAGS_OF_FILES = (0x40086602, 0x40046602, 0x40087602, 0x40047602, 0x401C5820)  # FS_IOC_SETFLAGS and its like
_SIGNALS = {
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
}
_KILL_CALLS = ((62, 129), (234, 131))  # kill, tgkill: to oneself only
_SENDTO, _FCNTL = (44, 206), (72, 25)
_F_SETOWN, _F_SETOWN_EX = 8, 15
_CLONE3 = 435
_SOCKET = (41, 198)
_ARCHITECTURES = {"x86_64": (0, 0xC000003E, 56), "aarch64": (1, 0xC00000B7, 220)}  # column, AUDIT_ARCH, clone
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16  # no others: AF_VSOCK knows no network namespace


def supported() -> bool:
    """Is the filter written for this machine?"""
    return os.uname().machine in _ARCHITECTURES


def forbid(kernel: bool = False) -> None:
    """Install the filter for this process and all that it starts; `kernel`: leave what a Jupyter kernel needs."""
    _install(_program(_of_itself(kernel) + _only(_SOCKET[_column()], (_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK))))


def forbid_among_others(signals: bool, kernel: bool) -> None:
    """The same where no namespace separates this process from others of its user: also what could harm those.

    `signals`: no signal to another process (where the kernel does not see to that itself). `kernel`: leave the Unix
    sockets on which a Jupyter kernel waits; without it no socket can be made, and none can be connected in any case.
    """
    column = _column()
    names = _FORBIDDEN_AMONG_OTHERS | (_SIGNALS if signals else {})
    code = [step for numbers in names.values() if (number := numbers[column]) is not None for step in _refuse(number)]
    code += [step for numbers in _PRETENDED.values() for step in _answer(numbers[column], 0)]
    code += _of_itself(kernel)
    code += _unless(_SENDTO[column], 4, 0)  # an address
    # zmq ends its process where it cannot ask for interfaces, unless for want of support
    code += _unless(_SOCKET[column], 0, _AF_UNIX, errno.EOPNOTSUPP) if kernel else _refuse(_SOCKET[column])
    if signals:
        for numbers in _KILL_CALLS:
            code += _unless(numbers[column], 0, os.getpid())
        code += _where(_FCNTL[column], (_F_SETOWN, _F_SETOWN_EX))
    _install(_program(code))


def _install(program: bytes) -> None:
    linux.no_new_privileges()
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]

    filter_ = Program(len(program) // 8, ctypes.addressof(buffer))
    if linux.libc.prctl(22, 2, ctypes.byref(filter_), 0, 0) < 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "seccomp filter refused")


def _program(more: list[bytes]) -> bytes:
    """The filter as bytes; `more` are further steps, which find and leave the call's number loaded."""
    column, architecture, clone = _ARCHITECTURES[os.uname().machine]
    refused, missing = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    code = [_step(_LOAD, 4), _step(_EQUAL, architecture, 1, 0), _step(_RETURN, _KILL), _step(_LOAD, 0)]
    code += [_step(_AT_LEAST, 0x40000000, 0, 1), _step(_RETURN, refused)]  # the x32 numbers
    for numbers in _FORBIDDEN.values():
        if (number := numbers[column]) is not None:
            code += _refuse(number)
    code += _answer(_FLOCK[column], 0) + _where(_FCNTL[column], _LOCKS, 0) + _where(_FCNTL[column], _LEASES)
    code += _where(_IOCTL[column], _FLAGS_OF_FILES)
    code += _answer(_MEMFD_CREATE[column], errno.ENOSYS)  # memory that no process maps is counted by nobody
    code += more
    code += [_step(_EQUAL, _CLONE3, 0, 1), _step(_RETURN, missing)]  # its flags lie in memory; libc falls back to clone
    code += [
        _step(_EQUAL, clone, 0, 3),
        _step(_LOAD, _argument(0)),
        _step(_ANY_BIT, linux.CLONE_NEWUSER, 0, 1),
        _step(_RETURN, refused),
    ]
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _column() -> int:
    """Of the pairs of numbers above, the one for this machine."""
    return _ARCHITECTURES[os.uname().machine][0]


def _of_itself(kernel: bool) -> list[bytes]:
    return [
        step
        for name, numbers in _OF_ITSELF.items()
        if not (kernel and name in _ZMQ_NEEDS)
        for step in _unless(numbers[_column()], 0, 0)
    ]


def _refuse(call: int) -> list[bytes]:
    return _answer(call, errno.EPERM)


def _answer(call: int, error: int) -> list[bytes]:
    """The call is not made; its caller hears of an error, or with 0 of success."""
    return [_step(_EQUAL, call, 0, 1), _step(_RETURN, _ERRNO | error)]


def _unless(call: int, argument: int, value: int, error: int = errno.EPERM) -> list[bytes]:
    """Refuse a call unless an argument (its lower half, with zeros above) has a value."""
    return [
        _step(_EQUAL, call, 0, 6),
        _step(_LOAD, _argument(argument)),
        _step(_EQUAL, value, 0, 2),
        _step(_LOAD, _argument(argument) + 4),
        _step(_EQUAL, 0, 1, 0),
        _step(_RETURN, _ERRNO | error),
        _step(_LOAD, 0),
    ]


def _where(call: int, values: tuple[int, ...], error: int = errno.EPERM) -> list[bytes]:
    """Do not make a call whose second argument, an int, is one of `values`."""
    tried = [step for value in values for step in (_step(_EQUAL, value, 0, 1), _step(_RETURN, _ERRNO | error))]
    return [_step(_EQUAL, call, 0, 2 + len(tried)), _step(_LOAD, _argument(1)), *tried, _step(_LOAD, 0)]


def _only(call: int, values: tuple[int, ...]) -> list[bytes]:
    """Refuse a call unless its first argument, an int, is one of `values`."""
    tried = [_step(_EQUAL, value, len(values) - i, 0) for i, value in enumerate(values)]
    refused = _step(_RETURN, _ERRNO | errno.EAFNOSUPPORT)
    return [_step(_EQUAL, call, 0, 3 + len(tried)), _step(_LOAD, _argument(0)), *tried, refused, _step(_LOAD, 0)]


def _argument(number: int) -> int:
    """Where an argument's lower half lies in what the filter is given."""
    return 16 + 8 * number


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
