"""A bank of wrong and right implementations of every exercise, to judge the checks by.

One module for each exercise, of its name, with its `BANK`; it is found by being there. Each wrong implementation
carries the misconception that it stands for and the id of the cause that the check should name, or None where it should
name none.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from .entries import Bank, Entry


def exercises() -> list[str]:
    """The exercises that have a bank."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "entries"))


def load(exercise: str) -> Bank:
    """The bank of one exercise."""
    bank: Bank = import_module(f"{__name__}.{exercise}").BANK
    return bank


__all__ = ["Bank", "Entry", "exercises", "load"]
