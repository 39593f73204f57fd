"""The private file system of a sandbox: the interpreter and the released course package to read, a folder to write."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from . import linux

HOME = "/home/student"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SETTINGS = ("/etc/ld.so.cache", "/etc/fonts", "/etc/localtime", "/etc/alternatives", "/etc/ssl/certs")
DEVICES = ("null", "zero", "full", "random", "urandom")


def readable_places(stage: Path) -> list[str]:
    """Folders outside of the system's that the interpreter needs, and the staged course package."""
    places = {os.path.realpath(sys.base_prefix), sys.prefix, os.path.realpath(sys.prefix)}
    places |= {path for path in sys.path if path.endswith("-packages")}  # also those that lie elsewhere
    places = {path for path in places if path != "/" and not f"{path}/".startswith("/usr/")}
    nested = {path for path in places if any(path != other and path.startswith(f"{other}/") for other in places)}
    return [*sorted(places - nested), str(stage)]


def build(stage: Path, mountpoint: Path, files_mb: int, shared: list[str], readable: list[str]) -> int | None:
    """Replace what this process sees. Needs a mount namespace of its own and the right to mount in it. Gives an open
    /proc that can be written, which is out of sight from now on; None where there is no /proc.

    Everything written goes to memory, at most `files_mb` of it, and vanishes with the namespace; only what is written
    to the folders in `shared` stays; those in `readable` are shown as well. `mountpoint` is an empty folder.
    """
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)  # nothing that follows is seen outside
    root = str(mountpoint)
    linux.mount(
        "sandbox", root, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, f"size={files_mb}m,nr_inodes=20000,mode=755"
    )
    for path in SYSTEM:
        if os.path.islink(path):
            os.symlink(os.readlink(path), root + path)
        elif os.path.isdir(path):
            _show(path, root)
    for path in SETTINGS:
        if os.path.exists(path):
            _show(path, root)
    places = readable_places(stage)
    for path in [*places, *readable]:
        _show(path, root)
    _hide_installed_course(places, stage, root)
    for name in DEVICES:
        _show_device(name, root)
    for folder, mode in ((HOME, 0o777), ("/tmp", 0o1777), ("/dev/shm", 0o1777), ("/proc", 0o755)):
        os.makedirs(root + folder, exist_ok=True)
        os.chmod(root + folder, mode)
    for folder in shared:
        os.makedirs(root + folder, exist_ok=True)
        linux.mount(folder, root + folder, flags=linux.MS_BIND)
    _write_users(root)
    proc = _show_processes(root + "/proc", whole=bool(shared))
    linux.pivot_into(root)
    os.chdir(HOME)
    return proc


def _show_processes(proc: str, whole: bool) -> int | None:
    """The sandbox's own processes, and (but for a `whole` /proc) nothing that the kernel counts for all: how many
    processes there are and how much memory is free is a word from one sandbox to another. Nothing can be written
    there, such as whom the kernel should end first when memory is short."""
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    try:
        linux.mount("proc", proc, "proc", flags)
        to_write = os.open(proc, os.O_PATH | os.O_CLOEXEC)
        if not whole:
            linux.unmount(proc)
            linux.mount("proc", proc, "proc", flags | linux.MS_RDONLY, "subset=pid")
        return to_write
    except PermissionError:  # in a container that hides parts of its own /proc; nothing here depends on it
        return None


def _show(path: str, root: str) -> None:
    target = root + path
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "w").close()
    linux.bind_read_only(path, target)


def _show_device(name: str, root: str) -> None:
    target = f"{root}/dev/{name}"
    os.makedirs(os.path.dirname(target), exist_ok=True)
    open(target, "w").close()
    linux.bind_device(f"/dev/{name}", target)


def _hide_installed_course(places: list[str], stage: Path, root: str) -> None:
    """Where the course is installed into site-packages, the released package takes its place and the rest goes."""
    for place in set(places) - {str(stage)}:
        for package in installed(place, "autograder"):
            linux.mount("nothing", root + str(package), "tmpfs", linux.MS_RDONLY, "size=4k,mode=755")
        for package in installed(place, "course_utils"):
            linux.bind_read_only(str(stage / "course_utils"), root + str(package))


def installed(place: str, package: str) -> list[Path]:
    """Where a package lies below one of the readable places: a prefix, or a folder of packages itself."""
    found = [*Path(place).glob(f"lib/python3*/site-packages/{package}"), Path(place) / package]
    return [path for path in found if path.is_dir()]


def _write_users(root: str) -> None:
    os.makedirs(root + "/etc", exist_ok=True)
    Path(root + "/etc/passwd").write_text(f"student:x:1000:1000:student:{HOME}:/bin/sh\n")
    Path(root + "/etc/group").write_text("student:x:1000:\n")
    Path(root + "/etc/hosts").write_text("127.0.0.1 localhost\n")
