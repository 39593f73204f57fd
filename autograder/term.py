"""A new term: what the last class has left goes into a folder of its own; what an instructor made stays."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

from course_utils.cli.handin.units import RELEASES
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

from .changes import LOG
from .nbgrader_course import NbGraderCourse
from .release import RELEASED
from .withdraw import FILE

CLASS = (
    "downloaded",  # nbgrader's zip_collect
    "gradebook.db*",
    "grades*.csv",
    "grades.json",
    "report.html",
    ".grading-seeds.json",
    RELEASED,
    RELEASES,
    LOG,
    FILE,
)


def class_entries(root: Path) -> list[Path]:
    """Everything that a class leaves in a course's folder."""
    folders = [Tree(root).folder_name(step) for step in ("submitted", "autograded", "feedback")]
    return sorted({path for pattern in [*CLASS, *folders] for path in root.glob(pattern)})


def new_term(tree: Tree, archive: Path | None = None) -> tuple[Path, list[str]]:
    """Move what the last class has left to ``archive`` (default: terms/ and the day); returns it, and what was moved.

    Raises CourseError when there is nothing, when the folder is there already, or when the gradebook lies elsewhere.
    """
    entries = class_entries(tree.root)
    if not entries:
        raise CourseError(f"{tree.root} holds nothing of a class: a new term may begin.")
    url = NbGraderCourse(tree).directory().db_url
    if url != f"sqlite:///{tree.root / 'gradebook.db'}":
        raise CourseError(f"the gradebook is {url}, which is not moved: name another one for the new term first.")
    folder = archive or tree.root / "terms" / date.today().isoformat()
    if folder.exists():
        raise CourseError(f"{folder} is there already. Name another folder: course term new --to FOLDER")
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    moved = []
    for path in entries:
        shutil.move(path, folder / path.name)
        moved.append(path.name)
    return folder, moved
