"""Which of a person's files is the unit's notebook: told by what is in it, whatever its name."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from course_utils.cli.handin import MOST_BYTES, parse_notebook
from course_utils.cli.handin.cells import Template, identify, marks_of
from course_utils.system.errors import CourseError

from .names import folded
from .shapes import CANVAS, Place

OF_THE_UNIT, UNKNOWN, DAMAGED, OF_ANOTHER = 3, 2, 1, 0


@dataclass(frozen=True)
class Handed:
    """One file of a person: its path within what was handed in, and its bytes."""

    place: Place
    path: PurePosixPath
    data: bytes


@dataclass(frozen=True)
class Candidate:
    """A file that may be the notebook: of which kind, how many of the unit's cells it has, and why it is not."""

    file: Handed
    kind: int
    cells: int = 0
    reason: str = ""


def candidates(files: list[Handed], template: Template) -> list[Candidate]:
    """The notebooks among the files."""
    return [found for file in files if (found := examine(file, template)) is not None]


def examine(file: Handed, template: Template) -> Candidate | None:
    """What a file is; None when it is no notebook."""
    named = ".ipynb" in file.path.name.lower()
    if not named and not _looks_like_one(file.data):
        return None
    name = file.path.name
    try:
        notebook = parse_notebook(file.data[: MOST_BYTES + 1], name)
    except CourseError as error:
        return Candidate(file, DAMAGED, reason=str(error)) if named else None
    try:
        return Candidate(file, OF_THE_UNIT, len(identify(notebook, template, name).found))
    except CourseError as error:
        here = {marks_of(cell).get("grade_id") for cell in notebook.cells}
        other = any(here & set(names) for names in template.others.values())
        if not other and not named:
            return None
        return Candidate(file, OF_ANOTHER if other else UNKNOWN, reason=str(error))


def _looks_like_one(data: bytes) -> bool:
    """Whether a file of any name begins as a notebook does, in whichever encoding."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data[: MOST_BYTES + 1].decode("utf-16", "replace").encode()
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"{") and b'"cells"' in data


def choose(found: list[Candidate], unit: str) -> Candidate | None:
    """The unit's notebook: of those that have most of its cells the newest by the platform's marks, then by name.

    Where none has any, one that is empty or damaged stands for what was handed in: grading says what is wrong with it.
    """
    best = max((candidate.kind for candidate in found), default=OF_ANOTHER)
    if best == OF_ANOTHER:
        return None
    left = [candidate for candidate in found if candidate.kind == best]
    most = max(candidate.cells for candidate in left)
    left = [candidate for candidate in left if candidate.cells * 2 >= most]
    return max(left, key=lambda candidate: _rank(candidate, unit))


def _rank(candidate: Candidate, unit: str) -> tuple:
    place, path = candidate.file.place, candidate.file.path
    stem = folded(path.name.split(".ipynb")[0])
    again = re.fullmatch(r"(.+?)-\d{1,3}", stem, re.S)
    if place.platform == CANVAS:
        named = folded(unit) in (stem, again[1] if again else "")
        return named, candidate.cells, place.order, -len(path.parts), path.as_posix()
    return place.order, stem == folded(unit), candidate.cells, stem.startswith(folded(unit)), -len(path.parts), stem
