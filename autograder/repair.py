"""Puts a submission's graded cells back into the shape in which they were released, and says what was repaired.

Nothing a student wrote is lost: solutions and answers are found again by what they define or where they stand when
their metadata are gone; only test cells and questions are replaced by the instructor's text.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, field
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell
from nbgrader import utils
from nbgrader.nbgraderformat import SCHEMA_VERSION as _SCHEMA

from course_utils.system.errors import CourseError

from .template import ANSWER, NOT_RUN, PROVIDED, SOLUTION, TASK, TEST, Template, TemplateCell, defined_names

MAX_MEGABYTES = 20
ANSWER_STUB = "YOUR ANSWER HERE"
_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_NEVER_ON_GRADED = (*NOT_RUN, "skip-execution")


@dataclass
class Repaired:
    """A notebook ready to be graded, and what was done to it: notes for the whole, and by grade id."""

    notebook: NotebookNode
    notes: list[str] = field(default_factory=list)
    cells: dict[str, list[str]] = field(default_factory=dict)

    def note(self, grade_id: str, text: str) -> None:
        self.cells.setdefault(grade_id, []).append(text)


def read(data: bytes, name: str) -> NotebookNode:
    """The notebook in `data`, in the present format. Raises CourseError that says what is wrong with it."""
    if len(data) > MAX_MEGABYTES * 1_000_000:
        raise CourseError(f"{name} has {len(data) / 1e6:.0f} MB, more than {MAX_MEGABYTES}.")
    if not data.strip():
        raise CourseError(f"{name} is not a notebook: it does not contain valid JSON, because it is empty.")
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise CourseError(f"{name} is not a notebook: it does not contain valid JSON, so it is damaged.") from None
    try:
        notebook = nbformat.reads(json.dumps(_cleaned(content)), as_version=4)
        nbformat.validate(notebook)
    except Exception as error:
        detail = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise CourseError(f"{name} is not a valid Jupyter notebook ({detail}).") from None
    return notebook


def repair(notebook: NotebookNode, template: Template, name: str = "the notebook") -> Repaired:
    """A repaired copy. Raises CourseError when nothing in the notebook belongs to the unit."""
    result = Repaired(copy.deepcopy(notebook))
    _set_kernel(result)
    cells = result.notebook.cells
    for cell in cells:
        _drop_bad_metadata(cell)
    found = _by_grade_id(cells, template, result)
    elsewhere = _belongs_to(cells, template)
    if not found and elsewhere:
        raise CourseError(f"{name} is not the notebook of {template.unit}: it belongs to {elsewhere}.")
    _recognise(cells, found, template, result)
    if not found:
        raise CourseError(
            f"{name} is not the notebook of {template.unit}: it has none of its exercises, tests and questions."
        )
    _forget_unknown(cells, found)
    for grade_id, wanted in template.marked.items():
        if grade_id in found:
            _restore(found[grade_id], wanted, result)
    _insert_missing(cells, found, template, result)
    _tests_after_solutions(cells, found, template, result)
    return result


def _cleaned(content: Any) -> Any:
    """Cells whose damage can be mended without guessing: what other programs leave out or write in another way."""
    if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
        return content
    content.setdefault("metadata", {})
    content.setdefault("nbformat", 4)
    content.setdefault("nbformat_minor", 5)
    for cell in content["cells"]:
        if not isinstance(cell, dict):
            continue
        if not isinstance(cell.get("metadata"), dict):
            cell["metadata"] = {}
        if cell.get("cell_type") == "code":
            cell.setdefault("outputs", [])
            cell.setdefault("execution_count", None)
        else:
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
    return content


def _set_kernel(result: Repaired) -> None:
    metadata = result.notebook.metadata
    name = metadata.get("kernelspec", {}).get("name") if isinstance(metadata.get("kernelspec"), dict) else None
    if name not in (None, "python3"):
        result.notes.append(f"kernel {str(name)[:40]!r} replaced by python3")
    result.notebook.metadata = NotebookNode(kernelspec=NotebookNode(_KERNEL), language_info=NotebookNode(name="python"))


def _drop_bad_metadata(cell: NotebookNode) -> None:
    marks = cell.metadata.get("nbgrader")
    if marks is not None and not (isinstance(marks, dict) and isinstance(marks.get("grade_id"), str)):
        del cell.metadata["nbgrader"]
    tags = cell.metadata.get("tags")
    if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
        del cell.metadata["tags"]


def _by_grade_id(cells: list[NotebookNode], template: Template, result: Repaired) -> dict[str, NotebookNode]:
    """The cell that stands for each grade id: of several the last that says something; the rest become plain."""
    candidates: dict[str, list[NotebookNode]] = {}
    for cell in cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        if grade_id in template.marked:
            candidates.setdefault(grade_id, []).append(cell)
    found = {}
    for grade_id, several in candidates.items():
        wanted = template.marked[grade_id]
        best = max(enumerate(several), key=lambda pair: (_says_something(pair[1], wanted), pair[0]))[1]
        found[grade_id] = best
        for other in several:
            if other is not best:
                del other.metadata["nbgrader"]
                if wanted.kind == TEST:
                    cells[:] = [cell for cell in cells if cell is not other]
        if len(several) > 1:
            result.note(grade_id, "the cell was there more than once")
    return found


def _belongs_to(cells: list[NotebookNode], template: Template) -> str:
    """Another unit of which the notebook has graded cells, if there is one."""
    here = {cell.metadata.get("nbgrader", {}).get("grade_id") for cell in cells}
    shared = {other: len(here & set(names)) for other, names in template.others.items()}
    best = max(shared, key=shared.get, default="")
    return best if best and shared[best] else ""


def _says_something(cell: NotebookNode, wanted: TemplateCell) -> bool:
    if wanted.kind == ANSWER:
        return not is_blank(cell.source)
    return wanted.kind != SOLUTION or bool(set(wanted.defines) & set(defined_names(cell.source)))


def is_blank(source: str) -> bool:
    """True when a written answer says nothing: empty, or the stub as it was."""
    return "".join(source.split()) in ("", "".join(ANSWER_STUB.split()))


def _recognise(cells: list[NotebookNode], found: dict[str, NotebookNode], template: Template, result: Repaired) -> None:
    """Find cells that have lost their metadata, or carry a name that the unit does not know."""
    taken = {id(cell) for cell in found.values()}
    for grade_id, wanted in template.marked.items():
        if grade_id in found:
            continue
        free = [cell for cell in cells if id(cell) not in taken]
        cell = _looks_like(free, wanted)
        if cell is None and wanted.kind == ANSWER:
            cell = _after_its_question(cells, taken, template, found, grade_id)
        if cell is not None:
            found[grade_id] = cell
            taken.add(id(cell))
            result.note(grade_id, "the cell had lost its name or its metadata")


def _looks_like(free: list[NotebookNode], wanted: TemplateCell) -> NotebookNode | None:
    if wanted.kind == SOLUTION:
        hits = [cell for cell in free if cell.cell_type != "markdown" or "def " in cell.source]
        names = [name for name in wanted.defines if name == wanted.grade_id] or wanted.defines
        hits = [
            cell
            for cell in hits
            if any(re.search(rf"^(def|class)\s+{re.escape(n)}\b|^{re.escape(n)}\s*=", cell.source, re.M) for n in names)
        ]
        return hits[-1] if hits else None
    if wanted.kind in (TEST, TASK):
        text = _bare(wanted.source)
        return next((cell for cell in free if text and _bare(cell.source) == text), None)
    return None


def _bare(source: str) -> str:
    """The text of a cell as students see it: without mark scheme, hidden tests and spaces."""
    for what in ("MARK SCHEME", "HIDDEN TESTS"):
        source = re.sub(rf"### BEGIN {what}.*?### END {what}", "", source, flags=re.S)
    return "".join(source.split())


def _after_its_question(
    cells: list[NotebookNode], taken: set[int], template: Template, found: dict[str, NotebookNode], grade_id: str
) -> NotebookNode | None:
    """The free text cell below the question that comes before this answer in the unit."""
    order = list(template.marked)
    before = [name for name in order[: order.index(grade_id)] if template.marked[name].kind == TASK and name in found]
    if not before:
        return None
    position = next(i for i, cell in enumerate(cells) if cell is found[before[-1]])
    below = cells[position + 1] if position + 1 < len(cells) else None
    text = "".join(below.source.split()) if below is not None else ""
    provided = {"".join(cell.source.split()) for cell in template.cells if cell.kind == PROVIDED}
    return (
        below
        if below is not None and id(below) not in taken and below.cell_type != "code" and text not in provided
        else None
    )


def _forget_unknown(cells: list[NotebookNode], found: dict[str, NotebookNode]) -> None:
    """Whatever else claims to be graded is an ordinary cell."""
    known = {id(cell) for cell in found.values()}
    for cell in cells:
        if id(cell) not in known:
            cell.metadata.pop("nbgrader", None)


def _restore(cell: NotebookNode, wanted: TemplateCell, result: Repaired) -> None:
    """Give a cell the type, the metadata and, where it is not the student's to write, the text of the release."""
    marks = cell.metadata.get("nbgrader", {})
    if cell.cell_type != wanted.cell_type:
        result.note(wanted.grade_id, f"the cell was of type {cell.cell_type} instead of {wanted.cell_type}")
        _retype(cell, wanted.cell_type)
    if wanted.kind in (TEST, ANSWER) and marks and marks.get("points") != wanted.points:
        result.note(wanted.grade_id, f"points were {str(marks.get('points'))[:20]} instead of {wanted.points:g}")
    if marks and marks.get("schema_version") != _SCHEMA:
        result.note(wanted.grade_id, "the metadata were of an old kind")
    if wanted.kind in (TEST, TASK):
        if _bare(cell.source) != _bare(wanted.source):
            result.note(wanted.grade_id, "the text of the cell had been changed")
        cell.source = wanted.source  # a question with its mark scheme, for the marker; feedback leaves it out
    tags = [tag for tag in cell.metadata.get("tags", []) if tag not in _NEVER_ON_GRADED]
    if wanted.kind == TEST:
        tags = [tag for tag in wanted.tags if tag not in _NEVER_ON_GRADED]
    if len(tags) < len(cell.metadata.get("tags", [])):
        result.note(wanted.grade_id, "the cell had been tagged so as not to be run")
    cell.metadata = NotebookNode({"tags": tags} if tags else {})
    cell.metadata["nbgrader"] = NotebookNode(_marks(wanted))
    if wanted.kind == ANSWER:
        cell.metadata.nbgrader["checksum"] = utils.compute_checksum(_stub(wanted))


def _retype(cell: NotebookNode, kind: str) -> None:
    cell.cell_type = kind
    if kind == "code":
        cell.outputs, cell.execution_count = [], None
    else:
        cell.pop("outputs", None), cell.pop("execution_count", None)
        cell.pop("attachments", None) if kind == "raw" else None


def _marks(wanted: TemplateCell) -> dict[str, Any]:
    """nbgrader's metadata of a cell as released."""
    graded = wanted.kind in (TEST, ANSWER)
    marks: dict[str, Any] = {
        "grade": graded,
        "grade_id": wanted.grade_id,
        "locked": wanted.kind in (TEST, TASK),
        "schema_version": _SCHEMA,
        "solution": wanted.kind in (SOLUTION, ANSWER),
        "task": wanted.kind == TASK,
        "cell_type": wanted.cell_type,
    }
    if graded or wanted.kind == TASK:
        marks["points"] = wanted.points
    return marks


def _stub(wanted: TemplateCell) -> NotebookNode:
    """What stands where nothing was handed in."""
    source = wanted.source
    if wanted.kind == SOLUTION:
        source = f'raise NotImplementedError("{wanted.grade_id}: this cell was not handed in")'
    elif wanted.kind == ANSWER:
        source = ANSWER_STUB
    make = {"code": new_code_cell, "markdown": new_markdown_cell}.get(wanted.cell_type, new_raw_cell)
    return make(source, metadata=NotebookNode(nbgrader=NotebookNode(_marks(wanted))))


def _insert_missing(
    cells: list[NotebookNode], found: dict[str, NotebookNode], template: Template, result: Repaired
) -> None:
    """Put every marked cell that is missing behind the one that comes before it in the unit."""
    last: NotebookNode | None = None
    for grade_id, wanted in template.marked.items():
        if grade_id not in found:
            found[grade_id] = _stub(wanted)
            if wanted.kind == ANSWER:
                found[grade_id].metadata.nbgrader["checksum"] = utils.compute_checksum(_stub(wanted))
            position = 0 if last is None else next(i for i, cell in enumerate(cells) if cell is last) + 1
            cells.insert(len(cells) if last is None else position, found[grade_id])
            result.note(grade_id, "the cell was missing")
        last = found[grade_id]


def _tests_after_solutions(
    cells: list[NotebookNode], found: dict[str, NotebookNode], template: Template, result: Repaired
) -> None:
    """A test is judged where it stands; where it stands before its solution it is moved behind it."""
    for grade_id, wanted in template.marked.items():
        solution = found.get(grade_id.removeprefix("test_")) if wanted.kind == TEST else None
        if solution is None or solution is found[grade_id]:
            continue
        order = {id(cell): index for index, cell in enumerate(cells)}
        if order[id(found[grade_id])] < order[id(solution)]:
            cells[:] = [cell for cell in cells if cell is not found[grade_id]]
            cells.insert(next(i for i, cell in enumerate(cells) if cell is solution) + 1, found[grade_id])
            result.note(grade_id, "the test stood before its exercise")
