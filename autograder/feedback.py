"""What students get back: their graded notebook as a page, with points, reasons and comments."""

from __future__ import annotations

from pathlib import Path

from nbgrader.converters import GenerateFeedback
from traitlets.config import Config

from course_utils.system.errors import CourseError
from course_utils.system.templates import render
from course_utils.system.tree import Tree, notebook_path
from course_utils.system.whole_file import write_whole

from .grade import all_students, find_problem
from .nbgrader_course import NbGraderCourse
from .summary import TEMPLATES


def feedback_unit(
    tree: Tree, unit: str, student: str | None = None, with_mark_scheme: bool = False, debug: bool = False
) -> list[Path]:
    """Write feedback/<student>/<unit>/<unit>.html for everybody who handed the unit in; returns the paths."""
    course = NbGraderCourse(tree, debug=debug)
    course.app.update_config(Config(LeaveOutRubric={"enabled": not with_mark_scheme}))
    pages = []
    for name in [student] if student else all_students(tree, course):
        path = notebook_path(tree.root / "feedback" / name, unit).with_suffix(".html")
        problem = find_problem(tree, unit, name)
        if problem is None and notebook_path(tree.root / "autograded" / name, unit).is_file():
            course.convert(GenerateFeedback, unit, student=name)
            pages.append(path)
        elif problem is not None and (tree.root / "submitted" / name / unit).is_dir():
            _explain(path, unit, problem[1])
            pages.append(path)
    if not pages:
        whose = f" for {student}" if student else ""
        raise CourseError(f"nothing of {unit} is graded{whose}. Run `course grade {unit[:2]}` first.")
    return pages


def _explain(path: Path, unit: str, reason: str) -> None:
    """A page for a submission that could not be graded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, render(TEMPLATES / "ungraded.html.j2", title=unit, reason=reason))
