"""How much of the machine one submission may use, and what enforces it."""

from __future__ import annotations

import os
import signal
from dataclasses import asdict, dataclass

MEGABYTE = 1 << 20
OUT_OF_MEMORY = 137  # exit status of a sandbox that was ended because it used too much memory
_WATCH_SECONDS = 0.2


@dataclass(frozen=True)
class Limits:
    """Limits of one sandbox. Wall time is watched from outside, the rest inside by the kernel or by its first process."""

    memory_mb: int = 3000  # all processes together, beyond what they share with the warm process
    address_space_mb: int = 8000  # each process; torch on the CPU alone maps about 4 GB
    files_mb: int = 512  # everything written, in memory
    open_files: int = 512
    processes: int = 128
    cpu_seconds: int = 900  # each process

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


def apply(limits: Limits) -> None:
    """Set the limits that the kernel enforces on this process and all that it starts."""
    import resource

    space = limits.address_space_mb * MEGABYTE
    for kind, value in (
        (resource.RLIMIT_AS, space), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, limits.files_mb * MEGABYTE),
        (resource.RLIMIT_NOFILE, limits.open_files), (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_CPU, limits.cpu_seconds), (resource.RLIMIT_MEMLOCK, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def watch(child: int, limits: Limits) -> int:
    """As the first process of a sandbox: wait for `child` to end and return its exit status; end it for its memory.

    Whatever loses its parent in the sandbox comes to this process, which takes it off the list of the dead. An interrupt
    is handed on to the session of `child`.
    """
    heard = {signal.SIGCHLD, signal.SIGINT}
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
        if _private_megabytes() > limits.memory_mb:
            return OUT_OF_MEMORY


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


def _private_megabytes() -> float:
    """Anonymous memory of every process that can be seen here, this one left out."""
    pages = 0
    own = str(os.getpid())
    try:
        found = os.listdir("/proc")
    except OSError:  # no /proc in here: then the address space is the only limit
        return 0.0
    for name in found:
        if not name.isdigit() or name == own:
            continue
        try:
            with open(f"/proc/{name}/statm") as file:
                numbers = file.read().split()
            pages += int(numbers[1]) - int(numbers[2])
        except (OSError, IndexError, ValueError):
            continue
    return pages * 4096 / MEGABYTE
