"""The system calls of Linux that Python's standard library lacks (before 3.12), by ctypes. Imported on Linux only."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_SYS_MOUNT_SETATTR, _SYS_PIVOT_ROOT = 442, {"x86_64": 155, "aarch64": 41}
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 36, 38, 47

libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave the namespaces that `flags` name for new ones."""
    _checked(libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    _checked(
        libc.mount(
            source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), options.encode() or None
        ),
        f"mount on {target}",
    )


def unmount(target: str) -> None:
    """Take a mount out of sight, whoever still uses it."""
    _checked(libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def bind_read_only(source: str, target: str) -> None:
    """Show `source` at `target`, with everything mounted below it, read-only and without devices or setuid."""
    mount(source, target, flags=MS_BIND | MS_REC)
    _set_attributes(target, _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV)


def bind_device(source: str, target: str) -> None:
    """Show a device at `target`: it can be read and written, its times and attributes cannot be changed."""
    mount(source, target, flags=MS_BIND)
    _set_attributes(target, _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID)


def _set_attributes(target: str, attributes: int) -> None:
    record = _MountAttributes(set=attributes)
    _checked(
        libc.syscall(
            ctypes.c_long(_SYS_MOUNT_SETATTR),
            ctypes.c_int(_AT_FDCWD),
            target.encode(),
            ctypes.c_uint(_AT_RECURSIVE),
            ctypes.byref(record),
            ctypes.c_size_t(32),
        ),
        f"make {target} read-only",
    )


def pivot_into(root: str) -> None:
    """Make `root`, a mount, the root of the file system; nothing of the old one stays reachable."""
    os.chdir(root)
    number = _SYS_PIVOT_ROOT[os.uname().machine]
    _checked(libc.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")  # the old root ends up above the new one
    unmount(".")
    os.chdir("/")


def die_with_parent(number: int = 9) -> None:
    """Get SIGKILL, or another signal, when the thread that forked this process ends."""
    _prctl(_PR_SET_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Descendants whose parent has ended become children of this process, which then must wait for them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_dumpable(dumpable: bool) -> None:
    """Whether processes of the same user may look into this one's memory and write its id maps."""
    _prctl(_PR_SET_DUMPABLE, int(dumpable))


def drop_privileges() -> None:
    """Give up every capability, for good: none can come back through an executed file either."""
    for capability in range(64):
        if libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            break
    libc.prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(4), 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _checked(libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    no_new_privileges()


def no_new_privileges() -> None:
    """Executing a file never gives more rights than this process has."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _prctl(option: int, value: int) -> None:
    _checked(
        libc.prctl(
            ctypes.c_int(option), ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)
        ),
        f"prctl {option}",
    )


def map_ids(inside: int, outside_user: int, outside_group: int, proc: int | None = None) -> None:
    """In a new user namespace: `inside` is the one user and group there is, and stands for the outer ones.

    `proc`, here and below: an open /proc that can be written, where the one in sight cannot.
    """
    _write("self/setgroups", "deny", proc)
    _write("self/uid_map", f"{inside} {outside_user} 1", proc)
    _write("self/gid_map", f"{inside} {outside_group} 1", proc)


def forbid_user_namespaces(proc: int) -> None:
    """No process of this user namespace can make another one (and be root in it)."""
    _write("sys/user/max_user_namespaces", "0", proc)


def be_ended_first(proc: int | None = None) -> None:
    """When memory is short, the kernel ends this process before others."""
    _write("self/oom_score_adj", "1000", proc)


def _write(name: str, text: str, proc: int | None) -> None:
    place = name if proc is not None else f"/proc/{name}"
    file = os.open(place, os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)
