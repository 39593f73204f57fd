"""What stands where a student has not written anything yet: the one place that knows these texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NOT_WRITTEN = "not written yet"
ANSWER_STUB = "YOUR ANSWER HERE"
_BLANK = {"", "".join(ANSWER_STUB.split())}
REGIONS = ("SOLUTION", "MARK SCHEME", "HIDDEN TESTS")  # what students do not get, by the words of its marks
DELIMITERS = (  # where nbgrader's settings name the marks (and spell them so)
    ("ClearSolutions", "begin_solution_delimeter", "end_solution_delimeter"),
    ("ClearMarkScheme", "begin_mark_scheme_delimeter", "end_mark_scheme_delimeter"),
    ("ClearHiddenTests", "begin_test_delimeter", "end_test_delimeter"),
)
Pairs = tuple[tuple[str, str], ...]
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
    """What a course releases in the place of solutions, in its own language, and the marks around what students do not
    get: the lines with which each of ``REGIONS`` begins and ends hold them."""

    code: str = exercise_stub(NAME)
    answer: str = ANSWER_STUB
    marks: Pairs = tuple((f"BEGIN {what}", f"END {what}") for what in REGIONS)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Stubs:
        """Those that a configuration of nbgrader names (``c.ClearSolutions``); the course's own where it names none."""
        given, usual = config.get("ClearSolutions", {}), cls()
        code = given.get("code_stub", usual.code)
        _BLANK.add("".join(str(given.get("text_stub", usual.answer)).split()))
        marks = [
            tuple(str(config.get(section, {}).get(name, mark)) for name, mark in zip(names, pair, strict=True))
            for (section, *names), pair in zip(DELIMITERS, usual.marks, strict=True)
        ]
        return cls(
            str(code.get("python", usual.code) if isinstance(code, Mapping) else code),
            str(given.get("text_stub", usual.answer)),
            tuple((begin, end) for begin, end in marks),
        )

    def exercise(self, name: str) -> str:
        """The code that stands where ``name`` is to be written."""
        return self.code.replace(NAME, name)

    def usual_marks(self, source: str) -> str:
        """The text of a source cell with the usual marks (``BEGIN SOLUTION`` and the like) around its regions."""
        return self._with_marks(source, self.marks, Stubs().marks)

    def own_marks(self, source: str) -> str:
        """The text of a cell that has the usual marks with this course's."""
        return self._with_marks(source, Stubs().marks, self.marks)

    @staticmethod
    def _with_marks(source: str, old: Pairs, new: Pairs) -> str:
        if old == new:
            return source
        lines, ends = [], ("", "")  # the mark that ends the region, and what it becomes
        for line in source.split("\n"):
            indent = line[: len(line) - len(line.lstrip())]
            if not ends[0]:
                opened = next((pair for pair in zip(old, new, strict=True) if pair[0][0] in line), None)
                if opened is not None:
                    line, ends = f"{indent}### {opened[1][0]}", (opened[0][1], opened[1][1])
            elif ends[0] in line:
                line, ends = f"{indent}### {ends[1]}", ("", "")
            lines.append(line)
        return "\n".join(lines)
