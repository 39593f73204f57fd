"""Which device to compute on, seeds, and how much training this machine is asked for."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator

import numpy as np
import torch

from . import settings
from .contracts import Whole
from .errors import CourseError
from .settings import BUDGETS

KINDS = ("cpu", "cuda", "mps", "xpu")


def get_device(name: str | None = None) -> torch.device:
    """The device to compute on: ``name`` if given, else ``$COURSE_DEVICE``, else the first of CUDA, MPS and CPU here.

    Raises:
        CourseError: the named device is not available on this machine.
    """
    name = name or os.environ.get("COURSE_DEVICE")
    if not name:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        if name.partition(":")[0] not in KINDS:
            raise ValueError(f"expected one of {', '.join(KINDS)}")
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise CourseError(
            f"The device {name!r} cannot be used here ({str(error).splitlines()[0]}). "
            "Use 'cpu', or leave COURSE_DEVICE unset to take the best one there is."
        ) from None
    return device


def seed_everything(seed: int = 0) -> None:
    """Seed Python, NumPy and torch (all devices), so that a cell run again gives the same numbers."""
    seed = Whole(0, 2**32 - 1).take("seed", seed)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextlib.contextmanager
def random_state_kept() -> Iterator[None]:
    """Whatever is drawn inside, the generators of Python, NumPy and torch (every device) are afterwards as before."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    mps_state = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        if mps_state is not None:
            torch.mps.set_rng_state(mps_state)


def budget_name() -> str:
    """``quick``, ``full`` or ``original``: ``$COURSE_BUDGET`` if set, else ``quick`` while nbgrader runs the notebook
    (Validate, autograde), else ``full``."""
    return settings.one_of("COURSE_BUDGET", BUDGETS) or ("quick" if os.environ.get("NBGRADER_EXECUTION") else "full")


def budget(quick: int, full: int, original: int) -> int:
    """The one of three amounts (epochs, steps, images) that the budget in force asks for.

    >>> epochs = budget(quick=1, full=5, original=35)
    """
    return {"quick": quick, "full": full, "original": original}[budget_name()]


def describe(device: torch.device) -> str:
    """One line for people: ``cpu, 2 threads`` or ``cuda (NVIDIA H100 80GB HBM3)``."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu, {threads} thread{'s' if threads > 1 else ''}"
    return device.type


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished what it was given, so that a clock read next to it tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
