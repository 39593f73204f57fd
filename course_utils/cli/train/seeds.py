"""``course train --seeds``: the same model from several seeds, in parallel over processes, with mean and interval."""

from __future__ import annotations

import contextlib
import io
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from course_utils.models import runs
from course_utils.system import device
from course_utils.system.errors import CourseError
from course_utils.system.machine import num_cores
from course_utils.system.variables import environment

from . import command
from .command import Request

LEVEL = 0.95
PATIENCE_S = 20  # for an answer of a scheduler
_alone = threading.Lock()  # threads of a dask worker share torch's random numbers: two trainings would mix their seeds


class Trained(NamedTuple):
    """What came of one seed: the test measures of the last epoch, or why there are none."""

    seed: int
    measures: dict[str, float]
    folder: Path | None
    trouble: str | None


def train_seeds(request: Request, seeds: int, jobs: int | None = None, cluster: str | None = None) -> None:
    """Train ``seeds`` models with the seeds from ``request.seed`` up and print their test measures.

    Args:
        jobs: trainings at a time; default one for each core, on a GPU one alone.
        cluster: address of a dask scheduler, whose workers must see the same folders. A worker trains one model at a
            time, however many threads it has: start as many workers as there should be trainings at once.

    Raises:
        CourseError: a wrong number; a seed that could not be trained (the others are).
    """
    if not 1 <= seeds <= 1000:
        raise CourseError(f"--seeds is {seeds}; expected 1 to 1000.")
    if request.seed + seeds > 2**32:
        raise CourseError(f"--seed {request.seed} and --seeds {seeds} go beyond the highest seed, {2**32 - 1}.")
    requests = [_with_seed(request, request.seed + number) for number in range(seeds)]
    cores = num_cores()
    on_cpu = device.get_device(request.device).type == "cpu"
    jobs = min(jobs or (cores if on_cpu else 1), seeds)
    done: list[Trained] = []
    print(f"{seeds} trainings, {'on ' + cluster if cluster else f'{jobs} at a time'}", flush=True)
    for found in _trained(requests, jobs, max(1, cores // jobs), cluster):
        done.append(found)
        said = found.trouble or ", ".join(f"{key} {value:.4g}" for key, value in found.measures.items())
        print(f"seed {found.seed}: {said}", flush=True)
    done.sort()
    good = [each for each in done if each.trouble is None]
    print(summary([each.measures for each in good]))
    for each in good:
        print(f"  {each.folder}")
    if len(good) < len(done):
        failed = ", ".join(str(each.seed) for each in done if each.trouble is not None)
        raise CourseError(f"{len(done) - len(good)} of {len(done)} seeds were not trained to their end: {failed}.")


def summary(measures: list[dict[str, float]]) -> str:
    """A line for each measure: mean over seeds with Student's interval for the mean, and the spread of one seed."""
    from scipy.stats import t

    lines = []
    for key in measures[0] if measures else []:
        values = [each[key] for each in measures]
        mean = sum(values) / len(values)
        if len(values) < 2:
            lines.append(f"{key} {mean:.5g} (one seed: no interval)")
            continue
        spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
        half = float(t.ppf(0.5 + LEVEL / 2, len(values) - 1)) * spread / math.sqrt(len(values))
        lines.append(
            f"{key} {mean:.5g} ({LEVEL:.0%} interval {mean - half:.5g} to {mean + half:.5g}, {len(values)} seeds; "
            f"standard deviation of a seed {spread:.2g})"
        )
    return "\n".join(lines)


def _with_seed(request: Request, seed: int) -> Request:
    """A name of one's own is told apart by the seed; the default names are already."""
    return replace(request, seed=seed, name=f"{request.name}-seed{seed}" if request.name else None)


def _trained(requests: list[Request], jobs: int, threads: int, cluster: str | None) -> Iterator[Trained]:
    """Each as soon as it is there."""
    import joblib

    place = str(runs.folder(command.UNIT).parent)
    work = (joblib.delayed(_one)(each, threads, place) for each in requests)
    with contextlib.ExitStack() as stack:
        if cluster is not None:
            stack.enter_context(_scheduler(cluster))
            stack.enter_context(joblib.parallel_config("dask"))
        yield from joblib.Parallel(n_jobs=len(requests) if cluster else jobs, return_as="generator_unordered")(work)


@contextlib.contextmanager
def _scheduler(address: str) -> Iterator[None]:
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise CourseError(
            "--cluster needs dask: pip install -c constraints.txt -e '.[cluster]'. Without it, --jobs trains several "
            "seeds at a time on this machine."
        ) from None
    try:
        client = Client(address, timeout=PATIENCE_S)
    except (OSError, ValueError) as error:
        raise CourseError(f"No dask scheduler answers at {address} ({error}). Start one with: dask scheduler") from None
    with client:
        yield


def _one(request: Request, threads: int, place: str) -> Trained:
    """Train one seed, in a process of its own or on another machine, without a word; one at a time in a process."""
    with _alone:
        return _one_alone(request, threads, place)


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    """Of torch: the process may be another's, too, or train another seed next, and is afterwards as it was."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _one_alone(request: Request, threads: int, place: str) -> Trained:
    import json

    try:
        with _threads(threads), environment(COURSE_RUNS=place), contextlib.redirect_stdout(io.StringIO()):
            folder = command.train(request)
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        measures = {key: value for key, value in about["last_epoch"].items() if key.startswith("test_")}
        return Trained(request.seed, {k: math.nan if v is None else v for k, v in measures.items()}, folder, None)
    except KeyboardInterrupt:
        return Trained(request.seed, {}, None, "interrupted; the same command goes on")
    except CourseError as error:
        return Trained(request.seed, {}, None, str(error))
