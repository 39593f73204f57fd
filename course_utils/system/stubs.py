"""What stands where a student has not written anything yet: the one place that knows these texts."""

from __future__ import annotations

NOT_WRITTEN = "not written yet"
ANSWER_STUB = "YOUR ANSWER HERE"


def exercise_stub(name: str) -> str:
    """The code that stands in a released notebook where ``name`` is to be written."""
    return f'# YOUR CODE HERE\nraise {_error(name)}{NOT_WRITTEN}; replace this line with your code")'


def missing_stub(name: str) -> str:
    """The code that stands in a submission from which the cell of ``name`` has gone."""
    return f'raise {_error(name)}this cell was not handed in")'


def names_its_exercise(source: str, name: str) -> bool:
    """True for a cell that raises a NotImplementedError with the exercise's name in it."""
    return _error(name) in source


def is_unwritten(source: str, name: str) -> bool:
    """True while the stub of ``name`` is still there."""
    return f"{_error(name)}{NOT_WRITTEN}" in source


def is_blank(source: str) -> bool:
    """True when a written answer says nothing: empty, or the stub as it was."""
    return "".join(source.split()) in ("", "".join(ANSWER_STUB.split()))


def _error(name: str) -> str:
    return f'NotImplementedError("{name}: '
