"""Starting the warm process, and getting sandboxes from it."""

from __future__ import annotations

import array
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

from course_utils.errors import CourseError

from .isolation import LANDLOCK, NAMESPACES, NONE
from .limits import OUT_OF_MEMORY, Limits
from .stage import stage

_BOOT = (
    "import os, sys; sys.path[:] = [sys.argv[1] + '/stage'] + [p for p in sys.path if p.endswith('-packages') or "
    "not os.path.isdir(os.path.join(p, 'autograder'))]; from examination_sandbox.warm import main; main(sys.argv[1])"
)
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT", "COURSE_SANDBOX_DEBUG")
_START_SECONDS = 180
NO_ISOLATION = (
    "this machine cannot isolate student code ({reason}), so nothing is graded. Grade on Linux with user namespaces or "
    "Landlock (WSL 2 and most containers run with `--security-opt seccomp=unconfined` have them), or, for code that you "
    "trust, add --unsafe: then a submission can do whatever you can."
)


class WarmProcess:
    """A warm process of our own; `address` is where other processes find it. Close it when done."""

    def __init__(self, unsafe: bool = False) -> None:
        if not hasattr(os, "fork") or not hasattr(socket, "AF_UNIX"):
            raise CourseError("grading runs on Linux (isolated) and macOS (only with --unsafe); on Windows use WSL 2.")
        self._folder = Path(tempfile.mkdtemp(prefix="course-warm-"))
        (self._folder / "root").mkdir()
        stage(_made(self._folder / "stage"))
        environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ} | {
            "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline", "MPLCONFIGDIR": str(self._folder / "matplotlib"),
            "NBGRADER_EXECUTION": "autograde", "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(self._folder),
            "IPYTHONDIR": str(self._folder / "ipython"), "COURSE_BUDGET": "quick", "COURSE_DATASET": "digits",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _BOOT, str(self._folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=environment, cwd=self._folder, start_new_session=True)
        try:
            self.level = self._first_words()["level"]
            if self.level == NONE and not unsafe:
                reason = "no Linux" if sys.platform != "linux" else "neither namespaces nor Landlock"
                raise CourseError(NO_ISOLATION.format(reason=reason))
        except BaseException:
            self.close()
            raise
        self.address = json.dumps({"socket": str(self._folder / "socket"), "level": self.level})

    def close(self) -> None:
        """End it and every sandbox that it has forked."""
        try:
            self._process.stdin.close()
            self._process.stdout.close()
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
        ready = select.select([self._process.stdout], [], [], _START_SECONDS)[0]
        line = self._process.stdout.readline() if ready else b""
        if not line:
            raise CourseError("the process that runs submissions did not start; see the messages above.")
        return json.loads(line)


_own: WarmProcess | None = None
_lock = threading.Lock()


def own_address(unsafe: bool = False) -> str:
    """The address of this process's own warm process, started at first use; it ends with this process."""
    global _own
    with _lock:
        if _own is None:
            import atexit
            _own = WarmProcess(unsafe)
            atexit.register(_own.close)
        return _own.address


class Sandbox:
    """One sandbox: `connection` leads to what runs inside."""

    def __init__(self, address: str, limits: Limits, entry: str = "examination.room:enter", **more: Any) -> None:
        place = json.loads(address)
        self.level = place["level"]
        self.connection, inner = socket.socketpair()
        self._server = socket.socket(socket.AF_UNIX)
        request = {"limits": limits.to_dict(), "level": self.level, "entry": entry, **more}
        try:
            self._server.connect(place["socket"])
            self._server.sendmsg([json.dumps(request).encode()],
                                 [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [inner.fileno()]))])
        except OSError as error:
            self.close()
            raise CourseError(f"the process that runs submissions is gone ({error}).") from None
        finally:
            inner.close()

    def cause_of_death(self, seconds: float = 2.0) -> str:
        """Why the sandbox has ended, in words for a student."""
        try:
            ready = select.select([self._server], [], [], seconds)[0]
            status = json.loads(self._server.recv(1000))["exit"] if ready else None
        except (OSError, ValueError, KeyError):
            status = None
        if status == OUT_OF_MEMORY:
            return "the notebook's Python process used too much memory and was ended"
        return "the notebook's Python process ended"

    def close(self) -> None:
        """Kill whatever still runs inside."""
        self.connection.close()
        self._server.close()


def _made(folder: Path) -> Path:
    folder.mkdir()
    folder.parent.chmod(0o711)  # another user id must be able to pass through
    return folder


LEVELS = (NAMESPACES, LANDLOCK, NONE)
