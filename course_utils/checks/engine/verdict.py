"""How a law speaks: it returns when it holds and raises `Broken` when it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .score import Cause


class Broken(Exception):
    """A law does not hold: what was expected, what came, and the cause where the law itself knows it."""

    def __init__(self, expected: str, got: str, cause: Cause | None = None) -> None:
        super().__init__(f"expected {expected}; got {got}")
        self.expected, self.got, self.cause = expected, got, cause


class CallFailed(Exception):
    """The student's code did not return: it raised (kind 'raised' or 'stub'), was too slow, or cannot be called."""

    def __init__(self, kind: str, message: str, cause: Cause | None = None) -> None:
        super().__init__(message)
        self.kind, self.message, self.cause = kind, message, cause


def counted(number: int, thing: str) -> str:
    """A number of things: "1 code", "7 codes"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


@contextmanager
def blame(cause: Cause | Callable[[], Cause | None] | None) -> Iterator[None]:
    """What breaks inside without naming a cause breaks because of ``cause``, or of what ``cause()`` finds."""
    try:
        yield
    except Broken as broken:
        if broken.cause is None:
            broken.cause = cause() if callable(cause) else cause
        raise
