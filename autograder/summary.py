"""How a class did, as tables: points, and why they were lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass

from .grades_file import MARKED, NEEDS_MARKING, TROUBLE, Grade, number

_BAR_EM = 8  # width of a bar that stands for all points

Place = tuple[str, str, str]  # unit, student, exercise


@dataclass(frozen=True)
class Cell:
    """What stands in a table where it is more than text: a bar of ``bar`` em before it, or emphasis."""

    text: str
    bar: float | None = None
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table of a page; an empty text is an empty cell."""

    caption: str
    header: list[str]
    rows: Sequence[Sequence[str | Cell]]


@dataclass(frozen=True)
class Summary:
    """A sentence about the class, and its tables."""

    intro: str
    tables: list[Table]


def summarise(grades: list[Grade], explained: Set[Place] = frozenset()) -> Summary:
    """Progress, points of students, points of exercises, and reasons for lost points other than those ``explained`` by
    a misconception."""
    students = len({grade.student for grade in grades})
    waiting = sum(grade.status == NEEDS_MARKING for grade in grades)
    units = len({grade.unit for grade in grades})
    intro = f"{students} students, {units} unit{'s' * (units != 1)}; {waiting} written answers wait to be marked."
    return Summary(intro, [_students(grades), _exercises(grades), _failures(grades, explained)])


def _students(grades: list[Grade]) -> Table:
    """Points per student and unit; what waits for marking is said, not counted."""
    units = sorted({grade.unit for grade in grades})
    rows = []
    for student in sorted({grade.student for grade in grades}):
        cells: list[str | Cell] = [student]
        for unit in units:
            own = [grade for grade in grades if (grade.student, grade.unit) == (student, unit)]
            waiting = sum(grade.max_score for grade in own if grade.status == NEEDS_MARKING)
            earned, most = sum(grade.score or 0 for grade in own), sum(grade.max_score for grade in own)
            text = f"{number(earned)} of {number(most)}"
            cells.append(text + (f" ({number(waiting)} to be marked)" if waiting else ""))
        rows.append(cells)
    return Table("Points of each student", ["student", *units], rows)


def _exercises(grades: list[Grade]) -> Table:
    """For each exercise how many have all, some or no points, and the mean."""
    rows = []
    by_exercise = defaultdict(list)
    for grade in grades:
        by_exercise[grade.unit, grade.exercise].append(grade)
    for (unit, exercise), own in sorted(by_exercise.items()):
        known = [(grade.score, grade.max_score) for grade in own if grade.score is not None]
        full = sum(score >= most for score, most in known)
        none = sum(score == 0 for score, _ in known)
        share = sum(score for score, _ in known) / (sum(most for _, most in known) or 1)
        rows.append(
            [
                unit,
                exercise,
                str(full),
                str(len(known) - full - none),
                str(none),
                str(len(own) - len(known)),
                Cell(f"{share:.0%}", bar=share * _BAR_EM) if len(known) == len(own) else "",
            ]
        )
    header = ["unit", "exercise", "all points", "some", "none", "not known yet", "mean"]
    return Table("Points of each exercise", header, rows)


def _failures(grades: list[Grade], explained: Set[Place]) -> Table:
    """Every other reason for lost points, most frequent first, a row for each; whose notebook could not be graded
    stands with the students in trouble."""
    who: dict[str, set[str]] = defaultdict(set)
    where: dict[str, set[str]] = defaultdict(set)
    for grade in grades:
        lost = grade.score is None or grade.score < grade.max_score
        elsewhere = grade.status in TROUBLE or (grade.unit, grade.student, grade.exercise) in explained
        if lost and grade.reason not in ("", MARKED) and not elsewhere:
            who[grade.reason].add(grade.student)
            where[grade.reason].add(grade.exercise)
    rows = [
        [str(len(who[reason])), ", ".join(sorted(where[reason])), reason]
        for reason in sorted(who, key=lambda reason: (-len(who[reason]), reason))
    ]
    return Table("Other reasons for lost points", ["students", "exercises", "reason"], rows)
