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
from .gradebook import graded_path
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
            made = _make_pages(tree, course, unit, name)
        except (Exception, SystemExit) as error:
            first = safe_text(str(error)).splitlines()[:1]
            failed[safe_text(name)] = first[0] if first else type(error).__name__
        else:
            pages += made
    if failed and troubles is None:
        raise CourseError("no page for " + "; ".join(f"{name} ({reason})" for name, reason in failed.items()) + ".")
    if not pages and not failed:
        whose = f" for {student}" if student else ""
        raise CourseError(f"nothing of {unit} is graded{whose}. Run `course grade {unit[:2]}` first.")
    return pages


def _make_pages(tree: Tree, course: NbGraderCourse, unit: str, student: str) -> list[Path]:
    """The pages of one student, for each notebook of the unit one; none where there is nothing to tell."""
    problems = {name: find_problem(tree, unit, student, name) for name in tree.notebooks(unit) or [unit]}
    converted: list[str] = []
    explained: dict[str, str] = {}
    for name, problem in problems.items():
        graded = graded_path(tree.root, unit, student, name).is_file()
        if graded and (problem is None or problem[0] == MISSING):  # a submission that was moved away keeps its grades
            converted.append(name)
        elif problem is not None:
            handed_in = (tree.folder("submitted") / student / unit).is_dir()
            explained |= {name: problem[1]} if handed_in or is_trouble(unit, problem) else {}
    if converted:
        course.convert(GenerateFeedback, unit, student=student, notebooks=converted)
    pages = {
        name: notebook_path(tree.folder("feedback") / student, unit, name).with_suffix(".html")
        for name in problems
        if name in converted or name in explained
    }
    for name, reason in explained.items():
        _explain(pages[name], unit, reason)
        carry(exchange_files(tree.folder("submitted") / student / unit), pages[name].parent)
    return list(pages.values())


def _explain(path: Path, unit: str, reason: str) -> None:
    """A page for a submission that could not be graded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, render_page("ungraded.html.j2", title=unit, reason=reason))
