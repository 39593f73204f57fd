"""Isolation where namespaces are refused: the kernel's Landlock rules on files, and a longer list of forbidden calls.

Landlock (see the kernel's Documentation/userspace-api/landlock.rst) gives a process its own list of files that it may
open; whatever is not on the list is refused. What Landlock leaves alone and a process of the same user could harm
(modes and times of files, signals, priorities, other processes' limits, sockets, shared memory) is refused by a filter
of system calls.

Nothing hides processes from each other here. The first process of a sandbox adopts whatever loses its parent and ends
them together, as one session, which the filter does not let them leave.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from . import linux, seccomp, view
from .limits import Limits, apply, watch

if TYPE_CHECKING:
    from .isolation import Place

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ONLY_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
OLDEST = 3  # Linux 6.2; before it a file that may not be opened can still be emptied
_ALL_ON_FILES = {OLDEST: (1 << 15) - 1, 5: (1 << 16) - 1}  # by version
_ON_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15
_TCP_BIND_AND_CONNECT = 3  # since version 4
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 3  # since version 6
_READ = _READ_FILE | _READ_DIR | _EXECUTE
_FACTS = ("/proc/sys/vm/overcommit_memory", *(f"/sys/devices/system/cpu/{name}" for name in ("online", "possible")))
_OURS = ("autograder", "course_utils")  # installed packages that a submission must not read


def version() -> int:
    """Which version of Landlock the kernel offers; 0 for none."""
    found: int = linux.libc.syscall(
        ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint32(_ONLY_VERSION)
    )
    return max(0, found)


def run(inside: Callable[[], None], place: Place, limits: Limits, own_user: int | None) -> int:
    """In a forked process: run `inside` restricted, wait for it, end whatever it left; returns its exit status."""
    if version() < OLDEST or not seccomp.supported():
        raise OSError(f"this kernel offers Landlock {version()}; needed: {OLDEST}, and a filter of system calls")
    own_user = own_user if own_user is not None and _is_open_to_all(place) else None
    linux.adopt_orphans()
    linux.die_with_parent(signal.SIGTERM)  # not SIGKILL: there is something to end first
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
    home = tempfile.mkdtemp(prefix="s-", dir=place.mountpoint)
    child = None
    try:
        child = os.fork()
        if child == 0:
            _become_student(inside, place, limits, home, own_user)
        linux.set_dumpable(False)
        return watch(child, limits, home)
    finally:
        if child:
            end_session(child)
        _remove(home)


def _remove(folder: str) -> None:
    """Remove a folder, however deep it is, also where its owner may not read it."""
    for command in (["rm", "-rf"], ["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
        done = subprocess.run([*command, "--", folder], stderr=subprocess.DEVNULL)
        if command[0] == "rm" and done.returncode == 0:
            break


def _is_open_to_all(place: Place) -> bool:
    """Can a user who owns nothing reach the interpreter? (Not where it lies in root's home.)"""
    folders = {parent for path in view.readable_places(place.stage) for parent in (Path(path), *Path(path).parents)}
    return all(folder.stat().st_mode & 0o001 for folder in folders)


def _become_student(inside: Callable[[], None], place: Place, limits: Limits, home: str, own_user: int | None) -> None:
    from .isolation import run_to_the_end

    status = 1
    try:
        linux.die_with_parent()
        os.setsid()
        os.chdir(home)
        os.environ.update(HOME=home, TMPDIR=home)
        tempfile.tempdir = None
        with contextlib.suppress(OSError):
            linux.be_ended_first()
        rules = _ruleset(place, home)
        if own_user is not None:
            os.chown(home, own_user, own_user)
            os.setgroups([])
            os.setresgid(own_user, own_user, own_user)
            os.setresuid(own_user, own_user, own_user)
            linux.die_with_parent()  # again: the kernel forgets it when the user changes
        apply(limits, others=_processes_of(os.getuid()))
        linux.drop_privileges()
        _restrict(rules)
        seccomp.forbid_among_others(signals=version() < 6, kernel=bool(place.shared))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
        status = run_to_the_end(inside)
    finally:
        os._exit(status)


class _RulesetAttributes(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scope", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("access", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def _ruleset(place: Place, home: str) -> int:
    """A descriptor of the rules: what is not named here cannot be opened."""
    known = version()
    handled = next(mask for first, mask in sorted(_ALL_ON_FILES.items(), reverse=True) if known >= first)
    attributes = _RulesetAttributes(
        files=handled,
        network=_TCP_BIND_AND_CONNECT if known >= 4 else 0,
        scope=_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if known >= 6 else 0,
    )
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    rules: int = linux.libc.syscall(
        ctypes.c_long(_CREATE_RULESET), ctypes.byref(attributes), ctypes.c_size_t(size), ctypes.c_uint32(0)
    )
    if rules < 0:
        raise OSError(ctypes.get_errno(), "Landlock refused the rules")
    allowed = [(path, _READ) for path in (*view.SYSTEM, *view.SETTINGS, *_FACTS, *place.readable)]
    allowed += [pair for path in view.readable_places(place.stage) for pair in _without_our_packages(path, place.stage)]
    allowed += [(f"/dev/{name}", _READ_FILE | _WRITE_FILE) for name in view.DEVICES]
    allowed += [(path, handled) for path in (home, *place.shared)]
    for path, access in allowed:
        _allow(rules, path, access & handled)
    return rules


def _allow(rules: int, path: str, access: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not here
    try:
        rule = _PathBeneath(access=access if os.path.isdir(path) else access & _ON_A_FILE, folder=folder)
        if (
            linux.libc.syscall(
                ctypes.c_long(_ADD_RULE),
                ctypes.c_int(rules),
                ctypes.c_int(_PATH_BENEATH),
                ctypes.byref(rule),
                ctypes.c_uint32(0),
            )
            < 0
        ):
            raise OSError(ctypes.get_errno(), f"Landlock refused the rule on {path}")
    finally:
        os.close(folder)


def _without_our_packages(place: str, stage: Path) -> Iterator[tuple[str, int]]:
    """Rules for a folder to read. Rules only add: where the course is installed in it, its neighbours are named."""
    hidden = [] if place == str(stage) else [path for name in _OURS for path in view.installed(place, name)]
    if not hidden:
        yield place, _READ
        return
    yield place, _READ_DIR  # names of files, not what is in them
    on_the_way = {parent for path in hidden for parent in path.parents if parent.is_relative_to(place)}
    for folder in on_the_way:
        for entry in folder.iterdir():
            if entry not in on_the_way and entry not in hidden:
                yield str(entry), _READ


def _restrict(rules: int) -> None:
    linux.no_new_privileges()
    if linux.libc.syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(rules), ctypes.c_uint32(0)) < 0:
        raise OSError(ctypes.get_errno(), "Landlock refused to restrict this process")
    os.close(rules)


def end_session(leader: int) -> None:
    """Kill the session of `leader`, a child of this process, and wait until nothing of it is left.

    A list of processes is out of date when it has been read: a fork that is under way is not on it. The kernel signals
    a process group whole, forks under way included, and nobody in a sandbox can leave the group (see seccomp).
    """
    while _reap():
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(OSError):  # it has no session of its own yet, or is gone
                kill(leader, signal.SIGKILL)
        time.sleep(0.005)


def _reap() -> bool:
    """Take the dead off the kernel's list; is there a child left that lives?"""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _processes_of(user: int) -> int:
    """Processes and threads that this user has already: the kernel's limit counts them all."""
    total = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == user:
                    total += len(os.listdir(f"/proc/{name}/task"))
    return total
