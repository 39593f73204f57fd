"""The ``COURSE_*`` variables of the environment that decide about a student's work: what each may be, in one place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from .errors import CourseError

BUDGETS = ("quick", "full", "original")
DATASETS = ("auto", "digits", "mnist", "fashion_mnist", "awa2", "toy_animals")


def folder(variable: str) -> Path | None:
    """The folder that the variable names, with ``~`` for the home folder; None where it is unset or empty."""
    named = os.environ.get(variable)
    if not named:
        return None
    try:
        return Path(named).expanduser()
    except RuntimeError:
        raise CourseError(
            f"{variable} is {named!r}, but there is no such home folder. Correct it, or unset it."
        ) from None


def one_of(variable: str, names: tuple[str, ...]) -> str | None:
    """The name that the variable holds; None where it is unset or empty.

    Raises:
        CourseError: it holds something else.
    """
    named = os.environ.get(variable)
    if named and named not in names:
        raise CourseError(f"{variable} is {named!r}; expected one of {', '.join(names)}.")
    return named or None


def _device() -> None:
    from .device import get_device  # brings torch

    get_device()


def _runs() -> None:
    path = folder("COURSE_RUNS")
    if path is not None and path.exists() and not path.is_dir():
        raise CourseError(f"COURSE_RUNS is {str(path)!r}, which is not a folder. Correct it, or unset it.")


def _data() -> None:
    path = folder("COURSE_DATA")
    if path is not None and not path.is_dir():
        raise CourseError(f"COURSE_DATA is {str(path)!r}, which is not a folder. Correct it, or unset it.")


CHECKS: dict[str, Callable[[], object]] = {
    "COURSE_BUDGET": lambda: one_of("COURSE_BUDGET", BUDGETS),
    "COURSE_DATA": _data,
    "COURSE_DATASET": lambda: one_of("COURSE_DATASET", DATASETS),
    "COURSE_DEVICE": _device,
    "COURSE_RUNS": _runs,
}


def check() -> None:
    """All of them, before anything is begun.

    Raises:
        CourseError: one holds what makes no sense; the values that exist are named.
    """
    for look in CHECKS.values():
        look()
