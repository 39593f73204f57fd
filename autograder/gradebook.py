"""Writing results into nbgrader's gradebook. Only the process that runs `course grade` does this."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.preprocessors import AssignLatePenalties, CheckCellMetadata, SaveAutoGrades

from .nbgrader_course import NbGraderCourse, notebook_path
from .preprocessors import RequireVerdict, SettleGrades

SUBMITTED = "submitted"


def save_graded(course: NbGraderCourse, unit: str, student: str, notebook: NotebookNode) -> None:
    """Enter a graded notebook, as nbgrader's autograder does, and keep it in autograded/."""
    directory = course.directory()
    enter_submission(course, unit, student)
    resources = {
        "nbgrader": {"notebook": unit, "assignment": unit, "student": student, "db_url": directory.db_url},
        "unique_key": unit, "output_files_dir": "",
    }
    for step in (RequireVerdict, SaveAutoGrades, SettleGrades, AssignLatePenalties, CheckCellMetadata):
        notebook, resources = step(parent=course.app).preprocess(notebook, resources)
    path = graded_path(course.tree.root, unit, student)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    temporary.write_text(nbformat.writes(notebook), encoding="utf-8")
    os.replace(temporary, path)


def enter_submission(course: NbGraderCourse, unit: str, student: str) -> None:
    """The student and the submission, with the time at which it was handed in where that is known (timestamp.txt)."""
    timestamp = course.directory().get_existing_timestamp(str(course.tree.root / SUBMITTED / student / unit))
    with course.gradebook() as gradebook:
        gradebook.update_or_create_student(student)
        gradebook.update_or_create_submission(unit, student, **({"timestamp": timestamp} if timestamp else {}))


def settle(gradebook: Gradebook, cell, unit: str, student: str, score: float | None) -> None:
    """Enter the score of a cell of a submission that could not be graded; None when nobody can tell."""
    gradebook.update_or_create_student(student)
    gradebook.update_or_create_submission(unit, student)
    grade = gradebook.find_grade(cell.name, unit, unit, student)
    grade.auto_score, grade.needs_manual_grade = score, score is None
    gradebook.db.commit()


def graded_path(root: Path, unit: str, student: str) -> Path:
    """Where the graded notebook lies."""
    return notebook_path(root / "autograded" / student, unit)


def read_graded(root: Path, unit: str, student: str) -> NotebookNode | None:
    """The graded notebook; None when there is none that can be read."""
    path = graded_path(root, unit, student)
    try:
        return nbformat.read(path, as_version=4) if path.is_file() else None
    except Exception:
        return None
