"""grades.csv and grades.json: one record per student and graded cell."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from course_utils.cli.handin import safe_text
from course_utils.system.errors import CourseError
from course_utils.system.spreadsheet import rows_of
from course_utils.system.whole_file import write_whole

GRADED, NEEDS_MARKING, REPAIRED = "graded", "needs_marking", "repaired"
TROUBLE = TIMED_OUT, CRASHED, MISSING, UNREADABLE = "timed_out", "crashed", "missing", "unreadable"
MARKED = "marked by hand"  # the reason of a score that a person gave
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Grade:
    """One row. ``score`` is None when it is not known (yet)."""

    student: str
    unit: str
    exercise: str
    score: float | None
    max_score: float
    status: str
    reason: str = ""
    laws: tuple[dict[str, Any], ...] = field(default=(), compare=False)  # id, passed and seed of each; in grades.json

    @property
    def undecided(self) -> bool:
        """True when an automatic score could not be given; a written answer that waits for its marker is not that."""
        return self.score is None and self.status != NEEDS_MARKING


COLUMNS = [field.name for field in fields(Grade) if field.compare]


def replace_unit(root: Path, unit: str, grades: list[Grade], students: set[str] | None = None) -> None:
    """Put the rows of a unit (of ``students``, if given) in place of the old ones, in both files."""
    laws = _read_laws(root / "grades.json")
    kept = [
        replace(grade, laws=laws.get((grade.student, grade.unit, grade.exercise), ()))
        for grade in _former_grades(root)
        if grade.unit != unit or (students is not None and grade.student not in students)
    ]
    write_grades(root, kept + grades)


def enter_marks(root: Path, unit: str, marks: dict[tuple[str, str], float | None]) -> None:
    """Bring marks of written answers, by student and exercise, into the rows that are there; None: not marked yet."""
    path = root / "grades.csv"
    rows = _former_grades(root) if path.is_file() else []
    laws, changed = _read_laws(root / "grades.json"), False
    for place, row in enumerate(rows):
        key = (row.student, row.exercise)
        if row.unit == unit and key in marks:
            score = marks[key]
            status, reason = (NEEDS_MARKING, "") if score is None else (GRADED, MARKED)
            if (row.score, row.status, row.reason) != (score, status, reason):
                rows[place], changed = replace(row, score=score, status=status, reason=reason), True
    if changed:
        write_grades(root, [replace(row, laws=laws.get((row.student, row.unit, row.exercise), ())) for row in rows])


def write_grades(root: Path, grades: list[Grade]) -> None:
    """Write both files, sorted by student, unit and exercise; each is replaced only when its text is complete."""
    grades = sorted(grades, key=lambda grade: (grade.student, grade.unit, grade.exercise))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for grade in grades:
        writer.writerow([escape_formula(_text(getattr(grade, column))) for column in COLUMNS])
    write_whole(root / "grades.csv", safe_text(text.getvalue()))
    records = json.dumps([asdict(grade) for grade in grades], indent=1, ensure_ascii=False)
    write_whole(root / "grades.json", safe_text(records) + "\n")


def _former_grades(root: Path) -> list[Grade]:
    """The rows of grades.csv; where it has become unreadable, those of grades.json, and what was there is kept."""
    path = root / "grades.csv"
    try:
        return read_grades(path)
    except CourseError as error:
        aside = path.with_name(f"grades-{'nbgrader' if _is_export(path) else 'unreadable'}.csv")
        path.replace(aside)
        former = _read_records(root / "grades.json")
        source = "grades.json" if former else "the gradebook, units of this command only: add --all --marks-only"
        print(
            f"course: note: {error} It is made anew from {source}; what was there is now {aside.name}.", file=sys.stderr
        )
        return former


def _is_export(path: Path) -> bool:
    """Whether `nbgrader export` has written its table there."""
    return path.read_bytes()[:1000].split(b"\n")[0].startswith(b"assignment,duedate,")


def present_grades(root: Path) -> list[Grade]:
    """The rows of grades.csv, which is made anew from grades.json where something else was written over it."""
    try:
        return read_grades(root / "grades.csv")
    except CourseError:
        if not (former := _read_records(root / "grades.json")):
            raise
        _former_grades(root)
        write_grades(root, [replace(grade, laws=laws) for grade, laws in _with_laws(root, former)])
        return former


def _with_laws(root: Path, grades: list[Grade]) -> list[tuple[Grade, tuple[dict[str, Any], ...]]]:
    laws = _read_laws(root / "grades.json")
    return [(grade, laws.get((grade.student, grade.unit, grade.exercise), ())) for grade in grades]


def _read_records(path: Path) -> list[Grade]:
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        return [Grade(**{column: record[column] for column in COLUMNS}) for record in records]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def read_grades(path: Path) -> list[Grade]:
    """The rows of a grades.csv, also of one that a spreadsheet program has saved; an empty list when there is none.

    Raises CourseError that names the file when it cannot be understood.
    """
    if not path.is_file():
        return []
    try:
        header, *lines = rows_of(path.read_bytes())
        places = {name.strip().lower(): place for place, name in enumerate(header)}
        if missing := [column for column in COLUMNS if column not in places]:
            raise ValueError(f"no column {', '.join(missing)}")
        return [_grade({column: line[places[column]] for column in COLUMNS}) for line in lines]
    except (KeyError, IndexError, ValueError, csv.Error) as error:
        raise CourseError(
            f"{path.name} cannot be read ({type(error).__name__}: {error}); was it saved by a spreadsheet program? "
            "`course grade --all --marks-only` makes it anew."
        ) from None


def _grade(row: dict[str, str]) -> Grade:
    return Grade(
        student=_unescape(row["student"]),
        unit=_unescape(row["unit"]),
        exercise=_unescape(row["exercise"]),
        score=_number(row["score"]) if row["score"].strip() else None,
        max_score=_number(row["max_score"]),
        status=row["status"].strip(),
        reason=_unescape(row["reason"]),
    )


def _number(text: str) -> float:
    """A number with a point or, as some countries have it, a comma."""
    value = float(text.strip().replace(",", "."))
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no number of points")
    return value


def _read_laws(path: Path) -> dict[tuple[str, str, str], tuple[dict[str, Any], ...]]:
    """The laws of each row of a grades.json; grades.csv, which decides about the rest, has no place for them."""
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        return {(r["student"], r["unit"], r["exercise"]): tuple(r["laws"]) for r in records if r.get("laws")}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def number(value: float | None) -> str:
    """A score as text: at most two decimals, empty when unknown."""
    return "" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def _text(value: str | float | None) -> str:
    return value if isinstance(value, str) else number(value)


def escape_formula(text: str) -> str:
    """Keep spreadsheets from taking a cell for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _unescape(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA_STARTS) else text
