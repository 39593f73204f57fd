"""Checks: the laws that each exercise must obey, and the misconceptions that break them.

`engine` runs laws on a candidate and makes a score of what they say; `exercises` holds one module for each exercise;
`shared` what several of them have in common. A module in `exercises` is found by being there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .engine.score import Cause, LawResult, Score

if TYPE_CHECKING:
    from .engine.law import Check

EXERCISES = Path(__file__).parent / "exercises"


class _Checks(Mapping[str, "Check"]):
    """The check of each exercise, by its name; its module is imported when it is asked for."""

    def __init__(self) -> None:
        self._names = sorted(path.stem for path in EXERCISES.glob("*.py") if not path.stem.startswith("_"))

    def __getitem__(self, exercise: str) -> Check:
        if exercise not in self._names:
            raise KeyError(exercise)
        check: Check = import_module(f"{__name__}.exercises.{exercise}").CHECK
        return check

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, exercise: object) -> bool:
        return exercise in self._names  # imports nothing

    def __len__(self) -> int:
        return len(self._names)


CHECKS: Mapping[str, Check] = _Checks()

__all__ = ["CHECKS", "Cause", "Check", "LawResult", "Score"]


def __getattr__(name: str) -> Any:
    """`Check` at its first use: it imports torch, which whoever asks for names or reads a score does not need."""
    if name != "Check":
        raise AttributeError(name)
    from .engine.law import Check

    return Check
