"""The warm process: it has imported what notebooks import, runs nothing, and forks a sandbox for whoever asks.

Before a fork it only imports: one operation of torch would start threads that a fork does not copy. It knows no law, no
answer and no secret, because every sandbox inherits its memory. It ends, with all sandboxes, when its standard input
closes.

A client connects, sends one line of JSON with one file descriptor, the sandbox's end of a socket, and hears
{"exit": status} when the sandbox has ended. When the client hangs up, the sandbox is killed.
"""

from __future__ import annotations

import array
import functools
import gc
import importlib
import inspect
import json
import os
import selectors
import shutil
import signal
import socket
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from .isolation import LANDLOCK, NAMESPACES, Place, best_level, isolate
from .limits import Limits

PRELOADED = (
    "torch",
    "torch.nn.functional",
    "torch.distributions",
    "torch.optim",
    "torch._dynamo",
    "numpy",
    "matplotlib.pyplot",
    "IPython",
    "matplotlib_inline.backend_inline",
    "tqdm.auto",
    "PIL.Image",
    "ipywidgets",
    "course_utils.check",
    "course_utils.system.device",
    "course_utils.datasets",
    "course_utils.models",
    "course_utils.training",
    "course_utils.metrics",
    "course_utils.plots",
    "course_utils.plots.predict",
    "course_utils.plots.explore",
    "course_utils.models.classifier",
    "course_utils.models.runs",
)
FOR_KERNELS = ("ipykernel.kernelapp", "ipykernel.ipkernel", "grading_agent.kernel")
_LONGEST_REQUEST = 1 << 16


class Warm:
    """The server: a listening socket, one record for each sandbox."""

    def __init__(self, place: Place, path: str, interpreter: Any) -> None:
        self._place, self._interpreter = place, interpreter
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, socket.socket] = {}  # by process id of the sandbox
        self._end_themselves: set[int] = set()  # sandboxes that end their processes themselves, when told to
        self._wake, wake_in = socket.socketpair()
        wake_in.setblocking(False)
        self._wake_in = wake_in
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_in.fileno(), warn_on_full_buffer=False)
        for source in (self._listener, self._wake):
            self._selector.register(source, selectors.EVENT_READ)
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ)

    def serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == sys.stdin.fileno():
                    return self._end()
                if key.fileobj is self._listener:
                    self._selector.register(self._listener.accept()[0], selectors.EVENT_READ)
                elif key.fileobj is self._wake:
                    self._wake.recv(4096)
                elif isinstance(key.fileobj, socket.socket):
                    self._hear(key.fileobj)
            self._bury()

    def _hear(self, client: socket.socket) -> None:
        """A request for a sandbox, or the end of a client."""
        try:
            text, ancillary, _, _ = client.recvmsg(_LONGEST_REQUEST, socket.CMSG_LEN(16))
            fds = array.array("i")
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
            if text and len(fds) == 1:
                self._start(client, json.loads(text), fds[0])
                os.close(fds[0])
                return
            if text and not fds:
                return self._signal(client, json.loads(text)["signal"])
        except (OSError, ValueError, KeyError):
            pass
        self._selector.unregister(client)
        client.close()
        for pid, known in list(self._clients.items()):
            if known is client:
                self._kill(pid)

    def _signal(self, client: socket.socket, wanted: str) -> None:
        for pid, known in list(self._clients.items()):
            if known is client:
                _interrupt(pid) if wanted == "interrupt" else self._kill(pid)

    def _start(self, client: socket.socket, request: dict[str, Any], fd: int) -> None:
        pid = os.fork()
        if pid:
            self._clients[pid] = client
            if request["level"] == LANDLOCK:
                self._end_themselves.add(pid)
            return
        connection = socket.socket(fileno=fd)
        self.forget_server(keep=fd)
        place = Place(self._place.stage, self._place.mountpoint, request.get("shared", []), request.get("readable", []))
        isolate(lambda: self._inside(connection, request), place, Limits(**request["limits"]), request["level"])

    def _inside(self, connection: socket.socket, request: dict[str, Any]) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if request["level"] == NAMESPACES:
            os.environ.update(HOME=os.getcwd(), TMPDIR="/tmp")
        if request["level"] == LANDLOCK:
            load_without_processes()
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.path.join(os.environ["TMPDIR"], "torchinductor")
        entry, _, function = request["entry"].partition(":")
        getattr(importlib.import_module(entry), function)(connection, self._interpreter)

    def forget_server(self, keep: int = -1) -> None:
        """In a child: none of the server's files stay open."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        if keep >= 0:
            os.set_inheritable(keep, False)
        nowhere = os.open("/dev/null", os.O_RDWR)
        os.dup2(nowhere, 0), os.dup2(nowhere, 1)
        if not os.environ.get("COURSE_SANDBOX_DEBUG"):
            os.dup2(nowhere, 2)
        kept = sorted({0, 1, 2, keep} - {-1})
        for low, high in pairwise([*kept, os.sysconf("SC_OPEN_MAX")]):
            os.closerange(low + 1, high)

    def _bury(self) -> None:
        """Tell clients about sandboxes that have ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            client = self._clients.pop(pid, None)
            self._end_themselves.discard(pid)
            if client is not None and client.fileno() >= 0:
                try:
                    client.send(json.dumps({"exit": os.waitstatus_to_exitcode(status)}).encode() + b"\n")
                except OSError:
                    pass

    def _kill(self, pid: int) -> None:
        """The process, its session where it has one, and with it its namespace; or tell it to end what it started."""
        number = signal.SIGTERM if pid in self._end_themselves else signal.SIGKILL
        for kill in (os.killpg, os.kill):
            try:
                kill(pid, number)
            except OSError:
                pass

    def _end(self) -> None:
        signal.set_wakeup_fd(-1)
        for pid in self._clients:
            self._kill(pid)
        try:
            while True:
                os.wait()
        except ChildProcessError:
            pass


def load_without_processes() -> None:
    """Where processes share no memory a DataLoader cannot have worker processes: it loads by itself, and says so."""
    if (torch := sys.modules.get("torch")) is None:
        return
    loader = torch.utils.data.DataLoader
    given, signature = loader.__init__, inspect.signature(loader.__init__)

    @functools.wraps(given)
    def made(*args: Any, **named: Any) -> None:
        asked = signature.bind(*args, **named)
        if asked.arguments.get("num_workers"):
            print(f"DataLoader: num_workers={asked.arguments['num_workers']}, and 0 here.", file=sys.stderr)
            for name in ("num_workers", "persistent_workers", "prefetch_factor", "timeout", "multiprocessing_context"):
                asked.arguments.pop(name, None)
        given(*asked.args, **asked.kwargs)

    loader.__init__ = made


def _interrupt(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGINT)
    except OSError:
        pass


def main(folder: str, *more: str) -> None:
    """Import everything (`more` is "kernels": also what they need), make the socket below `folder`, say so on standard
    output, and serve."""
    gc.disable()  # looking through what imports have made takes a fifth of their time
    from grading_agent.interpreter import new_interpreter

    for name in [*PRELOADED, *(FOR_KERNELS if "kernels" in more else ())]:
        try:
            importlib.import_module(name)
        except Exception as error:  # whoever needs it will hear of it
            print(f"warm process: {name} is not available ({error})", file=sys.stderr)
    if torch := sys.modules.get("torch"):
        torch.cpu._is_avx2_supported()  # torch looks at /proc/cpuinfo once; sandboxes have none
    interpreter = new_interpreter()
    importlib.import_module("grading_agent.agent")
    place = Place(Path(folder) / "stage", Path(folder) / "root")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is for whoever started this
    if sys.platform == "linux":
        from .linux import adopt_orphans

        adopt_orphans()  # a sandbox is two processes; the second outlives the first a little, and no init may be there
    gc.freeze()
    gc.enable()
    warm = Warm(place, str(Path(folder) / "socket"), interpreter)
    try:
        print(json.dumps({"level": best_level(place, warm.forget_server)}), flush=True)
    except BrokenPipeError:  # whoever started this is gone
        pass
    else:
        warm.serve()
    shutil.rmtree(folder, ignore_errors=True)  # who was killed cannot do it
