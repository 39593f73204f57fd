"""Run a piece of foreign code under a time limit, on every platform and without signals.

The code runs in a thread of its own while the caller waits. When time is up the thread is told to stop and is
abandoned, so that even code that swallows every exception or sleeps inside C cannot keep the caller waiting.
"""

from __future__ import annotations

import ctypes
import queue
import threading
from collections.abc import Callable
from typing import Any

_STOP_SECONDS = 0.5  # how long an interrupted thread may take to stop before it is left behind
_NAG_TIMES = 200  # how often a thread that was left behind is told again, once every tenth of a second


class TimeIsUp(BaseException):
    """Raised inside the foreign code when its time is over; no `except Exception` catches it."""


class TooSlow(Exception):
    """Raised to the caller: the code had not returned when its time was over."""

    def __init__(self, seconds: float, stopped: bool) -> None:
        super().__init__(f"no result after {seconds:g} seconds")
        self.seconds, self.stopped = seconds, stopped


class Worker:
    """A thread that runs one job after the other; it is replaced by a new one after a job that was too slow."""

    def __init__(self) -> None:
        self._thread: _Thread | None = None

    def run(self, job: Callable[[], Any], seconds: float) -> Any:
        """Return what `job()` returns or raise what it raises; raise TooSlow when it takes longer than `seconds`."""
        if self._thread is None:
            self._thread = _Thread()
            self._thread.start()
        thread = self._thread
        thread.jobs.put(job)
        try:
            value, error = thread.results.get(timeout=seconds)
        except queue.Empty:
            self._thread = None
            raise TooSlow(seconds, thread.stop()) from None
        except BaseException:  # the user pressed interrupt while we waited
            self._thread = None
            thread.stop()
            raise
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        if self._thread is not None:
            self._thread.jobs.put(None)
            self._thread = None


class _Thread(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="check", daemon=True)
        self.jobs: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self.results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run(self) -> None:
        try:
            self._work()
        except BaseException:  # a late TimeIsUp may arrive anywhere: nobody waits for this thread any more
            pass

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            outcome: tuple[Any, BaseException | None]
            try:
                outcome = (job(), None)
            except BaseException as error:
                outcome = (None, error)
            self.results.put(outcome)
            del job, outcome

    def stop(self) -> bool:
        """Interrupt the job; True when the thread has ended, False when it is left behind."""
        self.jobs.put(None)
        for _ in range(int(_STOP_SECONDS / 0.05)):
            self._interrupt()
            self.join(0.05)
            if not self.is_alive():
                return True
        threading.Thread(target=self._nag, name="check-stop", daemon=True).start()
        return False

    def _nag(self) -> None:
        for _ in range(_NAG_TIMES):
            self._interrupt()
            self.join(0.1)
            if not self.is_alive():
                return

    def _interrupt(self) -> None:
        if self.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(TimeIsUp))
