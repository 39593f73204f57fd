"""Grading: every submission of a unit is examined, then one row per student and graded cell is written.

A submission that cannot be graded gets its zeros with a reason and never stops the others. The rows are always read
back from nbgrader's gradebook, so that marks given in formgrader count. What was graded is kept at once: an interrupted
run goes on where it stopped, and a submission that has not changed is not run again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from sqlalchemy.exc import OperationalError

from course_utils.checks import CHECKS
from course_utils.cli.handin import exercise_name, parse_notebook, safe_text, template_of, templates_of
from course_utils.cli.handin.cells import labels_of, marks_of
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import Tree

from .batch import Failed, Options, run_batch
from .changes import note_checks
from .class_seeds import class_seed
from .collect import read_roster
from .configuration import digest_of, own_steps
from .examiner.job import make_job
from .examiner.settings import RECORD, Settings
from .gradebook import (
    changed_since_marked,
    forget_key,
    graded_path,
    knows,
    read_graded,
    save_graded,
    settle,
    update_unchanged,
)
from .grades_file import CRASHED, GRADED, MARKED, MISSING, NEEDS_MARKING, UNREADABLE, Grade, replace_unit
from .nbgrader_course import NbGraderCourse
from .preprocessors import ExecuteSubmission
from .reasons import explain_cell, plain, shorten
from .release import register_unit
from .repair import Repaired, repair
from .sandbox.stage import version
from .submissions import Problem, Submission, carry, find_submission, given_files, lay
from .template import Template
from .withdraw import Withdrawn, read_withdrawn

Progress = Callable[[str], None]
CHANGED = ", before it was handed in again with another text"


def grade_unit(
    tree: Tree,
    unit: str,
    student: str | None = None,
    run: bool = True,
    debug: bool = False,
    progress: Progress = lambda line: None,
    options: Options | None = None,
) -> list[Grade]:
    """Grade one unit for every student (or one) and update the gradebook, grades.csv and grades.json.

    With ``run=False`` nothing is executed: the marks of the gradebook are written out again. Returns the rows.
    """
    register_unit(tree, unit)
    course = NbGraderCourse(tree, debug=debug)
    note_checks(tree, unit)
    if student and not (tree.folder("submitted") / student).is_dir():
        known = _listed(all_students(tree, course))
        raise WrongUsage(f"there is no submission folder {tree.folder_name('submitted')}/{student}. Students: {known}.")
    students = [student] if student else all_students(tree, course)
    with course.gradebook() as gradebook:
        grading = _Grading(tree, unit, course, gradebook, options or Options())
        try:
            grading.of(students, run, progress)
        except BaseException:  # also Ctrl-C: what is done stays done
            replace_unit(tree.root, unit, grading.rows(), students=set(grading.done))
            raise
    replace_unit(tree.root, unit, grading.rows(), students={student} if student else None)
    return grading.rows()


def all_students(tree: Tree, course: NbGraderCourse) -> list[str]:
    """Everybody who has a folder in submitted/, was in an export, or is entered in the gradebook."""
    folder = tree.folder("submitted")
    folders = folder.iterdir() if folder.is_dir() else ()
    found = {path.name for path in folders if path.is_dir() and not path.name.startswith(".")}
    found |= set(read_roster(tree))
    with course.gradebook() as gradebook:
        found |= {student.id for student in gradebook.students}
    return sorted(found)


def find_problem(tree: Tree, unit: str, student: str, notebook: str = "") -> Problem | None:
    """Why a submission (of several notebooks the one named) cannot be graded at all, or None."""
    found = read_submission(tree, unit, student, notebook)
    if not isinstance(found, Submission):
        return found
    try:
        repair(parse_notebook(found.notebook, found.name), template_of(tree, unit, notebook), found.name)
    except CourseError as error:
        return UNREADABLE, str(error)
    except Exception as error:
        return CRASHED, _words(error)
    return None


def read_submission(tree: Tree, unit: str, student: str, notebook: str = "") -> Submission | Problem:
    """`find_submission`; what fails is this student's alone."""
    if safe_text(student) != student:
        return CRASHED, "the name of this folder in submitted/ is not UTF-8: rename the folder, then run this again"
    try:
        found = find_submission(tree, unit, student, notebook)
    except Exception as error:
        return UNREADABLE, f"it cannot be read ({_words(error)})"
    if not isinstance(found, Submission):
        left_out = read_roster(tree).get(student, {}).get("units", {}).get(unit, {}).get("left_out", "")
        more = f"; {left_out}" if left_out and found[0] == MISSING else ""
        return found[0], found[1] + more
    return found


@contextmanager
def one_students_trouble(gradebook: Gradebook, troubles: list[str]) -> Iterator[None]:
    """What goes wrong inside is written down and stops nobody else; a gradebook that is locked stops everybody.

    nbgrader ends the process (SystemExit) where it means one submission.
    """
    try:
        yield
    except OperationalError:
        gradebook.db.rollback()  # the open gradebook says what it is, see nbgrader_course.py
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        troubles.append(_words(error))
    except (Exception, SystemExit) as error:
        gradebook.db.rollback()
        troubles.append(_words(error))


def _words(error: BaseException) -> str:
    """An error as a reason: its kind, and the first line of what it says."""
    lines = safe_text(str(error)).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines[0] else type(error).__name__


def follow_dates(tree: Tree, unit: str) -> None:
    """Let the penalties for lateness follow due dates and times that were changed since; nothing is graded again."""
    course = NbGraderCourse(tree)
    if not course.has_gradebook():
        return
    with course.gradebook() as gradebook:
        for student in [entry.id for entry in gradebook.students]:
            troubles: list[str] = []
            with one_students_trouble(gradebook, troubles):
                update_unchanged(course, gradebook, unit, student)
            if troubles:
                raise CourseError(f"{student}, {unit}: the penalty for lateness cannot be told ({troubles[0]}).")


class _Grading:
    """One run over the submissions of a unit."""

    def __init__(self, tree: Tree, unit: str, course: NbGraderCourse, gradebook: Gradebook, options: Options) -> None:
        self._tree, self._unit, self._course, self._gradebook, self._options = tree, unit, course, gradebook, options
        self.done: dict[str, list[Grade]] = {}
        executor = ExecuteSubmission(parent=course.app)
        self._unsafe = options.unsafe or executor.unsafe
        self._settings: Settings = executor.settings(class_seed(tree.root, unit))
        self._templates = templates_of(tree, unit)
        self._given = given_files(tree, unit)
        self._problems: dict[str, dict[str, Problem | None]] = {}  # of each notebook that is done, by student
        self._notes: dict[str, str] = {}
        self._before, after = own_steps(course.app.config)
        added = digest_of([*self._before, *after], course.app.config)
        basis = json.dumps([version(), CHECKS.own, self._settings.to_dict(), added])
        self._basis = {
            name: hashlib.sha256((basis + template.digest()).encode()).hexdigest()
            for name, template in self._templates.items()
        }

    def rows(self) -> list[Grade]:
        return [row for student in sorted(self.done) for row in self.done[student]]

    def of(self, students: list[str], run: bool, progress: Progress) -> None:
        """Grade what has changed, in parallel."""
        self._total, self._started, self._progress = len(students), time.monotonic(), progress
        jobs: dict[tuple[str, str], Submission] = {}
        for student in students:
            for name in self._templates:
                submission = read_submission(self._tree, self._unit, student, name)
                if not isinstance(submission, Submission):
                    moved_away = submission[0] == MISSING and knows(self._gradebook, self._unit, student, name)
                    moved_away = moved_away and not self._handed_in(student)
                    note = ", no longer there" if moved_away else ""
                    self._finish(student, name, None if moved_away else submission, note)
                elif run and not self._is_unchanged(student, name, submission):
                    jobs[student, name] = submission
                else:
                    self._finish(student, name, *self._leave(student, name, submission, run))
        makers = {key: self._maker(*key, submission) for key, submission in jobs.items()}
        self._expected = len(makers)
        results = run_batch(makers, Options(**{**vars(self._options), "unsafe": self._unsafe}))
        for number, ((student, name), result) in enumerate(results, start=1):
            problem = self._keep(student, name, jobs[student, name], result)
            self._finish(student, name, problem, self._time_left(number))

    def _handed_in(self, student: str) -> bool:
        """Whether there is something in the student's folder: then a notebook that is missing was not moved away."""
        folder = self._tree.folder("submitted") / student / self._unit
        return len(self._templates) > 1 and folder.is_dir() and any(folder.glob("*.ipynb"))

    def _leave(self, student: str, name: str, submission: Submission, run: bool) -> tuple[Problem | None, str]:
        """What is to be done for a notebook that is not graded again."""
        troubles: list[str] = []
        with one_students_trouble(self._gradebook, troubles):
            update_unchanged(self._course, self._gradebook, self._unit, student)
            if run:
                carry(submission.files, graded_path(self._tree.root, self._unit, student).parent)
        note = ", unchanged" if run else ""
        if troubles:
            return (CRASHED, troubles[0]), note
        return (None if run else find_problem(self._tree, self._unit, student, name)), note

    def _maker(self, student: str, name: str, submission: Submission) -> Callable[[str | None], bytes]:
        def make(address: str | None) -> bytes:
            notebook, repaired = submission.notebook, None
            if self._before:
                notebook, repaired = self._taken(student, name, submission)
            template = self._templates[name]
            return make_job(
                submission.name, notebook, submission.files, template, self._settings, address, self._unsafe, repaired
            )

        return make

    def _taken(self, student: str, name: str, submission: Submission) -> tuple[bytes, Repaired | None]:
        """A submission after the steps that the instructor added before it is run."""
        try:
            repaired = repair(
                parse_notebook(submission.notebook, submission.name), self._templates[name], submission.name
            )
        except CourseError:  # the worker says so
            return submission.notebook, None
        notebook = repaired.notebook
        place = {"notebook": name, "assignment": self._unit, "student": student}
        resources: dict[str, Any] = {"nbgrader": {**place, "db_url": self._course.directory().db_url}}
        for step in self._before:
            notebook, resources = step(parent=self._course.app).preprocess(notebook, resources)
        return nbformat.writes(notebook).encode(), repaired

    def _key(self, name: str, submission: Submission) -> str:
        return hashlib.sha256((self._basis[name] + submission.digest()).encode()).hexdigest()

    def _is_unchanged(self, student: str, name: str, submission: Submission) -> bool:
        if self._options.force:
            return False
        if not knows(self._gradebook, self._unit, student, name, self._templates[name]):
            return False
        graded = read_graded(self._tree.root, self._unit, student, name)
        return graded is not None and graded.metadata.get(RECORD, {}).get("key") == self._key(name, submission)

    def _keep(self, student: str, name: str, submission: Submission, result: bytes | Failed) -> Problem | None:
        """Write a result into the gradebook; the problem, if there was no grading."""
        if isinstance(result, Failed):
            return CRASHED, result.reason
        troubles: list[str] = []
        with one_students_trouble(self._gradebook, troubles):
            content = json.loads(result)
            if content["status"] != "examined":
                return UNREADABLE, safe_text(content["reason"])
            notebook = nbformat.reads(content["notebook"], as_version=4)
            record = notebook.metadata[RECORD]
            record["repairs"] = submission.notes + record["repairs"]
            record["key"] = self._key(name, submission)
            save_graded(self._course, self._gradebook, self._unit, student, notebook, name)
            beside = graded_path(self._tree.root, self._unit, student).parent
            lay(self._given, beside)
            carry(submission.files, beside)
        return (CRASHED, f"its result could not be kept ({troubles[0]})") if troubles else None

    def _finish(self, student: str, name: str, problem: Problem | None, note: str = "") -> None:
        """Note what became of one notebook; when it is the student's last, their rows are entered."""
        problems = self._problems.setdefault(student, {})
        problems[name] = problem
        note = self._notes[student] = note or self._notes.get(student, "")
        if len(problems) < len(self._templates):
            return
        troubles: list[str] = []
        rows: list[Grade] = []
        if safe_text(student) != student:  # no gradebook holds such a name
            rows = self._rows_without_gradebook(student, problems)
            return self._enter(student, rows, problems, note)
        with one_students_trouble(self._gradebook, troubles):
            rows = student_rows(self._tree, self._gradebook, self._unit, student, problems, self._templates)
        if troubles:
            problems = dict.fromkeys(problems, (CRASHED, f"its grades could not be kept ({troubles[0]})"))
            rows = self._rows_without_gradebook(student, problems)
        self._enter(student, rows, problems, note)

    def _rows_without_gradebook(self, student: str, problems: dict[str, Problem | None]) -> list[Grade]:
        labels = labels_of(self._templates)
        return [
            Grade(safe_text(student), self._unit, labels[name, cell.grade_id], None, cell.points, *problem)
            for name, problem in problems.items()
            if problem is not None
            for cell in self._templates[name].marked.values()
            if cell.is_graded
        ]

    def _enter(self, student: str, rows: list[Grade], problems: dict[str, Problem | None], note: str) -> None:
        self.done[student] = rows
        points, most = sum(row.score or 0 for row in rows), sum(row.max_score for row in rows)
        reasons = list(dict.fromkeys(problem[1] for problem in problems.values() if problem))
        reason = f" ({'; '.join(reasons)})" if reasons else ""
        line = f"[{len(self.done)}/{self._total}] {student}: {points:g} of {most:g} points{reason}{note}"
        self._progress(" ".join(safe_text(line).split()))

    def _time_left(self, done: int) -> str:
        left = (time.monotonic() - self._started) / done * (self._expected - done)
        return f", about {left:.0f} s left" if left >= 5 else ""


def student_rows(
    tree: Tree,
    gradebook: Gradebook,
    unit: str,
    student: str,
    problems: dict[str, Problem | None],
    templates: dict[str, Template],
) -> list[Grade]:
    """The rows of one student, from the gradebook and the graded notebooks."""
    labels = labels_of(templates)
    handed_in = any(problem is None or problem[0] != MISSING for problem in problems.values())
    rows = []
    for name, problem in problems.items():
        rows += _notebook_rows(tree, gradebook, unit, student, name, problem, labels, handed_in)
    return rows


def _notebook_rows(
    tree: Tree,
    gradebook: Gradebook,
    unit: str,
    student: str,
    name: str,
    problem: Problem | None,
    labels: dict[tuple[str, str], str],
    handed_in: bool,
) -> list[Grade]:
    of = gradebook.find_notebook(name, unit)
    cells = sorted([*of.grade_cells, *of.task_cells], key=lambda cell: cell.name)
    if problem is not None:
        status, reason = problem
        score = None if status == CRASHED else 0.0  # a crash of a whole grading may be our own fault
        if status != MISSING or handed_in:
            forget_key(tree.root, unit, student, name)
            settle(gradebook, cells, unit, student, name, score)
        return [
            Grade(student, unit, labels[name, cell.name], score, cell.max_score, status, reason)
            for cell in cells
            if (name, cell.name) in labels
        ]
    notebook, withdrawn = read_graded(tree.root, unit, student, name), read_withdrawn(tree.root, unit)
    by_name = (
        {
            cell.metadata.nbgrader.grade_id: cell
            for cell in notebook.cells
            if cell.metadata.get("nbgrader", {}).get("grade_id")
        }
        if notebook
        else {}
    )
    return [
        _row(gradebook, cell, unit, student, name, labels[name, cell.name], by_name, withdrawn)
        for cell in cells
        if (name, cell.name) in labels
    ]


def _row(
    gradebook: Gradebook,
    cell,
    unit: str,
    student: str,
    of: str,
    name: str,
    notebook: dict[str, NotebookNode],
    withdrawn: dict[tuple[str, str], Withdrawn],
) -> Grade:
    laws = laws_of(notebook.get(cell.name))
    try:
        grade = gradebook.find_grade(cell.name, of, unit, student)
    except MissingEntry:
        reason = "not graded yet; run `course grade` on this unit"
        return Grade(student, unit, name, None, cell.max_score, CRASHED, reason)
    if (entry := withdrawn.get((of, cell.name))) is not None:
        return Grade(student, unit, name, grade.score, cell.max_score, GRADED, entry.reason, laws)
    if grade.manual_score is not None:
        reason = MARKED
        if grade.needs_manual_grade and changed_since_marked(notebook.get(cell.name)):
            reason += CHANGED
        return Grade(student, unit, name, grade.score, cell.max_score, GRADED, reason, laws)
    about = exercise_name(cell.name)
    exercise = notebook.get(about) if about != cell.name else None
    status, reason = explain_cell(notebook.get(cell.name), grade.auto_score, cell.max_score, exercise=exercise)
    if grade.auto_score is None and status in (GRADED, "repaired"):
        status = NEEDS_MARKING
    score = None if grade.auto_score is None else grade.score
    return Grade(student, unit, name, score, cell.max_score, status, reason, laws)


def changed_texts(tree: Tree, row: Grade) -> list[str]:
    """Both texts of an answer that was changed after it was marked, a line each."""
    labels = labels_of(templates_of(tree, row.unit))
    for (name, grade_id), label in labels.items():
        notebook = read_graded(tree.root, row.unit, row.student, name) if label == row.exercise else None
        found = [cell for cell in notebook.cells if marks_of(cell).get("grade_id") == grade_id] if notebook else []
        if found and (texts := changed_since_marked(found[0])):
            return [f"{when}: {shorten(plain(text))}" for when, text in zip(("marked", "now"), texts, strict=True)]
    return []


def laws_of(cell: NotebookNode | None) -> tuple[dict[str, Any], ...]:
    """Id, outcome and seed of each law that a graded cell was judged by."""
    laws = cell.metadata.get(RECORD, {}).get("laws", []) if cell is not None else []
    return tuple({key: law.get(key) for key in ("id", "passed", "seed")} for law in laws)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "") if names else "none yet"
