"""Puts a freshly forked process where it can do no harm, at one of three levels.

namespaces  own user, mount, pid, network and IPC namespaces, a private file system, no capabilities, a filter of
            system calls; as root the process also gets a user id that nobody else has
landlock    where namespaces are not allowed: the kernel's Landlock rules on files, no network, the same filter
none        limits alone; only on request
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .limits import Limits, apply, watch

NAMESPACES, LANDLOCK, NONE = "namespaces", "landlock", "none"
_FIRST_USER = 1_000_000_000  # user ids that no account has
_INSIDE_ID = 1000


@dataclass(frozen=True)
class Place:
    """Where a sandbox gets its files from."""

    stage: Path  # the released course package
    mountpoint: Path  # an empty folder
    shared: list[str] = field(default_factory=list)  # folders that can be written and stay
    readable: list[str] = field(default_factory=list)  # folders that can be read, besides what every sandbox sees


def best_level(place: Place, in_child: Callable[[], None] = lambda: None) -> str:
    """The strongest level that works here, found by trying; with $COURSE_ISOLATION none stronger than it names."""
    levels = (NAMESPACES, LANDLOCK, NONE)
    most = os.environ.get("COURSE_ISOLATION", NAMESPACES)
    for level in levels[levels.index(most) if most in levels else 0 : -1]:
        pid = os.fork()
        if pid == 0:
            in_child()
            isolate(lambda: None, place, Limits(), level)
        if os.waitpid(pid, 0)[1] == 0:
            return level
    return NONE


def isolate(inside: Callable[[], None], place: Place, limits: Limits, level: str) -> None:
    """In a forked process: run `inside` isolated and end with its exit status. Never returns."""
    status = 1
    try:
        if level == NAMESPACES:
            status = _in_namespaces(inside, place, limits)
        elif level == LANDLOCK:
            from . import landlock

            status = landlock.run(inside, place, limits, _FIRST_USER + os.getpid() if os.geteuid() == 0 else None)
        else:
            status = _unprotected(inside, place, limits)
    except BaseException as error:
        print(f"sandbox: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(status if 0 <= status < 256 else 128 - status if -127 < status < 0 else 1)


def _in_namespaces(inside: Callable[[], None], place: Place, limits: Limits) -> int:
    from . import linux

    apart = linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    outer_user, outer_group = os.geteuid(), os.getegid()
    linux.die_with_parent()
    as_root = outer_user == 0 and _try(lambda: linux.unshare(apart))
    if not as_root:
        linux.unshare(linux.CLONE_NEWUSER | apart)
        linux.map_ids(_INSIDE_ID, outer_user, outer_group)
    own_user = _FIRST_USER + os.getpid()
    first = os.fork()
    if first:
        signal.signal(signal.SIGINT, lambda *_: os.kill(first, signal.SIGINT))  # hand it on
        return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
    os._exit(_first_process(inside, place, limits, own_user if as_root else None))


def _first_process(inside: Callable[[], None], place: Place, limits: Limits, own_user: int | None) -> int:
    """Process 1 of the pid namespace: when it ends, the kernel ends every other one in there."""
    from . import linux, view

    linux.die_with_parent()
    proc = view.build(place.stage, place.mountpoint, limits.files_mb, place.shared, place.readable)
    if own_user is not None:
        os.setgroups([])
        os.setresgid(own_user, own_user, own_user)
        os.setresuid(own_user, own_user, own_user)
        linux.set_dumpable(True)  # or its own id maps would not be its own
        linux.unshare(linux.CLONE_NEWUSER)
        linux.map_ids(_INSIDE_ID, own_user, own_user, proc)
    if proc is not None:
        _try(lambda: linux.forbid_user_namespaces(proc))
        _try(lambda: linux.be_ended_first(proc))
        os.close(proc)
    linux.set_dumpable(False)
    linux.die_with_parent()  # again: the kernel forgets it when the user changes
    child = os.fork()
    if child == 0:
        linux.set_dumpable(True)
        _become_student(inside, limits, kernel=bool(place.shared))
    linux.drop_privileges()
    return watch(child, limits)


def _become_student(inside: Callable[[], None], limits: Limits, kernel: bool) -> None:
    """The last step before code that nobody has read: limits, no capability, no forbidden system call."""
    from . import linux, seccomp

    status = 1
    try:
        os.setsid()
        apply(limits)
        linux.drop_privileges()
        if seccomp.supported():
            seccomp.forbid(kernel)
        status = run_to_the_end(inside)
    finally:
        os._exit(status)


def _unprotected(inside: Callable[[], None], place: Place, limits: Limits) -> int:
    import tempfile

    os.setsid()
    apply(Limits(**{**limits.to_dict(), "processes": 4096}))
    with tempfile.TemporaryDirectory(dir=place.mountpoint.parent) as home:
        os.environ.update(HOME=home, TMPDIR=home)
        os.chdir(home)
        return run_to_the_end(inside)


def run_to_the_end(inside: Callable[[], None]) -> int:
    """Call `inside`; an exit status."""
    try:
        inside()
    except SystemExit:
        pass
    except BaseException as error:
        print(f"sandbox: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def _try(step: Callable[[], object]) -> bool:
    try:
        step()
    except OSError:
        return False
    return True
