"""Tables of misconceptions: a row says in a sentence what a formula gets wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from ..engine.score import Cause
from ..engine.verdict import Broken, CallFailed

F = TypeVar("F", bound=Callable)


def causes(where: str, rows: Iterable[tuple[str, str, F]]) -> list[tuple[Cause, F]]:
    """Rows of (id, sentence, formula) as pairs of Cause and formula; ``where`` is where students should look."""
    return [(Cause(id, sentence, where), formula) for id, sentence, formula in rows]


def holds(law: Callable, *arguments: object) -> bool:
    """Whether a law, or a part of one, holds."""
    try:
        law(*arguments)
    except (Broken, CallFailed):
        return False
    return True
