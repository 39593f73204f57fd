"""How implementations are entered into the bank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One implementation: what it is called, what it stands for, the cause that should be named, and why it may get
    several scores, where it does (wrong ones only)."""

    name: str
    about: str
    function: Any
    cause: str | None = None
    varies: str = ""


@dataclass
class Bank:
    """The implementations of one exercise."""

    exercise: str
    wrong_ones: list[Entry] = field(default_factory=list)
    right_ones: list[Entry] = field(default_factory=list)

    def wrong(self, about: str, cause: str | None = None, varies: str = "") -> Callable[[Callable], Callable]:
        """Enter a wrong implementation; `cause` is None where no cause can be told from what it does."""

        def enter(function: Callable) -> Callable:
            self.wrong_ones.append(Entry(function.__name__, about, function, cause, varies))
            return function

        return enter

    def right(self, about: str) -> Callable[[Callable], Callable]:
        def enter(function: Callable) -> Callable:
            self.right_ones.append(Entry(getattr(function, "__name__", about), about, function))
            return function

        return enter

    def formula(self, name: str, about: str, function: Callable, cause: str | None = None, varies: str = "") -> None:
        """Enter a wrong implementation given as a lambda."""
        self.wrong_ones.append(Entry(name, about, function, cause, varies))
