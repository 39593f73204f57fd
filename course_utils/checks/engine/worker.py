"""Run a piece of foreign code under a time limit, on every platform and without signals.

The code runs in a thread of its own while the caller waits. When time is up the thread is told to stop and is
abandoned, so that even code that swallows every exception or sleeps inside C cannot keep the caller waiting.

Time is what the code itself takes: the processor's while it computes, the clock's while it sleeps, a tenth of the
clock's while it waits for processes of its own, none while a module is imported. So the machine's speed at starting
things, and who else is using it, decide nothing.
"""

from __future__ import annotations

import ctypes
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

_STOP_SECONDS = 0.5  # how long an interrupted thread may take to stop before it is left behind
_SLICE = 0.05  # seconds between two looks at what the code is doing
# how much longer than its limit code may take by the clock while others use the processor, or its own processes work
PATIENCE = 10.0
_ASLEEP = 0.02  # code that neither computes nor waits for a processor for more than this share of time sleeps
_LONGEST_IMPORT = 300.0  # seconds of imports within one job; an endless one would be waited for, too
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
        self.counted = 0.0  # seconds that the last job has taken

    def run(self, job: Callable[[], Any], seconds: float) -> Any:
        """Return what `job()` returns or raise what it raises; raise TooSlow when it takes longer than `seconds`.

        `counted` tells afterwards how many it took.
        """
        if self._thread is None:
            self._thread = _Thread()
            self._thread.start()
        thread = self._thread
        clock = _Clock(thread)
        thread.jobs.put(job)
        try:
            value, error = self._wait(thread, clock, seconds)
        except TooSlow:
            self._thread = None
            raise TooSlow(seconds, thread.stop()) from None
        except BaseException:  # the user pressed interrupt while we waited
            self._thread = None
            thread.stop()
            raise
        if error is not None:
            raise error
        return value

    def _wait(self, thread: _Thread, clock: _Clock, seconds: float) -> tuple[Any, BaseException | None]:
        while True:
            try:
                outcome = thread.results.get(timeout=min(_SLICE, seconds))
                self.counted = clock.counted()
                return outcome
            except queue.Empty:
                clock.look()
                self.counted = clock.counted()
                if self.counted >= seconds or clock.importing > _LONGEST_IMPORT:
                    raise TooSlow(seconds, stopped=False) from None

    def close(self) -> None:
        if self._thread is not None:
            self._thread.jobs.put(None)
            self._thread = None


class _Clock:
    """What a job has taken so far."""

    def __init__(self, thread: _Thread) -> None:
        self._thread = thread
        self.importing = self._stalled = 0.0
        self._accompanied = 0.0  # seconds by the clock while processes that the code has started were there
        self._imported = 0.0  # of the processor's time
        self._started = self._last = time.monotonic()
        self._began = self._before = thread.processor_time()
        self._queued: float | None = None  # at the first look: a job that ends before has not waited long

    def look(self) -> None:
        """Leave out what has passed since the last look if it was spent in an import; note whether it was spent in
        waiting for processes."""
        now, processor = time.monotonic(), self._thread.processor_time()
        if self._queued is None:
            self._queued = self._thread.queued()
        late = now - self._last - 2 * _SLICE  # who looks is late as well: the machine stood still
        if late > 0:
            self._stalled += late
            self._last += late
        if self._thread.is_importing():
            self.importing += now - self._last
            self._imported += processor - self._before
        elif processor - self._before < (now - self._last) / 2 and _has_processes():
            self._accompanied += now - self._last
        self._last, self._before = now, processor

    def counted(self) -> float:
        passed = time.monotonic() - self._started - self.importing
        computed = self._thread.processor_time() - self._began - self._imported
        queued = 0.0 if self._queued is None else self._thread.queued() - self._queued
        asleep = passed - computed - queued
        if asleep > (1 - _ASLEEP) * passed:
            return passed - self._stalled - self._accompanied * (1 - 1 / PATIENCE)
        return min(passed, max(computed, passed / PATIENCE))


def _has_processes() -> bool:
    """Whether there are processes that this one has started, such as the workers of scikit-learn's ``n_jobs``."""
    try:
        return bool(psutil.Process().children())
    except (psutil.Error, OSError):
        return False


class _Thread(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="check", daemon=True)
        self.jobs: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self.results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def processor_time(self) -> float:
        """Seconds that this thread has computed; by the clock where the system does not tell (Windows, macOS)."""
        try:
            return time.clock_gettime(time.pthread_getcpuclockid(self.ident or 0))
        except (AttributeError, OSError):
            return time.monotonic()

    def queued(self) -> float:
        """Seconds that this thread could have computed and others did; 0 where the system does not tell."""
        try:
            with open(f"/proc/self/task/{self.native_id}/schedstat", encoding="ascii") as numbers:
                return int(numbers.read().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0

    def is_importing(self) -> bool:
        """Whether a module is being imported: to interrupt that would leave half of it behind, for good."""
        frame = sys._current_frames().get(self.ident or 0)
        while frame is not None:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return True
            frame = frame.f_back
        return False

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
        if self.ident is not None and not self.is_importing():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(TimeIsUp))
