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
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsmount": (432, 432), "mount_setattr": (442, 442), "pidfd_getfd": (438, 438), "swapon": (167, 224),
    "reboot": (169, 142), "acct": (163, 89), "quotactl": (179, 60), "settimeofday": (164, 170), "syslog": (103, 116),
    "personality": (135, 92),
}
_CLONE3 = 435
_SOCKET = (41, 198)
_ARCHITECTURES = {"x86_64": (0, 0xC000003E, 56), "aarch64": (1, 0xC00000B7, 220)}  # column, AUDIT_ARCH, clone
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_AF_UNIX = 1


def supported() -> bool:
    """Is the filter written for this machine?"""
    return os.uname().machine in _ARCHITECTURES


def forbid(network: bool = False) -> None:
    """Install the filter for this process and all that it starts; `network` forbids sockets other than Unix ones too."""
    program = _program(network)
    linux.no_new_privileges()
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]

    filter_ = Program(len(program) // 8, ctypes.addressof(buffer))
    if linux.libc.prctl(22, 2, ctypes.byref(filter_), 0, 0) < 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "seccomp filter refused")


def _program(network: bool) -> bytes:
    column, architecture, clone = _ARCHITECTURES[os.uname().machine]
    refused, missing = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    code = [_step(_LOAD, 4), _step(_EQUAL, architecture, 1, 0), _step(_RETURN, _KILL), _step(_LOAD, 0)]
    code += [_step(_AT_LEAST, 0x40000000, 0, 1), _step(_RETURN, refused)]  # the x32 numbers
    for numbers in _FORBIDDEN.values():
        code += [_step(_EQUAL, numbers[column], 0, 1), _step(_RETURN, refused)]
    code += [_step(_EQUAL, _CLONE3, 0, 1), _step(_RETURN, missing)]  # its flags lie in memory; libc falls back to clone
    code += [_step(_EQUAL, clone, 0, 4), _step(_LOAD, 16), _step(_ANY_BIT, linux.CLONE_NEWUSER, 0, 1),
             _step(_RETURN, refused), _step(_RETURN, _ALLOW)]
    if network:
        code += [_step(_EQUAL, _SOCKET[column], 0, 4), _step(_LOAD, 16), _step(_EQUAL, _AF_UNIX, 1, 0),
                 _step(_RETURN, refused), _step(_RETURN, _ALLOW)]
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
