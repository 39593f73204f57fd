"""The answers of a class to one question: from the graded notebooks, in an order that is drawn for each question."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from course_utils.cli.handin import read_source, stubs_of
from course_utils.cli.handin.cells import TASK, kind_of, marks_of
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree, notebook_path
from course_utils.system.whole_file import write_whole

from ..class_seeds import class_seed
from ..examiner.settings import RECORD
from ..gradebook import graded_path
from ..safe_html import as_written
from .log import Question
from .scheme import Scheme, read_scheme, replace_scheme

TWICE = 10  # one answer in so many is marked by two


@dataclass(frozen=True)
class Answer:
    """What a student wrote: text, pictures attached to it, and the text that was marked where it is another one.

    ``verbatim``: code, and text that grading found to be nothing that can be rendered.
    """

    source: str
    attachments: dict[str, Any] = field(default_factory=dict)
    verbatim: bool = False
    marked_text: str | None = None


class Answers:
    """The written answers of one course, read once and again when a notebook has changed."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._read: dict[Path, tuple[tuple[int, int], dict[str, Answer]]] = {}
        self._seeds: dict[str, str] = {}

    def of(self, question: Question, student: str) -> Answer | None:
        """A student's answer; None when there is no graded notebook that can be read, or no such cell in it."""
        return self._cells(graded_path(self._tree.root, question.unit, student, question.notebook)).get(question.name)

    def notebook(self, question: Question, student: str) -> NotebookNode:
        """The whole graded notebook. Raises CourseError when it is gone."""
        content = _content(graded_path(self._tree.root, question.unit, student, question.notebook))
        if content is None:
            raise CourseError("the graded notebook of this answer is gone. Run `course grade` on the unit.")
        notebook: NotebookNode = nbformat.from_dict(content)
        return notebook

    def token(self, question: Question, student: str) -> str:
        """What an answer is called where names are hidden. Sorted by it, answers are in another order for each
        question; only who has the class's seed can tell whose it is."""
        if question.unit not in self._seeds:
            self._seeds[question.unit] = class_seed(self._tree.root, question.unit)
        text = f"{question.unit}\n{question.key}\n{student}"
        return hmac.new(self._seeds[question.unit].encode(), text.encode(), hashlib.sha256).hexdigest()[:16]

    def _cells(self, path: Path) -> dict[str, Answer]:
        try:
            found = path.stat()
        except OSError:
            return {}
        stamp = (found.st_mtime_ns, found.st_size)
        if path not in self._read or self._read[path][0] != stamp:
            self._read[path] = (stamp, _answers_in(_content(path) or {}))
        return self._read[path][1]


def share_of(token: str, of: int) -> int:
    """Which of ``of`` shares an answer belongs to."""
    return int(token[:8], 16) % of


def is_marked_twice(token: str) -> bool:
    """Whether an answer belongs to the sample that two markers see."""
    return int(token[8:], 16) % TWICE == 0


def _content(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _answers_in(content: Any) -> dict[str, Answer]:
    found = {}
    for cell in content.get("cells", []):
        marks = cell.get("metadata", {}).get("nbgrader") or {}
        if marks.get("grade") and marks.get("solution"):
            source = cell.get("source", "")
            source = "".join(source) if isinstance(source, list) else str(source)
            written, marked = as_written(source), cell["metadata"].get(RECORD, {}).get("marked")
            found[str(marks.get("grade_id"))] = Answer(
                source if written is None else written,
                cell.get("attachments", {}),
                cell.get("cell_type") == "code" or written is not None,
                marked if marked is None or (before := as_written(marked)) is None else before,
            )
    return found


def question_cell(notebook: NotebookNode, name: str) -> NotebookNode | None:
    """The cell that asks the question whose answer has the grade id ``name``: the last one with a task before it."""
    asked = None
    for cell in notebook.cells:
        if kind_of(cell) == TASK:
            asked = cell
        elif marks_of(cell).get("grade_id") == name:
            return asked
        elif marks_of(cell).get("grade"):
            asked = None
    return None


def read_question(tree: Tree, question: Question) -> tuple[str, Scheme]:
    """The text that students were asked, and the mark scheme, both from the source."""
    source = read_source(tree, question.unit, question.notebook)
    cell = question_cell(source, question.name)
    if cell is None:
        return "", Scheme()
    return cell.source.split("### BEGIN MARK SCHEME")[0].strip(), read_scheme(cell.source, question.points)


def order_of_questions(tree: Tree, unit: str) -> dict[tuple[str, str], int]:
    """The place of each answer cell (notebook, grade id) in the unit."""
    cells = [
        (name, str(marks_of(cell).get("grade_id")))
        for name in tree.notebooks(unit)
        for cell in read_source(tree, unit, name).cells
    ]
    return {cell: place for place, cell in enumerate(cells)}


def write_scheme(tree: Tree, question: Question, text: str) -> None:
    """Put another mark scheme into the source; everything else stays as it is.

    Raises CourseError where the question has no cell of its own in the source.
    """
    path = notebook_path(tree.source, question.unit, question.notebook)
    source = read_source(tree, question.unit, question.notebook, as_it_is=True)
    cell = question_cell(source, question.name)
    if cell is None:
        raise CourseError(
            f"{question.name} has no question of its own in {path.name}: a task cell before it, which can hold the "
            "mark scheme. Add one in JupyterLab (Create Assignment: Manually graded task, 0 points)."
        )
    stubs = stubs_of(tree)
    cell.source = stubs.own_marks(replace_scheme(stubs.usual_marks(cell.source), text))
    write_whole(path, nbformat.writes(source) + "\n")
