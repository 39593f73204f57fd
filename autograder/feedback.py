"""What students get back: their graded notebook as a page, with points, reasons and comments."""

from __future__ import annotations

from pathlib import Path

from nbgrader.converters import GenerateFeedback
from traitlets.config import Config

from course_utils.cli.handin import safe_text
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree, notebook_path
from course_utils.system.whole_file import write_whole

from .grade import all_students, find_problem
from .grades_file import MISSING
from .nbgrader_course import NbGraderCourse
from .safe_html import render_page
from .submissions import carry, exchange_files, is_trouble


def feedback_unit(
    tree: Tree,
    unit: str,
    student: str | None = None,
    with_mark_scheme: bool = False,
    debug: bool = False,
    troubles: dict[str, str] | None = None,
) -> list[Path]:
    """Write feedback/<student>/<unit>/<unit>.html for everybody who handed the unit in; returns the paths.

    A page that cannot be made stops no other: its reason is entered in ``troubles`` by student. Without it, CourseError
    names all of them when the others are done.
    """
    failed: dict[str, str] = {} if troubles is None else troubles
    course = NbGraderCourse(tree, debug=debug)
    course.app.update_config(Config(LeaveOutRubric={"enabled": not with_mark_scheme}))
    pages = []
    for name in [student] if student else all_students(tree, course):
        try:
            page = _make_page(tree, course, unit, name)
        except (Exception, SystemExit) as error:
            first = safe_text(str(error)).splitlines()[:1]
            failed[safe_text(name)] = first[0] if first else type(error).__name__
        else:
            pages += [page] if page else []
    if failed and troubles is None:
        raise CourseError("no page for " + "; ".join(f"{name} ({reason})" for name, reason in failed.items()) + ".")
    if not pages and not failed:
        whose = f" for {student}" if student else ""
        raise CourseError(f"nothing of {unit} is graded{whose}. Run `course grade {unit[:2]}` first.")
    return pages


def _make_page(tree: Tree, course: NbGraderCourse, unit: str, student: str) -> Path | None:
    """The page of one student; None where there is nothing to tell."""
    path = notebook_path(tree.root / "feedback" / student, unit).with_suffix(".html")
    graded = notebook_path(tree.root / "autograded" / student, unit).is_file()
    problem = find_problem(tree, unit, student)
    if graded and (problem is None or problem[0] == MISSING):  # a submission that was moved away keeps its grades
        course.convert(GenerateFeedback, unit, student=student)
        return path
    handed_in = (tree.root / "submitted" / student / unit).is_dir()
    if problem is not None and (handed_in or is_trouble(unit, problem)):
        _explain(path, unit, problem[1])
        carry(exchange_files(tree.root / "submitted" / student / unit), path.parent)
        return path
    return None


def _explain(path: Path, unit: str, reason: str) -> None:
    """A page for a submission that could not be graded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, render_page("ungraded.html.j2", title=unit, reason=reason))
