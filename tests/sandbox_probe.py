"""python sandbox_probe.py LEVEL: tries, from inside a sandbox, whatever could carry a word to another sandbox, hold
memory that nobody counts or touch the processes outside; prints {what: what came of it} as JSON.

A line of "ok" means that the attempt went through. What is granted without being done ("pretended") is tried by two
sandboxes at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import mmap
import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

from autograder.sandbox import landlock, linux, seccomp, view  # noqa: F401  inside, their files are out of sight
from autograder.sandbox.isolation import Place, isolate
from autograder.sandbox.limits import Limits
from autograder.sandbox.stage import stage

libc = ctypes.CDLL(None, use_errno=True)
MACHINE = os.uname().machine
COLUMN = {"x86_64": 0, "aarch64": 1}.get(MACHINE)
OF_PYTHON = os.__file__  # a file that every sandbox reads
PARENT = os.getpid()


def call(numbers, *arguments) -> str:
    """A system call by its number, so that no library stands between."""
    result = libc.syscall(ctypes.c_long(numbers[COLUMN]), *arguments)
    return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def python(step) -> str:
    try:
        step()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "ok"


def control(command, argument, path=OF_PYTHON):
    def step():
        with open(path, "rb") as file:
            fcntl.fcntl(file, command, argument)

    return python(step)


def flag(command):
    def step():
        with open(OF_PYTHON, "rb") as file:
            fcntl.ioctl(file, command, b"\0" * 32)

    return python(step)


def write_own(name: str, text: str, process: int | str = "self"):
    """Write to a file of a process in /proc."""
    with open(f"/proc/{process}/{name}", "w") as file:
        file.write(text)


def clock_of(process: int) -> str:
    return python(lambda: time.clock_gettime((~process << 3) | 2))


def socket_of(family):
    return python(lambda: socket.socket(family, socket.SOCK_STREAM).close())


def address_in(path) -> ctypes.c_void_p:
    """Where the first page of a file lies that this process maps privately, as it does its libraries."""
    with open(path, "rb") as file:
        libc.mmap.restype = ctypes.c_void_p
        return ctypes.c_void_p(libc.mmap(None, ctypes.c_size_t(4096), 1, 2, file.fileno(), ctypes.c_long(0)))


def waits_in_a_file() -> str:
    """Who waits there hears (EINTR) of a signal; who is sent away does not."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    place = address_in(OF_PYTHON)
    found = call((202, 98), place, 0, ctypes.c_uint32.from_address(place.value), None)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return found


def wakes_in_a_file() -> str:
    """A process of this sandbox waits; how many were woken, as an error's name where there was nobody."""
    place = address_in(OF_PYTHON)
    if not (pid := os.fork()):
        times = ctypes.create_string_buffer((1).to_bytes(8, sys.byteorder) + bytes(8), 16)
        call((202, 98), place, 0, ctypes.c_uint32.from_address(place.value), times)
        os._exit(0)
    time.sleep(0.3)
    woken = libc.syscall(ctypes.c_long((202, 98)[COLUMN]), place, 1, 9)
    os.waitpid(pid, 0)
    return "ok" if woken else "ESRCH"


ATTEMPTS = {
    "a lease on a file of Python": lambda: control(1024, 0),
    "notice of a folder's events": lambda: control(1026, 1),
    "inotify": lambda: call((294, 26), 0),
    "a flag of a file": lambda: flag(0x40086602),
    "a flag of a file, the newer call": lambda: flag(0x401C5820),
    "how long a file will be kept": lambda: control(1036, bytes([3, *bytes(7)])),
    "how long a device will be kept": lambda: control(1036, bytes([3, *bytes(7)]), "/dev/null"),
    "a delegation on a file": lambda: control(1040, bytes(8)),
    "where a file lies on its disk": lambda: flag(0xC020660B),
    "where a file lies, kept in memory": lambda: flag(0x6612),
    "what the kernel keeps about a file": lambda: flag(0x40046629),
    "a share of what may wait to be read": lambda: call((206, 0), 1000, ctypes.byref(ctypes.c_ulong(0))),
    "how long another process has computed": lambda: clock_of(PARENT),
    "how long its own parent has computed": lambda: clock_of(os.getppid()),
    "an alarm when another process has computed": lambda: call(
        (222, 107), (~PARENT << 3) | 2, None, ctypes.byref(ctypes.c_int(0))
    ),
    "what another process has locked": lambda: call(
        (274, 100), PARENT, ctypes.byref(ctypes.c_void_p(0)), ctypes.byref(ctypes.c_size_t(0))
    ),
    "how much of a disk's share a user has": lambda: call((443, 443), 0, 0, 0, None),
    "the kernel's mark for who is ended first": lambda: python(lambda: write_own("oom_score_adj", "0")),
    "the same, of another process": lambda: python(lambda: write_own("oom_score_adj", "0", os.getppid())),
    "a wish to run before others": lambda: python(lambda: write_own("autogroup", "-5")),
    "a socket of the virtual machine's host": lambda: socket_of(40),
    "a Bluetooth socket": lambda: socket_of(31),
    "a key of the kernel's": lambda: call((248, 217), b"user", b"name", b"word", 4, -3),
    "shared memory by number": lambda: call((29, 194), 4711, ctypes.c_size_t(4096), 0o1666),
    "a semaphore by number": lambda: call((64, 190), 4711, 1, 0o1666),
    "a queue by number": lambda: call((68, 186), 4711, 0o1666),
    "a queue by name": lambda: call((240, 180), b"word", os.O_CREAT | os.O_RDWR, 0o666, None),
    "memory in a file without a name": lambda: call((319, 279), b"word", 0),
    "secret memory": lambda: call((447, 447), 0),
    "limits of another process": lambda: call((302, 261), PARENT, 7, None, ctypes.create_string_buffer(16)),
    "limits of its own parent": lambda: call((302, 261), os.getppid(), 7, None, ctypes.create_string_buffer(16)),
    "the scheduler of its own parent": lambda: call((144, 119), os.getppid(), 5, ctypes.create_string_buffer(4)),
    "the processors of its own parent": lambda: call(
        (203, 122), os.getppid(), 8, ctypes.create_string_buffer(b"\1", 8)
    ),
    "the priority of its own parent": lambda: call((141, 140), 0, os.getppid(), 19),
    "comparing itself with its parent": lambda: call((312, 272), os.getpid(), os.getppid(), 0, 0, 0),
    "a signal to a process outside": lambda: python(lambda: os.kill(PARENT, signal.SIGUSR1)),
    "another user namespace": lambda: call((272, 97), 0x10000000),
    "a name in the abstract space, connected": lambda: abstract(),
    "the time of a device": lambda: python(lambda: os.utime("/dev/null")),
    "an attribute of a device": lambda: python(lambda: os.chmod("/dev/null", 0o666)),
    "which pages of a file are in memory": lambda: call((27, 232), address_in(OF_PYTHON), 4096, b"\0"),
    "how many of them are": lambda: call((451, 451), 0, b"\0" * 16, ctypes.create_string_buffer(40), 0),
    "reading a file only where it is in memory": lambda: python(
        lambda: os.preadv(os.open(OF_PYTHON, os.O_RDONLY), [bytearray(9)], 0, os.RWF_NOWAIT)
    ),
    "putting a file out of memory": lambda: call((28, 233), address_in(OF_PYTHON), ctypes.c_size_t(4096), 21),
    "waiting at an address in a file": waits_in_a_file,
    "waking who waits there": lambda: wakes_in_a_file(),
    "waiting there by the newer call": lambda: call((455, 455), address_in(OF_PYTHON), 0, 0, 2, None, 0),
    "how much of the machine is in use": lambda: call((99, 179), ctypes.create_string_buffer(256)),
    "how many processes have been started": lambda: python(lambda: open("/proc/stat").close()),
    "how much memory is free": lambda: python(lambda: open("/proc/meminfo").close()),
    "the processors that another process has chosen": lambda: call(
        (204, 123), PARENT, 8, ctypes.create_string_buffer(8)
    ),
    "the priority that another process has chosen": lambda: call((140, 141), 0, PARENT),
    "the scheduler that another process has chosen": lambda: call(
        (315, 275), PARENT, ctypes.create_string_buffer(64), 64, 0
    ),
    "the priority of another's reading": lambda: call((252, 31), 1, PARENT),
    "a handle of another process": lambda: call((434, 434), PARENT, 0),
    "writing a file of Python": lambda: python(lambda: open(OF_PYTHON, "r+b").close()),
    "the time of a file of Python": lambda: python(lambda: os.utime(OF_PYTHON)),
}


AMONG_OTHERS = {  # what the first level shows of nothing but its own
    "how much is free on a disk": lambda: python(lambda: os.statvfs("/usr")),
    "how much is free where its own files lie": lambda: python(lambda: os.statvfs(".")),
    "the same, of an open file": lambda: python(lambda: os.fstatvfs(os.open(".", os.O_RDONLY))),
}


def abstract() -> str:
    """Connect to a name that the process outside listens on."""

    def step():
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(f"\0course-probe-{PARENT}")

    return python(step)


def attempts() -> dict[str, str]:
    tried = ATTEMPTS | (AMONG_OTHERS if sys.argv[1] == "landlock" else {})
    return {what: attempt() for what, attempt in tried.items()}


def holds_a_lock(seconds: float) -> dict[str, str]:
    """Lock a file of Python in every way there is, and keep it so."""
    kept = os.open(OF_PYTHON, os.O_RDONLY)
    found = {"flock": python(lambda: fcntl.flock(kept, fcntl.LOCK_EX | fcntl.LOCK_NB))}
    found["lockf"] = python(lambda: fcntl.lockf(kept, fcntl.LOCK_SH | fcntl.LOCK_NB))
    time.sleep(seconds)
    return found


def asks_for_the_lock() -> dict[str, str]:
    with open(OF_PYTHON, "rb") as file:
        return {"flock": python(lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB))}


def honest() -> dict[str, str]:
    """What ordinary code waits with: a thread's end, and (where there is /dev/shm) locks and pools of processes."""
    import concurrent.futures
    import multiprocessing
    import threading

    thread = threading.Thread(target=time.sleep, args=(0.1,))
    thread.start(), thread.join()
    multiprocessing.set_start_method("fork")
    try:
        event = multiprocessing.Event()
    except PermissionError:  # the second level has no shared memory
        return {"sum": "285"}
    assert not event.wait(0.1)
    child = multiprocessing.Process(target=event.set)
    child.start(), event.wait(), child.join()
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        return {"sum": str(sum(pool.map(square, range(10))))}


def square(number: int) -> int:
    return number * number


def shared_map() -> dict[str, str]:
    """Fill 600 MB that are mapped as shared; whoever is ended for it says nothing."""
    kept = mmap.mmap(-1, 600 << 20)
    for start in range(0, len(kept), 1 << 20):
        kept[start : start + (1 << 20)] = b"x" * (1 << 20)
    time.sleep(5)
    return {"held": "600 MB"}


def in_sockets(hidden: bool = False) -> dict[str, str]:
    """Send 600 MB and more to oneself by sockets that nobody reads, from several processes. `hidden`: nobody may look
    what they have open."""
    for _ in range(12):
        if not os.fork():
            if hidden:
                libc.prctl(4, 0, 0, 0, 0)
            kept = []
            for _ in range(220):
                kept += socket.socketpair()
                for one in kept[-2:]:
                    one.setblocking(False)
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            one.send(b"x" * 65536)
            time.sleep(20)
            os._exit(0)
    time.sleep(20)
    return {"held": "600 MB"}


def forks() -> dict[str, str]:
    """Eight forks of a process with 300 MB, as loader processes are: what they share counts once."""
    kept = bytearray(os.urandom(1 << 20)) * 300
    pids = []
    for _ in range(8):
        pid = os.fork()
        if not pid:
            time.sleep(2)
            os._exit(len(kept) == 0)
        pids.append(pid)
    return {"forks": str(sum(os.waitpid(pid, 0)[1] for pid in pids))}


def deep() -> dict[str, str]:
    """1,500 folders in one another: a path longer than any that can be named."""
    for _ in range(1500):
        os.mkdir("d" * 20)
        os.chdir("d" * 20)
    time.sleep(2)
    return {"folders": "1500"}


WAYS_TO_HIDE = {  # where files lie that a look at them may miss
    "deep": lambda: [(os.mkdir("d" * 200), os.chdir("d" * 200)) for _ in range(30)],
    "unreadable": lambda: (os.mkdir("d", 0o300), os.chdir("d")),
    "unreadable in unreadable": lambda: (os.umask(0o477), os.mkdir("d"), os.chdir("d"), os.mkdir("e"), os.chdir("e")),
    "many folders": lambda: [os.mkdir(str(number)) for number in range(100)] and os.chdir("99"),
}


def too_many_files(way) -> dict[str, str]:
    """40 MB in small files where 10 are allowed."""
    WAYS_TO_HIDE[way]()
    try:
        for number in range(40):
            Path(f"{number}.bin").write_bytes(os.urandom(1 << 20))
    except OSError as error:
        return {"came": errno.errorcode[error.errno]}
    time.sleep(3)
    return {"came": "ok"}


def run(place: Place, level: str, work, limits: Limits | None = None):
    """Start `work` in a sandbox; gives its process and where it will write."""
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reads)
        isolate(lambda: os.write(writes, json.dumps(work()).encode()) and None, place, limits or Limits(), level)
    os.close(writes)
    return pid, reads


def result(pid: int, reads: int) -> dict:
    with os.fdopen(reads, "rb") as file:
        text = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {"status": status, **(json.loads(text) if text else {})}


def main() -> None:
    level = sys.argv[1]
    signal.signal(signal.SIGUSR1, lambda *_: print("a signal came from inside", file=sys.stderr))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0course-probe-{PARENT}")
    listener.listen()
    with tempfile.TemporaryDirectory(prefix="course-probe-", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "root").mkdir()
        (Path(folder) / "stage").mkdir()
        Path(folder).chmod(0o755)
        place = Place(stage(Path(folder) / "stage"), Path(folder) / "root")
        found = {"attempts": result(*run(place, level, attempts))}
        first = run(place, level, lambda: holds_a_lock(2.0))
        time.sleep(0.7)
        found["asks"] = result(*run(place, level, asks_for_the_lock))
        found["holds"] = result(*first)
        small = Limits(memory_mb=400)
        found["shared map"] = result(*run(place, level, shared_map, small))
        found["sockets"] = result(*run(place, level, in_sockets, small))
        found["hidden sockets"] = result(*run(place, level, lambda: in_sockets(hidden=True), small))
        found["forks"] = result(*run(place, level, forks, Limits(memory_mb=1000)))
        found["honest"] = result(*run(place, level, honest))
        few = Limits(files_mb=10)
        found["files"] = {
            way: result(*run(place, level, lambda way=way: too_many_files(way), few)) for way in WAYS_TO_HIDE
        }
        found["deep"] = result(*run(place, level, deep))
        found["left"] = sorted(path.name for path in (Path(folder) / "root").iterdir())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
