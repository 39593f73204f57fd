"""Runs many examinations at a time: in processes of this machine, or on a dask.distributed cluster.

Jobs and results are bytes. A worker that dies takes only its own job along, which is tried once more elsewhere.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, forkserver, get_context, parent_process
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

from course_utils.system.errors import CourseError, WrongUsage

from .sandbox.client import begin_own, own_address, use_short_folder

_ATTEMPTS = 2
_MOST_JOBS = 64
_PATIENCE = 20  # seconds for a scheduler to answer


@dataclass(frozen=True)
class Options:
    """How a batch is run. `jobs` None: one worker for each processor."""

    jobs: int | None = None
    cluster: str | None = None
    force: bool = False
    unsafe: bool = False

    def workers(self) -> int:
        if self.jobs is not None and not 1 <= self.jobs <= _MOST_JOBS:
            raise WrongUsage(f"--jobs {self.jobs}: expected 1 to {_MOST_JOBS}.")
        return self.jobs or min(len(_processors()), _MOST_JOBS)


def _processors() -> Sequence[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


@dataclass(frozen=True)
class Failed:
    """A job that gave no result although it was tried again."""

    reason: str


Key = TypeVar("Key")
Make = Callable[[str | None], bytes]  # a job, given the address of the warm process


def run_batch(makers: dict[Key, Make], options: Options) -> Iterator[tuple[Key, bytes | Failed]]:
    """Results as they come, by the keys of `makers`. Closing the iterator, or Ctrl-C, ends what is still running."""
    if not makers:
        return
    with _cluster(options) if options.cluster else _local(options) as (new_executor, address):
        waiting = dict.fromkeys(makers, 0)
        while waiting:
            executor = new_executor()
            lost = []
            try:
                for key, outcome in _round(executor, {key: makers[key] for key in waiting}, address):
                    if isinstance(outcome, BaseException):
                        lost.append((key, outcome))
                        continue
                    del waiting[key]
                    yield key, outcome
            finally:
                _stop(executor)
            for key, error in lost:
                if isinstance(error, CourseError):
                    raise error
                waiting[key] += 1
                # When a pool breaks, every job in it is lost and none is known to be guilty: then they go one by one.
                if waiting[key] >= _ATTEMPTS:
                    del waiting[key]
                    yield key, _alone(new_executor, makers[key], address)


def _alone(new_executor: Callable[[], Executor], make: Make, address: str | None) -> bytes | Failed:
    executor = new_executor()
    try:
        outcome = next(iter(_round(executor, {"": make}, address)))[1]
    finally:
        _stop(executor)
    if isinstance(outcome, BaseException):
        return Failed(f"the process that graded it failed ({type(outcome).__name__}: {str(outcome)[:200]})")
    return outcome


def _round(executor: Executor, makers: dict[Key, Make], address: str | None) -> Iterator[tuple[Key, Any]]:
    """One attempt at every job: results, or the exceptions in their place. Few jobs are made before they are needed."""
    from .examiner.job import examine  # here, so that `begin` has nothing to wait for

    left = list(makers.items())
    running: dict[Future[Any], Key] = {}
    while left or running:
        while left and len(running) < 2 * _MOST_JOBS:
            key, make = left.pop(0)
            try:
                running[executor.submit(examine, make(address))] = key
            except Exception as error:  # a pool that broke, or a job that cannot be made: this one's trouble alone
                yield key, error
        done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)  # short, so that Ctrl-C is heard
        for future in done:
            failure = future.exception()
            yield running.pop(future), failure if failure is not None else future.result()


def _stop(executor: Executor) -> None:
    if isinstance(executor, ProcessPoolExecutor):
        executor.shutdown(wait=False, cancel_futures=True)
    else:
        executor.shutdown(wait=False)  # dask's, which cancels by itself


@contextmanager
def _local(options: Options) -> Iterator[tuple[Callable[[], Executor], str]]:
    workers, context = options.workers(), begin(options)
    address = own_address(options.unsafe)
    folder = os.path.dirname(json.loads(address)["socket"])
    yield lambda: ProcessPoolExecutor(workers, context, _begin_worker, (folder,)), address


def begin(options: Options) -> BaseContext:
    """Start what this process's batches need, once: both import torch, each on a processor of its own, while this
    process goes on."""
    use_short_folder()
    begin_own(options.unsafe)
    os.environ["PYTHONSAFEPATH"] = "1"  # what lies in the folder where grading was started is imported by no worker
    context = get_context("forkserver")  # workers share the pages of what is imported once
    context.set_forkserver_preload(["autograder.examiner.preload"])
    forkserver.ensure_running()
    return context


def _begin_worker(folder: str) -> None:
    """`folder` goes when grading ends; torch would leave one behind."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.path.join(folder, "torchinductor")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """End this worker when its parent is no more: killed, it could not say so, and workers wait for jobs for ever."""
    connection.wait([sentinel])
    os._exit(1)


@contextmanager
def _cluster(options: Options) -> Iterator[tuple[Callable[[], Executor], None]]:
    try:
        from dask.distributed import Client
    except ModuleNotFoundError:
        raise CourseError(
            "--cluster needs dask.distributed. Run: pip install -c constraints.txt -e '.[cluster]'"
        ) from None
    try:
        client = Client(options.cluster, timeout=_PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        raise CourseError(
            f"no dask scheduler answers at {options.cluster!r} ({error}). Start one: dask scheduler"
        ) from None
    with client:
        yield lambda: client.get_executor(pure=False, retries=_ATTEMPTS), None
