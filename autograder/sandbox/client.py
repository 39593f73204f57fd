"""Starting the warm process, and getting sandboxes from it."""

from __future__ import annotations

import array
import functools
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from course_utils.system.errors import CourseError, WrongUsage

from .isolation import LANDLOCK, NAMESPACES, NONE
from .limits import OUT_OF_MEMORY, Limits
from .stage import stage, stage_sandbox

_BOOT = (
    "import os, sys; sys.path[:] = [sys.argv[1] + '/stage'] + [p for p in sys.path if p.endswith('-packages') or "
    "not os.path.isdir(os.path.join(p, 'autograder'))]; from grading_sandbox.warm import main; main(*sys.argv[1:])"
)
_PROBE = (
    "import os, sys; sys.path.insert(0, sys.argv[1] + '/stage'); from pathlib import Path; "
    "from grading_sandbox.isolation import Place, best_level; folder = Path(sys.argv[1]); "
    "nothing = os.open('/dev/null', os.O_WRONLY); os.dup2(nothing, 2); "
    "print(best_level(Place(folder / 'stage', folder / 'root')))"
)
_PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
    "COURSE_ISOLATION",
    "COURSE_SANDBOX_DEBUG",
)
_START_SECONDS = 180
_LONGEST_FOLDER = 60
NO_ISOLATION = (
    "this machine cannot isolate student code ({reason}), so nothing is graded. Grade on Linux with user namespaces or "
    "Landlock (WSL 2 and most containers run with `--security-opt seccomp=unconfined` have them), or, for code that "
    "you trust, add --unsafe: then a submission can do whatever you can."
)


class WarmProcess:
    """A warm process of our own; `address` is where other processes find it. Close it when done."""

    def __init__(
        self, unsafe: bool = False, kernels: bool = False, whole_course: bool = False, wait: bool = True
    ) -> None:
        """`kernels`: import what Jupyter kernels need, too; `whole_course`: with the laws, for one's own notebooks.
        Without `wait` it goes on importing, until somebody asks for its `level` or `address`."""
        if not hasattr(os, "fork") or not hasattr(socket, "AF_UNIX"):
            raise CourseError("grading runs on Linux (isolated) and macOS (only with --unsafe); on Windows use WSL 2.")
        use_short_folder()
        self._folder = Path(tempfile.mkdtemp(prefix="course-warm-"))
        (self._folder / "root").mkdir()
        stage(_made(self._folder / "stage"), whole_course)
        environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ} | {
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "MPLCONFIGDIR": str(self._folder / "matplotlib"),
            "NBGRADER_EXECUTION": "autograde",
            "PYTHONDONTWRITEBYTECODE": "1",
            "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # memory in large pages: a fork copies a table of all pages
            "HOME": str(self._folder),
            "TORCHINDUCTOR_CACHE_DIR": str(self._folder / "torchinductor"),  # torch makes it when it is imported
            "IPYTHONDIR": str(self._folder / "ipython"),
            "COURSE_BUDGET": "quick",
            "COURSE_DATASET": "digits",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _BOOT, str(self._folder), *(["kernels"] if kernels else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=self._folder,
            start_new_session=True,
        )
        self._unsafe = unsafe
        if wait:
            _ = self.level

    @functools.cached_property
    def level(self) -> str:
        """How it isolates. Raises CourseError where it cannot, or did not start."""
        try:
            level: str = self._first_words()["level"]
            if level == NONE and not self._unsafe:
                raise _refusal()
        except BaseException:
            self.close()
            raise
        return level

    @property
    def address(self) -> str:
        return json.dumps({"socket": str(self._folder / "socket"), "level": self.level})

    @property
    def pid(self) -> int:
        return self._process.pid

    def serves(self) -> bool:
        return self._process.poll() is None and self._folder.is_dir()

    def close(self) -> None:
        """End it and every sandbox that it has forked."""
        try:
            if "level" not in vars(self):
                self._process.kill()  # it imports, and hears nothing
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> WarmProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _first_words(self) -> dict[str, Any]:
        output = self._process.stdout
        assert output is not None  # it is a pipe
        line = output.readline() if select.select([output], [], [], _START_SECONDS)[0] else b""
        if not line:
            raise CourseError("the process that runs submissions did not start; see the messages above.")
        words: dict[str, Any] = json.loads(line)
        return words


def use_short_folder() -> None:
    """No temporary files below a long TMPDIR: the name of a socket has at most 107 bytes."""
    if len(os.fsencode(tempfile.gettempdir())) > _LONGEST_FOLDER and os.access("/tmp", os.W_OK | os.X_OK):
        tempfile.tempdir = "/tmp"


def _refusal() -> CourseError:
    reason = "no Linux" if sys.platform != "linux" else "neither namespaces nor Landlock"
    return CourseError(NO_ISOLATION.format(reason=reason))


def probe() -> str:
    """The level of isolation that this machine has, tried without importing what a warm process needs."""
    if not hasattr(os, "fork") or not sys.platform.startswith("linux"):
        return NONE
    with tempfile.TemporaryDirectory(prefix="course-probe-") as folder:
        (Path(folder) / "root").mkdir()
        stage_sandbox(_made(Path(folder) / "stage"))
        done = subprocess.run(
            [sys.executable, "-I", "-c", _PROBE, folder], capture_output=True, text=True, timeout=60, cwd=folder
        )
    return done.stdout.strip() if done.stdout.strip() in LEVELS else NONE


def require_level(wanted: str) -> None:
    """Raises WrongUsage for a level that nobody can ask for, CourseError where this machine has a weaker one."""
    if wanted not in (NAMESPACES, LANDLOCK):
        raise WrongUsage(f"--require {wanted!r}: expected {NAMESPACES} or {LANDLOCK}.")
    found = probe()
    if LEVELS.index(found) > LEVELS.index(wanted):
        raise CourseError(
            f"this machine isolates student code by {found!r}, and --require asks for {wanted!r}. Nothing was graded. "
            "`course doctor` says what is missing."
        )


_own: dict[tuple[object, ...], WarmProcess] = {}
_lock = threading.Lock()


def own_address(unsafe: bool = False, kernels: bool = False, whole_course: bool = False) -> str:
    """The address of this process's own warm process, started at first use or when the last one has died; it ends with
    this process. One for all that this process grades: what it imports takes seconds."""
    return _own_process(unsafe, kernels, whole_course).address


def begin_own(unsafe: bool = False) -> None:
    """Start what `own_address` will wait for. Whoever has something else to do meanwhile calls this first."""
    _own_process(unsafe, False, False)


def _own_process(unsafe: bool, kernels: bool, whole_course: bool) -> WarmProcess:
    # Not PATH: who adds to it (nbgrader's own commands are found so) would begin a second one, and wait for that.
    said = (os.environ.get(name, "") for name in _PASSED_ON if name != "PATH")
    known = (unsafe, kernels, whole_course, *said)
    with _lock:
        if known in _own and not _own[known].serves():
            _own.pop(known).close()
        if known not in _own:
            import atexit

            _own[known] = WarmProcess(unsafe, kernels, whole_course, wait=False)
            atexit.register(_own[known].close)
        return _own[known]


def own_pids() -> set[int]:
    """The process ids of this process's own warm processes."""
    with _lock:
        return {warm.pid for warm in _own.values()}


class Sandbox:
    """One sandbox: `connection` leads to what runs inside."""

    def __init__(self, address: str, limits: Limits, entry: str = "grading_agent.agent:enter", **more: Any) -> None:
        place = json.loads(address)
        self.level = place["level"]
        self._status: int | None = None
        self.connection, inner = socket.socketpair()
        self._server = socket.socket(socket.AF_UNIX)
        request = {"limits": limits.to_dict(), "level": self.level, "entry": entry, **more}
        try:
            self._server.connect(place["socket"])
            self._server.sendmsg(
                [json.dumps(request).encode()],
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [inner.fileno()]))],
            )
        except OSError as error:
            self.close()
            raise CourseError(f"the process that runs submissions is gone ({error}).") from None
        finally:
            inner.close()

    def cause_of_death(self, seconds: float = 2.0) -> str:
        """Why the sandbox has ended, in words for a student."""
        select.select([self._server], [], [], seconds)
        if self.exit_status() == OUT_OF_MEMORY:
            return "the notebook's Python process used too much memory and was ended"
        return "the notebook's Python process ended"

    def exit_status(self) -> int | None:
        """How it ended (minus the signal's number for a signal); None while it runs."""
        if self._status is None and select.select([self._server], [], [], 0)[0]:
            try:
                self._status = json.loads(self._server.recv(1000))["exit"]
            except (OSError, ValueError, KeyError):
                self._status = 1
        return self._status

    def interrupt(self) -> None:
        """SIGINT for the process that runs the notebook."""
        self._tell({"signal": "interrupt"})

    def kill(self) -> None:
        """Kill whatever runs inside; `exit_status` tells when it is done."""
        self._tell({"signal": "kill"})

    def _tell(self, request: dict[str, Any]) -> None:
        try:
            self._server.send(json.dumps(request).encode())
        except OSError:
            pass  # it has ended

    def close(self) -> None:
        """Kill whatever still runs inside."""
        self.connection.close()
        self._server.close()


def _made(folder: Path) -> Path:
    folder.mkdir()
    folder.parent.chmod(0o711)  # another user id must be able to pass through
    return folder


LEVELS = (NAMESPACES, LANDLOCK, NONE)
