"""Grading: every submission of a unit through nbgrader, then one row per student and graded cell.

A submission that cannot be graded gets its zeros with a reason and never stops the others. The rows are always read
back from nbgrader's gradebook, so that marks given in formgrader count.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde

from course_utils.errors import CourseError, WrongUsage
from course_utils.handin import course_cells, exercise_name, read_notebook, require_unit
from course_utils.tree import Tree

from .grades_file import CRASHED, GRADED, MISSING, NEEDS_MARKING, UNREADABLE, Grade, replace_unit
from .nbgrader_course import NbGraderCourse, notebook_path
from .reasons import explain_cell
from .release import register_unit

Problem = tuple[str, str]  # status, reason


def grade_unit(
    tree: Tree, unit: str, student: str | None = None, run: bool = True, debug: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Grade]:
    """Grade one unit for every student (or one) and update the gradebook, grades.csv and grades.json.

    With ``run=False`` nothing is executed: the marks of the gradebook are written out again. Returns the rows.
    """
    register_unit(tree, unit)
    grades = grade_submissions(tree, unit, student=student, run=run, debug=debug, progress=progress)
    replace_unit(tree.root, unit, grades, students={student} if student else None)
    return grades


def grade_submissions(
    tree: Tree, unit: str, student: str | None = None, run: bool = True, debug: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Grade]:
    """Grade the submissions of a registered unit into the gradebook, one after the other; returns their rows."""
    course = NbGraderCourse(tree, debug=debug)
    students = [student] if student else all_students(tree, course)
    if student and not (tree.root / "submitted" / student).is_dir():
        known = _listed(all_students(tree, course))
        raise WrongUsage(f"there is no submission folder submitted/{student}. Students: {known}.")
    units = course_cells(tree)
    grades: list[Grade] = []
    for position, name in enumerate(students, start=1):
        problem = find_problem(tree, unit, name, units)
        if run and problem is None:
            problem = autograde(course, unit, name)
        rows = student_rows(course, unit, name, problem)
        points, most = sum(row.score or 0 for row in rows), sum(row.max_score for row in rows)
        note = f" ({problem[1]})" if problem else ""
        progress(f"[{position}/{len(students)}] {name}: {points:g} of {most:g} points{note}")
        grades += rows
    return grades


def all_students(tree: Tree, course: NbGraderCourse) -> list[str]:
    """Everybody who has a folder in submitted/ or is entered in the gradebook."""
    folder = tree.root / "submitted"
    folders = folder.iterdir() if folder.is_dir() else ()
    found = {path.name for path in folders if path.is_dir() and not path.name.startswith(".")}
    with course.gradebook() as gradebook:
        found |= {student.id for student in gradebook.students}
    return sorted(found)


def find_problem(tree: Tree, unit: str, student: str, units: dict[str, dict[str, float]]) -> Problem | None:
    """Why a submission cannot be graded at all, or None."""
    path = notebook_path(tree.root / "submitted" / student, unit)
    if not path.is_file():
        others = sorted(other.name for other in path.parent.glob("*.ipynb")) if path.parent.is_dir() else []
        found = f"; found instead: {', '.join(others)}" if others else ""
        return MISSING, f"no {unit}/{path.name} was handed in{found}"
    try:
        require_unit(read_notebook(path), unit, units, path.name)
    except (CourseError, OSError) as error:
        return UNREADABLE, str(error)
    return None


def autograde(course: NbGraderCourse, unit: str, student: str) -> Problem | None:
    """Run one submission through nbgrader's autograder; the problem, if it could not."""
    try:
        course.convert(Autograde, unit, student=student)
    except CourseError as error:
        return CRASHED, str(error)
    return None


def student_rows(course: NbGraderCourse, unit: str, student: str, problem: Problem | None) -> list[Grade]:
    """The rows of one student, from the gradebook and the autograded notebook."""
    with course.gradebook() as gradebook:
        cells = sorted(gradebook.find_notebook(unit, unit).grade_cells, key=lambda cell: cell.name)
        if problem is not None:
            return [_settle(gradebook, cell, unit, student, problem) for cell in cells]
        notebook = _graded_notebook(course.tree.root, unit, student)
        return [_row(gradebook, cell, unit, student, notebook) for cell in cells]


def _settle(gradebook: Gradebook, cell, unit: str, student: str, problem: Problem) -> Grade:
    """Enter a cell of a submission that could not be graded: 0, or unknown where the fault may be ours."""
    status, reason = problem
    score = None if status == CRASHED else 0.0
    if status != MISSING:
        gradebook.update_or_create_student(student)
        gradebook.update_or_create_submission(unit, student)
        grade = gradebook.find_grade(cell.name, unit, unit, student)
        grade.auto_score, grade.needs_manual_grade = score, score is None
        gradebook.db.commit()
    return Grade(student, unit, exercise_name(cell.name), score, cell.max_score, status, reason)


def _row(gradebook: Gradebook, cell, unit: str, student: str, notebook: dict[str, nbformat.NotebookNode]) -> Grade:
    name = exercise_name(cell.name)
    try:
        grade = gradebook.find_grade(cell.name, unit, unit, student)
    except MissingEntry:
        reason = "not graded yet; run `course grade` on this unit"
        return Grade(student, unit, name, None, cell.max_score, CRASHED, reason)
    if grade.manual_score is not None:
        return Grade(student, unit, name, grade.score, cell.max_score, GRADED, "marked by hand")
    graded_cell, exercise = notebook.get(cell.name), notebook.get(name)
    status, reason = explain_cell(graded_cell, grade.auto_score, cell.max_score, exercise=exercise)
    if grade.auto_score is None and status == GRADED:
        status = NEEDS_MARKING
    return Grade(student, unit, name, None if grade.auto_score is None else grade.score, cell.max_score, status, reason)


def _graded_notebook(root: Path, unit: str, student: str) -> dict[str, nbformat.NotebookNode]:
    """Cells of the autograded notebook by grade id; empty when there is none."""
    path = notebook_path(root / "autograded" / student, unit)
    if not path.is_file():
        return {}
    cells = nbformat.read(path, as_version=4).cells
    named = [(cell.metadata.get("nbgrader", {}).get("grade_id"), cell) for cell in cells]
    return {name: cell for name, cell in named if name}


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "") if names else "none yet"
