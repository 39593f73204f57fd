"""Which tests are slow, in which way, and in what order two workers take them.

`MARKS` is the one table: a test file, or one test of it, with its mark and the processor seconds that it takes. What is
not listed is quick and runs in every lane. `course test --quick` leaves out whatever bears a mark. pyproject.toml
says what the marks mean; conftest.py gives them.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Slow(NamedTuple):
    """The mark of a file or test, and its processor seconds, which only have to be right in order of size."""

    mark: str
    seconds: float


MARKS: dict[str, Slow] = {}
NOTEBOOK_SECONDS = 60.0  # of an executed notebook in solutions/, where it is not listed

# Files of which a worker need not take the whole: what is costly to make is shared by the tests whose parameters begin
# with the same word, up to a hyphen (an exercise, a unit).
SPLIT = ("tests/test_checks_bank.py", "tests/test_real_grading.py")
PARTS = r"[-\[\]]"


def mark_of(node: str) -> str | None:
    """The mark of a test, given as pytest names it; None where it is quick."""
    found = _listed(node)
    return found.mark if found else None


def group_of(node: str) -> str:
    """What one worker runs in one go: a file, as most costly fixtures are made once for a file, or a part of one."""
    file, _, test = node.partition("::")
    return f"{file}[{re.split(PARTS, test + '[')[1]}" if file in SPLIT else file


def turn_of(node: str) -> float:
    """Sort key of a test's group: the longest first, so that neither of two workers is left with one at the end."""
    file = node.partition("::")[0]
    if file.endswith(".ipynb"):
        return -MARKS.get(file, Slow("", NOTEBOOK_SECONDS)).seconds
    return -sum(slow.seconds for name, slow in MARKS.items() if name.partition("::")[0] == file)


def _listed(node: str) -> Slow | None:
    whole = node.partition("[")[0]
    return MARKS.get(node) or MARKS.get(whole) or MARKS.get(node.partition("::")[0])
