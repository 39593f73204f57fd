"""An exercise that is withdrawn in mid-term: everybody who handed in has its points, or it counts for nobody.

nbgrader's extra credit makes up the difference to what was scored, so that marks, comments and automatic scores stay as
they are and are there again when it is undone. ``.withdrawn.json`` says what is withdrawn and why.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbgrader.api import Grade, Gradebook, MissingEntry, SubmittedNotebook

from course_utils.cli.handin import templates_of
from course_utils.cli.handin.cells import labels_of
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import Tree
from course_utils.system.whole_file import write_whole

from .changes import note
from .nbgrader_course import NbGraderCourse

FILE = ".withdrawn.json"
FULL, NONE = "full", "none"


@dataclass(frozen=True)
class Withdrawn:
    """One graded cell that is withdrawn: with ``points`` full or none."""

    unit: str
    notebook: str
    grade_id: str
    points: str
    why: str

    @property
    def reason(self) -> str:
        """What everybody is told."""
        return f"withdrawn, {'all have its points' if self.points == FULL else 'not counted'}: {self.why}"


def read_withdrawn(root: Path, unit: str) -> dict[tuple[str, str], Withdrawn]:
    """What is withdrawn of a unit, by notebook and grade id."""
    entries = [Withdrawn(**entry["cell"]) for entry in _read(root) if entry["cell"]["unit"] == unit]
    return {(entry.notebook, entry.grade_id): entry for entry in entries}


def withdraw(tree: Tree, unit: str, exercise: str, points: str, why: str) -> Withdrawn:
    """Withdraw an exercise or a question, by its name in grades.csv. Raises WrongUsage when there is none."""
    if not why.strip():
        raise WrongUsage("say why: --why 'the check was wrong'. Students read it.")
    name, grade_id = _find(tree, unit, exercise)
    if (name, grade_id) in read_withdrawn(tree.root, unit):
        raise CourseError(f"{exercise} of {unit} is withdrawn already. To change that, --undo it first.")
    entry = Withdrawn(unit, name, grade_id, points, " ".join(why.split()))
    _write(tree.root, [*_read(tree.root), {"cell": vars(entry), "before": {}, "when": _now()}])
    with NbGraderCourse(tree).gradebook() as gradebook:
        for notebook in _submitted(gradebook, entry):
            settle_withdrawn(tree.root, gradebook, notebook, fresh=True)
        limit_points(tree.root, gradebook, unit)
    note(tree, unit, f"{exercise} was {entry.reason.split(':')[0]}", entry.why)
    return entry


def reinstate(tree: Tree, unit: str, exercise: str, why: str = "") -> None:
    """Undo a withdrawal: scores, marks and what waited to be marked are as they were."""
    name, grade_id = _find(tree, unit, exercise)
    entry = read_withdrawn(tree.root, unit).get((name, grade_id))
    if entry is None:
        raise WrongUsage(f"{exercise} of {unit} is not withdrawn.")
    kept = [record for record in _read(tree.root) if record["cell"] != vars(entry)]
    (record,) = [record for record in _read(tree.root) if record["cell"] == vars(entry)]
    most = {cell.grade_id: cell.points for cell in templates_of(tree, unit)[name].cells}
    with NbGraderCourse(tree).gradebook() as gradebook:
        for notebook in _submitted(gradebook, entry):
            before = record["before"].get(notebook.student.id)
            for grade in notebook.grades:
                if grade.name == grade_id and before is not None:
                    grade.extra_credit, grade.auto_score = before["extra_credit"], before["auto_score"]
                    grade.needs_manual_grade = before["needs_manual_grade"]
        for cell in _cells(gradebook, entry):
            cell.max_score = most[grade_id]
        gradebook.db.commit()
    _write(tree.root, kept)
    note(tree, unit, f"{exercise} counts again", why)


def settle_withdrawn(root: Path, gradebook: Gradebook, notebook: SubmittedNotebook, fresh: bool) -> None:
    """Give a submitted notebook the points of what is withdrawn. ``fresh``: its scores are as grading has just left
    them; else only marks may have come since."""
    records, changed = _read(root), False
    for record in records:
        entry = Withdrawn(**record["cell"])
        if (entry.unit, entry.notebook) != (notebook.assignment.assignment.name, notebook.name):
            continue
        for grade in notebook.grades:
            if grade.name == entry.grade_id:
                before, student = record["before"], notebook.student.id
                kept = before.get(student)
                if fresh or kept is None:
                    before[student] = kept = {
                        "extra_credit": kept["extra_credit"] if kept else grade.extra_credit,
                        "auto_score": grade.auto_score,
                        "needs_manual_grade": grade.needs_manual_grade,
                    }
                    changed = True
                _settle(grade, entry)
    if changed:
        _write(root, records)


def _settle(grade: Grade, entry: Withdrawn) -> None:
    """Fill up to all points, or take all away."""
    auto = grade.auto_score or 0.0
    scored = grade.manual_score if grade.manual_score is not None else auto
    most = float(grade.cell.max_score) if entry.points == FULL else 0.0
    for name, value in (("auto_score", auto), ("extra_credit", most - scored), ("needs_manual_grade", False)):
        if getattr(grade, name) != value:
            setattr(grade, name, value)


def limit_points(root: Path, gradebook: Gradebook, unit: str) -> None:
    """Let what is withdrawn without points be worth none in the gradebook."""
    for entry in read_withdrawn(root, unit).values():
        for cell in _cells(gradebook, entry):
            if entry.points == NONE:
                cell.max_score = 0.0
    gradebook.db.commit()


def _cells(gradebook: Gradebook, entry: Withdrawn) -> list[Any]:
    try:
        of = gradebook.find_notebook(entry.notebook, entry.unit)
    except MissingEntry:
        return []
    return [cell for cell in [*of.grade_cells, *of.task_cells] if cell.name == entry.grade_id]


def _submitted(gradebook: Gradebook, entry: Withdrawn) -> list[SubmittedNotebook]:
    try:
        return list(gradebook.find_notebook(entry.notebook, entry.unit).submissions)
    except MissingEntry:
        return []


def _find(tree: Tree, unit: str, exercise: str) -> tuple[str, str]:
    labels = {label: place for place, label in labels_of(templates_of(tree, unit)).items()}
    known = labels | {grade_id: (name, grade_id) for name, grade_id in labels.values()}
    if exercise not in known:
        raise WrongUsage(f"{unit} has no exercise or question {exercise!r}; it has {', '.join(labels)}.")
    return known[exercise]


def _read(root: Path) -> list[dict[str, Any]]:
    path = root / FILE
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise CourseError(f"{path.name} cannot be read ({error}). Restore it from your backup.") from error


def _write(root: Path, records: list[dict[str, Any]]) -> None:
    write_whole(root / FILE, json.dumps(records, indent=1, ensure_ascii=False) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
