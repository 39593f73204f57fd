"""Writing results into nbgrader's gradebook. Only the process that runs `course grade` does this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.preprocessors import AssignLatePenalties, CheckCellMetadata, SaveAutoGrades

from course_utils.system.tree import notebook_path
from course_utils.system.whole_file import write_whole

from .nbgrader_course import NbGraderCourse
from .preprocessors import RequireVerdict, SettleGrades

SUBMITTED = "submitted"


def save_graded(course: NbGraderCourse, gradebook: Gradebook, unit: str, student: str, notebook: NotebookNode) -> None:
    """Enter a graded notebook, as nbgrader's autograder does, and keep it in autograded/."""
    timestamp = course.directory().get_existing_timestamp(str(course.tree.root / SUBMITTED / student / unit))
    with one_commit(gradebook):
        notebook = _enter(course, gradebook, unit, student, notebook, timestamp)
    path = graded_path(course.tree.root, unit, student)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, nbformat.writes(notebook))


def _enter(
    course: NbGraderCourse, gradebook: Gradebook, unit: str, student: str, notebook: NotebookNode, timestamp: Any
) -> NotebookNode:
    gradebook.update_or_create_student(student)
    submission = gradebook.update_or_create_submission(unit, student, **({"timestamp": timestamp} if timestamp else {}))
    resources = {
        "nbgrader": {"notebook": unit, "assignment": unit, "student": student, "db_url": course.directory().db_url},
        "gradebook": gradebook,
    }
    for step in (RequireVerdict, SaveInOpenGradebook, SettleGrades, CheckCellMetadata):
        notebook, resources = step(parent=course.app).preprocess(notebook, resources)
    if submission.total_seconds_late > 0:
        gradebook.db.really_commit()  # nbgrader's step opens the gradebook for itself
        notebook, resources = AssignLatePenalties(parent=course.app).preprocess(notebook, resources)
    return notebook


@contextmanager
def one_commit(gradebook: Gradebook) -> Iterator[None]:
    """nbgrader commits after every cell, and each commit waits for the disk: here one at the end takes their place."""
    session = gradebook.db
    session.really_commit = session.commit
    session.commit = session.flush
    try:
        yield
        session.really_commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        del session.commit, session.really_commit


class SaveInOpenGradebook(SaveAutoGrades):
    """nbgrader's own step, on a gradebook that is open already: opening it costs more than all the rest."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        place = resources["nbgrader"]
        self.notebook_id, self.assignment_id, self.student_id = place["notebook"], place["assignment"], place["student"]
        self.gradebook = resources["gradebook"]
        for index, cell in enumerate(nb.cells):
            nb.cells[index], resources = self.preprocess_cell(cell, resources, index)
        return nb, resources


def settle(gradebook: Gradebook, cells: list, unit: str, student: str, score: float | None) -> None:
    """Enter the score of each cell of a submission that could not be graded; None when nobody can tell."""
    with one_commit(gradebook):
        gradebook.update_or_create_student(student)
        gradebook.update_or_create_submission(unit, student)
        for cell in cells:
            grade = gradebook.find_grade(cell.name, unit, unit, student)
            grade.auto_score, grade.needs_manual_grade = score, score is None


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
