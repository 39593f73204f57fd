"""Trainings of this kernel that ended early: while there is one, whatever is shown says so.

What a notebook draws and tabulates comes of its trainings in ways that nobody can follow from outside. So the note is
on everything that is shown until the training is made to its end, or another kernel starts.
"""

from __future__ import annotations

from collections.abc import Hashable

_FOUND: dict[Hashable, str] = {}


def mark(key: Hashable, what: str) -> None:
    """The training ``key`` ended early; ``what`` says which and where, such as "vae, in epoch 1 of 6"."""
    _FOUND[key] = what


def clear(key: Hashable) -> None:
    """The training ``key`` was made to its end."""
    _FOUND.pop(key, None)


def note() -> str:
    """A sentence that names the trainings that ended early; the empty string where none did."""
    return f"Trained only in part: {'; '.join(_FOUND.values())}." if _FOUND else ""
