"""A filter of system calls: what no exercise needs and what attacks on kernels start with fails with EPERM.

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
    "setpriority": (141, 140),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122),
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
    "connect": (42, 203),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
}
_PRETENDED = {"setpgid": (109, 154), "setsid": (112, 157)}  # does nothing, without an error: a session is ended whole
_ZMQ_NEEDS = ("sched_setparam", "sched_setscheduler")  # it ends its process where they fail
_SIGNALS = {
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
}
_KILL_CALLS = ((62, 129), (234, 131))  # kill, tgkill: to oneself only
_PRLIMIT, _SENDTO, _FCNTL = (302, 261), (44, 206), (72, 25)
_F_SETOWN, _F_SETOWN_EX = 8, 15
_CLONE3 = 435
_SOCKET = (41, 198)
_ARCHITECTURES = {"x86_64": (0, 0xC000003E, 56), "aarch64": (1, 0xC00000B7, 220)}  # column, AUDIT_ARCH, clone
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_AF_UNIX = 1


def supported() -> bool:
    """Is the filter written for this machine?"""
    return os.uname().machine in _ARCHITECTURES


def forbid() -> None:
    """Install the filter for this process and all that it starts."""
    _install(_program([]))


def forbid_among_others(signals: bool, kernel: bool) -> None:
    """The same where no namespace separates this process from others of its user: also what could harm those.

    `signals`: no signal to another process (where the kernel does not see to that itself). `kernel`: leave the Unix
    sockets on which a Jupyter kernel waits; without it no socket can be made, and none can be connected in any case.
    """
    column = _ARCHITECTURES[os.uname().machine][0]
    names = _FORBIDDEN_AMONG_OTHERS | (_SIGNALS if signals else {})
    code = [
        step
        for name, numbers in names.items()
        if (number := numbers[column]) is not None and not (kernel and name in _ZMQ_NEEDS)
        for step in _refuse(number)
    ]
    code += [step for numbers in _PRETENDED.values() for step in _answer(numbers[column], 0)]
    code += _unless(_PRLIMIT[column], 0, 0)  # another process's limits
    code += _unless(_SENDTO[column], 4, 0)  # an address
    # zmq ends its process where it cannot ask for interfaces, unless for want of support
    code += _unless(_SOCKET[column], 0, _AF_UNIX, errno.EOPNOTSUPP) if kernel else _refuse(_SOCKET[column])
    if signals:
        for numbers in _KILL_CALLS:
            code += _unless(numbers[column], 0, os.getpid())
        for command in (_F_SETOWN, _F_SETOWN_EX):
            code += [
                _step(_EQUAL, _FCNTL[column], 0, 4),
                _step(_LOAD, _argument(1)),
                _step(_EQUAL, command, 0, 1),
                _step(_RETURN, _ERRNO | errno.EPERM),
                _step(_LOAD, 0),
            ]
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
        code += _refuse(numbers[column])
    code += more
    code += [_step(_EQUAL, _CLONE3, 0, 1), _step(_RETURN, missing)]  # its flags lie in memory; libc falls back to clone
    code += [
        _step(_EQUAL, clone, 0, 3),
        _step(_LOAD, _argument(0)),
        _step(_ANY_BIT, linux.CLONE_NEWUSER, 0, 1),
        _step(_RETURN, refused),
    ]
    return b"".join([*code, _step(_RETURN, _ALLOW)])


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


def _argument(number: int) -> int:
    """Where an argument's lower half lies in what the filter is given."""
    return 16 + 8 * number


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
