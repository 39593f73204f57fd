"""The welcome page of ``course lab``: the units, how long each takes, and what is done, as the saved files say now."""

from __future__ import annotations

import contextlib
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree, notebook_path
from course_utils.system.whole_file import write_whole

from .handin import graded_cells, read_notebook, template_of
from .handin.cells import marks_of
from .submit import archive_name, earned_in, is_to_be_written, unfinished

PAGE = "Welcome.md"
_TITLE = re.compile(r"# (.+)")
_QUESTION = re.compile(r"\*\*The question of this unit:\*\*\s+(.+?)(?:\n\n|\Z)", re.DOTALL)
_TIME = re.compile(
    r"(about\s[^.]+?)\sof work(?:, of which two cores \w+ for\s(about\s.+?)\s\()?", re.DOTALL | re.IGNORECASE
)
_FOR_STUDENTS = (
    "Open a unit by its link. What is done is read from your notebooks whenever you save one (Ctrl S). The last cell "
    "of a unit packs it to hand in, and so does `{submit}` in a terminal."
)
_FOR_INSTRUCTORS = (
    "The links open the sources, the only place to edit. Marking is in the menu **Nbgrader > Formgrader**, the cells' "
    "points under **Nbgrader > Create Assignment**. The numbers are those of the start of `course lab`."
)


@dataclass(frozen=True)
class Overview:
    """A unit on the page: what its first cell says of itself, and what is done."""

    unit: str
    title: str
    question: str
    time: str
    done: str


def write_page(tree: Tree, overviews: list[Overview]) -> Path:
    """Write the page (Markdown, with links that open the notebooks in JupyterLab) into the course folder."""
    rows = [
        f"| **[{_cell(each.title)}]({_link(tree, each.unit)})**<br>{_cell(each.question)} "
        f"| {each.time} | {_cell(each.done)} |"
        for each in overviews
    ]
    text = _FOR_STUDENTS.format(submit=tree.typed("submit UNIT")) if tree.is_kit else _FOR_INSTRUCTORS
    head = [f"# {tree.about.title}", "", text, "", "| unit | time | done |", "|---|---|---|"]
    path = tree.root / PAGE
    try:
        write_whole(path, "\n".join([*head, *rows, ""]))
    except OSError as error:
        advice = "Move the course to a folder of your own."
        raise CourseError(f"{path} cannot be written ({error.strerror}). {advice}") from None
    return path


def after_saving(tree: Tree, saved: Path) -> None:
    """Write the page anew where a unit's notebook was saved, so that it stays true; what cannot be written stays."""
    if saved.suffix == ".ipynb" and saved.parent.parent == tree.source and (tree.root / PAGE).is_file():
        with contextlib.suppress(CourseError):
            write_page(tree, overviews(tree))


def overviews(tree: Tree) -> list[Overview]:
    """All units, in order. A notebook that cannot be read is listed with the reason."""
    return [_overview(tree, unit) for unit in tree.units()]


def _overview(tree: Tree, unit: str) -> Overview:
    path = notebook_path(tree.source, unit, tree.notebook(unit))
    try:
        notebook = read_notebook(path)
        done = _by_student(tree, unit, path, notebook) if tree.is_kit else _by_class(tree, unit, notebook)
    except Exception as error:  # whatever is wrong with one notebook, the others can be opened
        return Overview(unit, unit, "", "", f"cannot be read: {error}")
    texts = [cell.source for cell in notebook.cells[:5] if cell.cell_type == "markdown"]
    opening = next((text for text in texts if _TITLE.match(text)), "".join(texts[:1]))  # a header may stand above it
    title, question = (found[1] if (found := rule.search(opening)) else "" for rule in (_TITLE, _QUESTION))
    return Overview(unit, title or unit, " ".join(question.split()), time_of(opening), done)


def time_of(opening: str) -> str:
    """What a unit's opening says about its time: "about two hours (computing: about five minutes)"; "" if nothing."""
    found = _TIME.search(opening)
    if not found:
        return ""
    work, computing = (" ".join((part or "").lower().split()) for part in found.groups())
    return f"{work} (computing: {computing})" if computing else work


def _by_student(tree: Tree, unit: str, path: Path, notebook: Any) -> str:
    points = graded_cells(notebook)
    checks = [cell for cell in notebook.cells if cell.cell_type == "code" and _grade_id(cell) in points]
    passed = sum(earned_in(cell) == points[str(_grade_id(cell))] for cell in checks)
    exercises = [cell for cell in notebook.cells if is_to_be_written(cell)]
    questions = sum(cell.cell_type == "markdown" for cell in exercises)
    unwritten, blank = unfinished(notebook, template_of(tree, unit, path.stem))
    ran = any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    if not ran and len(unwritten) + len(blank) == len(exercises):
        return "not started"
    parts = ["" if checks or questions else "started"]
    parts.append(f"{passed} of {len(checks)} checks passed" if checks else "")
    parts.append(f"{questions - len(blank)} of {questions} questions answered" if questions else "")
    parts.append(_packed(tree, unit, path))
    return ", ".join(filter(None, parts))


def _grade_id(cell: Any) -> str | None:
    return marks_of(cell).get("grade_id")


def _packed(tree: Tree, unit: str, path: Path) -> str:
    """Whether `course submit` has packed the notebook as it is, in one of the folders where that is usual."""
    archives = [folder / archive_name(unit) for folder in (tree.root, tree.source, path.parent)]
    archives = [archive for archive in archives if archive.is_file()]
    if not archives:
        return ""
    try:
        with zipfile.ZipFile(max(archives, key=lambda archive: archive.stat().st_mtime)) as packed:
            same = packed.read(f"{unit}/{path.name}") == path.read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile):
        return ""
    return "packed to hand in" if same else "changed since it was packed to hand in"


def _by_class(tree: Tree, unit: str, notebook: Any) -> str:
    released = notebook_path(tree.folder("release"), unit, tree.notebook(unit)).is_file()
    folders = {"submitted": "handed in", "autograded": "graded"} if graded_cells(notebook) else {}
    counts = [f"{len(list(tree.folder(folder).glob(f'*/{unit}')))} {word}" for folder, word in folders.items()]
    return ", ".join(["released" if released else "not released", *counts])


def _link(tree: Tree, unit: str) -> str:
    return quote(notebook_path(Path(tree.folder_name("source")), unit, tree.notebook(unit)).as_posix())


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
