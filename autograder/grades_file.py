"""grades.csv and grades.json: one record per student and graded cell."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from course_utils.system.whole_file import write_whole

GRADED, NEEDS_MARKING, REPAIRED = "graded", "needs_marking", "repaired"
TIMED_OUT, CRASHED, MISSING, UNREADABLE = "timed_out", "crashed", "missing", "unreadable"
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
        for grade in read_grades(root / "grades.csv")
        if grade.unit != unit or (students is not None and grade.student not in students)
    ]
    write_grades(root, kept + grades)


def write_grades(root: Path, grades: list[Grade]) -> None:
    """Write both files, sorted by student, unit and exercise; each is replaced only when its text is complete."""
    grades = sorted(grades, key=lambda grade: (grade.student, grade.unit, grade.exercise))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for grade in grades:
        writer.writerow([escape_formula(_text(getattr(grade, column))) for column in COLUMNS])
    write_whole(root / "grades.csv", text.getvalue())
    write_whole(
        root / "grades.json", json.dumps([asdict(grade) for grade in grades], indent=1, ensure_ascii=False) + "\n"
    )


def read_grades(path: Path) -> list[Grade]:
    """The rows of a grades.csv; an empty list when there is none."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        return [
            Grade(
                student=_unescape(row["student"]),
                unit=_unescape(row["unit"]),
                exercise=_unescape(row["exercise"]),
                score=float(row["score"]) if row["score"] else None,
                max_score=float(row["max_score"]),
                status=row["status"],
                reason=_unescape(row["reason"]),
            )
            for row in csv.DictReader(lines)
        ]


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
