"""How much of the machine one submission may use, and what enforces it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from dataclasses import asdict, dataclass

MEGABYTE = 1 << 20
OUT_OF_MEMORY, TOO_MUCH = 137, 138  # exit status of a sandbox ended for its memory; for its files or processes
_MOST_FILES = 20_000
_DEEPEST = 64  # folders in folders
_WATCH_SECONDS = 0.2
_WORTH_A_LOOK = 512  # megabytes
_MEGABYTES_OF_A_SOCKET = 0.25  # that are sent and not read; the kernel's usual limit, which nobody inside can raise


@dataclass(frozen=True)
class Limits:
    """Limits of one sandbox. Wall time is watched from outside, the rest by the kernel or by its first process."""

    memory_mb: int = 3000  # all processes together; what they share counts once
    address_space_mb: int = 8000  # each process; torch on the CPU alone maps about 4 GB
    files_mb: int = 512  # everything written, in memory
    open_files: int = 512
    processes: int = 128
    cpu_seconds: int = 900  # each process

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


def apply(limits: Limits, others: int = 0) -> None:
    """Set the limits that the kernel enforces on this process and all that it starts. `others` is how many processes
    the user has already who is to run it: the kernel counts them, too."""
    import resource

    space = limits.address_space_mb * MEGABYTE
    for kind, value in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, limits.files_mb * MEGABYTE),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_NPROC, limits.processes + others),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def watch(child: int, limits: Limits, folder: str | None = None) -> int:
    """As the first process of a sandbox: wait for `child` to end and return its exit status; end it for its memory.

    Whatever loses its parent in the sandbox comes to this process, which takes it off the list of the dead. An
    interrupt is handed on to the session of `child`. With `folder` (where nothing else limits them) files and processes
    are counted as well, and SIGTERM ends it.
    """
    heard = {signal.SIGCHLD, signal.SIGINT} | ({signal.SIGTERM} if folder else set())
    signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    while True:
        pid, status = _wait_any()
        if pid == child:
            return os.waitstatus_to_exitcode(status)
        if pid:
            continue
        news = signal.sigtimedwait(heard, _WATCH_SECONDS)
        if news is not None and news.si_signo == signal.SIGINT:
            _interrupt(child)
        if news is not None and news.si_signo == signal.SIGTERM:
            return -signal.SIGTERM
        own = descendants()
        if _megabytes_of(own) + _megabytes_in_sockets(own, limits) > limits.memory_mb:
            return OUT_OF_MEMORY
        if folder and (len(own) > limits.processes or _megabytes_below(folder) > limits.files_mb):
            return TOO_MUCH


def _interrupt(child: int) -> None:
    for kill in (os.killpg, os.kill):
        try:
            return kill(child, signal.SIGINT)
        except OSError:  # it has no session of its own yet, or is gone
            continue


def _wait_any() -> tuple[int, int]:
    try:
        return os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return 0, 0


def descendants() -> list[int]:
    """Processes that this one has started, and those that they have; empty where there is no /proc."""
    parents: dict[int, int] = {}
    try:
        found = os.listdir("/proc")
    except OSError:
        return []
    for name in found:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # bytes: a process may give itself any name
                    parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    own: set[int] = set()
    newest = {os.getpid()}
    while newest:
        newest = {pid for pid, parent in parents.items() if parent in newest} - own
        own |= newest
    return sorted(own)


def _megabytes_of(processes: list[int]) -> float:
    """Memory of `processes`, shared maps included. Where there is no /proc the address space is the only limit.

    From `_WORTH_A_LOOK` on, what several map counts once (proportional set size): loader processes are forks, which
    hold nearly all that their parent holds.
    """
    found = {pid: _resident(pid) for pid in processes}
    if sum(found.values()) > _WORTH_A_LOOK:
        found = {pid: _proportional(pid, resident) for pid, resident in found.items()}
    return sum(found.values())


def _resident(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            return sum(int(kb) for kb in re.findall(rb"\n(?:RssAnon|RssShmem):\s+(\d+) kB", file.read())) / 1024
    except OSError:
        return 0.0


def _proportional(pid: int, resident: float) -> float:
    """What `pid` maps, each page divided by how many map it; `resident` where the process keeps that to itself."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return sum(int(kb) for kb in re.findall(rb"\n(?:Pss_Anon|Pss_Shmem):\s+(\d+) kB", file.read())) / 1024
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # it has just ended
    except OSError:
        return resident


def _megabytes_in_sockets(processes: list[int], limits: Limits) -> float:
    """What the kernel may keep for their sockets, at most: it is no process's memory. A process that hides what it has
    open may have as many as it can."""
    sockets: set[str] = set()
    hidden = 0
    for pid in processes:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        except OSError:
            hidden += limits.open_files if _resident(pid) else 0  # one that is ending has no memory any more
            continue
        for name in names:
            with contextlib.suppress(OSError):  # closed meanwhile
                if (opened := os.readlink(f"/proc/{pid}/fd/{name}")).startswith("socket:"):
                    sockets.add(opened)
    return (len(sockets) + hidden) * _MEGABYTES_OF_A_SOCKET


def _megabytes_below(folder: str) -> float:
    """What the files below `folder` take; infinite when there are too many, or where they cannot be counted: too
    deep to be reached, below a path too long to be named, in a folder that its owner may not read."""
    blocks, count = 0, 0
    unseen: list[OSError] = []
    for path, folders, names in os.walk(folder, onerror=unseen.append):
        count += len(folders) + len(names)
        if count > _MOST_FILES or path.count(os.sep) - folder.count(os.sep) > _DEEPEST:
            return float("inf")
        for name in names:
            try:
                blocks += os.lstat(os.path.join(path, name)).st_blocks
            except OSError as error:
                unseen.append(error)
    if any(not isinstance(error, (FileNotFoundError, NotADirectoryError)) for error in unseen):  # not just removed
        return float("inf")
    return blocks * 512 / MEGABYTE
