"""Writing results into nbgrader's gradebook. Only the process that runs `course grade` does this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Grade, Gradebook, MissingEntry, SubmittedAssignment
from nbgrader.preprocessors import AssignLatePenalties, CheckCellMetadata, SaveAutoGrades

from course_utils.cli.handin import exercise_name, safe_time
from course_utils.system.tree import Tree, notebook_path
from course_utils.system.whole_file import write_whole

from .configuration import own_steps
from .examiner.settings import RECORD
from .nbgrader_course import NbGraderCourse
from .preprocessors import is_answer
from .submissions import TIMESTAMP, read_plain
from .template import TEST, Template
from .withdraw import settle_withdrawn


def save_graded(
    course: NbGraderCourse, gradebook: Gradebook, unit: str, student: str, notebook: NotebookNode, name: str
) -> None:
    """Enter the graded notebook ``name`` of a unit, as nbgrader's autograder does, and keep it in autograded/."""
    with one_commit(gradebook):
        notebook = _enter(course, gradebook, unit, student, notebook, name)
    path = graded_path(course.tree.root, unit, student, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, nbformat.writes(notebook))


def _enter(
    course: NbGraderCourse, gradebook: Gradebook, unit: str, student: str, notebook: NotebookNode, name: str
) -> NotebookNode:
    gradebook.update_or_create_student(student)
    submission = gradebook.update_or_create_submission(unit, student)
    marked = [grade for grade in _grades(gradebook, unit, student, name) if grade.manual_score is not None]
    waiting = {grade.name: bool(grade.needs_manual_grade) for grade in marked}
    resources = {
        "nbgrader": {"notebook": name, "assignment": unit, "student": student, "db_url": course.directory().db_url},
        "gradebook": gradebook,
    }
    _, steps = own_steps(course.app.config)
    for step in (
        *(SaveInOpenGradebook if issubclass(step, SaveAutoGrades) else step for step in steps),
        CheckCellMetadata,
    ):
        notebook, resources = step(parent=course.app).preprocess(notebook, resources)
    if marked:
        _keep_marks(marked, waiting, notebook, read_graded(course.tree.root, unit, student, name))
    settle_withdrawn(course.tree.root, gradebook, gradebook.find_submission_notebook(name, unit, student), fresh=True)
    _set_penalty(course, gradebook, unit, student, submission)
    return notebook


def _keep_marks(
    marked: list[Grade], waiting: dict[str, bool], notebook: NotebookNode, previous: NotebookNode | None
) -> None:
    """A mark stands as it is where what was marked has not changed; where it has, the text that was marked is kept.

    nbgrader lets every mark wait to be confirmed after a regrade.
    """
    if previous is None:
        return
    now, before = _by_grade_id(notebook), _by_grade_id(previous)
    for grade in marked:
        cell, old = now.get(grade.name), before.get(grade.name)
        if cell is None or old is None:
            continue
        text = _marked_text(now, grade.name)
        was = old.metadata.get(RECORD, {}).get("marked") if waiting[grade.name] else None
        was = _marked_text(before, grade.name) if was is None else was
        if text.strip() == was.strip():
            grade.needs_manual_grade = False
        else:
            grade.needs_manual_grade = True
            cell.metadata[RECORD] = {**cell.metadata.get(RECORD, {}), "marked": was}


def _by_grade_id(notebook: NotebookNode) -> dict[str, NotebookNode]:
    return {cell.metadata.nbgrader.get("grade_id"): cell for cell in notebook.cells if "nbgrader" in cell.metadata}


def _marked_text(cells: dict[str, NotebookNode], name: str) -> str:
    """What a mark is for: the answer, or the exercise that a test is about."""
    cell = cells[name] if is_answer(cells[name]) else cells.get(exercise_name(name), cells[name])
    return str(cell.source)


def changed_since_marked(cell: NotebookNode | None) -> tuple[str, str] | None:
    """The text that was marked and the one that was handed in since, where they differ."""
    if cell is None:
        return None
    was = cell.metadata.get(RECORD, {}).get("marked")
    return None if was is None else (was, cell.source)


def update_unchanged(course: NbGraderCourse, gradebook: Gradebook, unit: str, student: str) -> None:
    """Follow, for a submission that is not graded again, a time that was corrected, a due date that was moved, and
    marks for what is withdrawn."""
    try:
        submission = gradebook.find_submission(unit, student)
    except MissingEntry:
        return
    for notebook in submission.notebooks:
        settle_withdrawn(course.tree.root, gradebook, notebook, fresh=False)
    _set_penalty(course, gradebook, unit, student, submission)
    if gradebook.db.dirty:
        gradebook.db.commit()


def _set_penalty(
    course: NbGraderCourse, gradebook: Gradebook, unit: str, student: str, submission: SubmittedAssignment
) -> None:
    """What nbgrader's step does (`AssignLatePenalties`), in the open gradebook and in both directions."""
    folder = course.tree.folder("submitted") / student / unit
    if not folder.is_dir():  # moved away: what was known when it was graded stays
        return
    timestamp = read_timestamp(folder)
    if submission.timestamp != timestamp:
        submission.timestamp = timestamp
    gradebook.db.flush()
    late = submission.total_seconds_late
    for notebook in submission.notebooks:
        penalty = None
        if late > 0:
            step = AssignLatePenalties(parent=course.app)
            step.init_plugin()
            penalty = step.plugin_inst.late_submission_penalty(student, notebook.score, late)
            penalty = None if penalty is None else step._check_late_penalty(notebook, penalty)
        if notebook.late_submission_penalty != penalty:
            notebook.late_submission_penalty = penalty


def read_timestamp(folder: Path) -> Any:
    """The time in timestamp.txt, as nbgrader has it; None where there is none that can be read."""
    try:
        return safe_time(read_plain(folder / TIMESTAMP))
    except OSError:
        return None


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


def settle(gradebook: Gradebook, cells: list, unit: str, student: str, name: str, score: float | None) -> None:
    """Enter the score of each cell of a notebook that could not be graded; None when nobody can tell."""
    with one_commit(gradebook):
        gradebook.update_or_create_student(student)
        gradebook.update_or_create_submission(unit, student)
        for cell in cells:
            grade = gradebook.find_grade(cell.name, name, unit, student)
            grade.auto_score, grade.needs_manual_grade = score, score is None


def _grades(gradebook: Gradebook, unit: str, student: str, name: str) -> list[Grade]:
    try:
        return list(gradebook.find_submission_notebook(name, unit, student).grades)
    except MissingEntry:
        return []


def knows(gradebook: Gradebook, unit: str, student: str, name: str, template: Template | None = None) -> bool:
    """Whether there are grades of this notebook; with ``template``: whether every automatic one is decided."""
    grades = {grade.name: grade for grade in _grades(gradebook, unit, student, name)}
    if template is None:
        return bool(grades)
    tests = [name for name, cell in template.marked.items() if cell.kind == TEST]
    return bool(grades) and all(
        name in grades and (grades[name].auto_score is not None or grades[name].manual_score is not None)
        for name in tests
    )


def forget_key(root: Path, unit: str, student: str, name: str) -> None:
    """The graded notebook is no longer what the gradebook holds: whatever is handed in next is graded."""
    notebook = read_graded(root, unit, student, name)
    if notebook is not None and notebook.metadata.get(RECORD, {}).pop("key", None):
        write_whole(graded_path(root, unit, student, name), nbformat.writes(notebook))


def graded_path(root: Path, unit: str, student: str, name: str = "") -> Path:
    """Where the graded notebook lies; of several the one named."""
    return notebook_path(Tree(root).folder("autograded") / student, unit, name)


def read_graded(root: Path, unit: str, student: str, name: str = "") -> NotebookNode | None:
    """The graded notebook, of several the one named; None when there is none that can be read."""
    path = graded_path(root, unit, student, name)
    try:
        return nbformat.read(path, as_version=4) if path.is_file() else None
    except Exception:
        return None
