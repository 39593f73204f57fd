"""What stands where a student has not written anything yet: the one place that knows these texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NOT_WRITTEN = "not written yet"
ANSWER_STUB = "YOUR ANSWER HERE"
_BLANK = {"", "".join(ANSWER_STUB.split())}
NAME = "@EXERCISE@"  # in the stub of a course: becomes the exercise's name


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
    """True when a written answer says nothing: empty, or the stub as it was, also that of a course read here."""
    return "".join(source.split()) in _BLANK


def _error(name: str) -> str:
    return f'NotImplementedError("{name}: '


@dataclass(frozen=True)
class Stubs:
    """What a course releases in the place of solutions, in its own language, and the marks around a solution."""

    code: str = exercise_stub(NAME)
    answer: str = ANSWER_STUB
    begin: str = "BEGIN SOLUTION"
    end: str = "END SOLUTION"

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Stubs:
        """Those that a configuration of nbgrader names (``c.ClearSolutions``); the course's own where it names none."""
        given, usual = config.get("ClearSolutions", {}), cls()
        code = given.get("code_stub", usual.code)
        _BLANK.add("".join(str(given.get("text_stub", usual.answer)).split()))
        return cls(
            str(code.get("python", usual.code) if isinstance(code, Mapping) else code),
            str(given.get("text_stub", usual.answer)),
            str(given.get("begin_solution_delimeter", usual.begin)),
            str(given.get("end_solution_delimeter", usual.end)),
        )

    def exercise(self, name: str) -> str:
        """The code that stands where ``name`` is to be written."""
        return self.code.replace(NAME, name)

    def usual_marks(self, source: str) -> str:
        """The text of a source cell with the usual marks around its solutions."""
        usual = type(self)()
        for own, other in ((self.begin, usual.begin), (self.end, usual.end)):
            if own and own != other:
                source = source.replace(own, other)
        return source
