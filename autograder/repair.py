"""Puts a submission's graded cells back into the shape in which they were released, and says what was repaired.

Nothing a student wrote is lost: solutions and answers are found again by what they define or where they stand when
their metadata are gone; only test cells and questions are replaced by the instructor's text.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import itertools
import re
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell

from course_utils.cli.handin.cells import (
    STUB,
    Identified,
    bare,
    exercise_name,
    how_written,
    identify,
    is_left_as_released,
    marks_for,
    without_marked_parts,
    without_stubs,
)
from course_utils.cli.handin.notebook import drop_bad_metadata
from course_utils.system.stubs import is_blank, missing_stub

from .older_release import fit
from .run_order import bring_up
from .template import ANSWER, NOT_RUN, PROVIDED, SOLUTION, TASK, TEST, Template, TemplateCell

_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_SCHEMA = 3  # nbgrader's SCHEMA_VERSION
_LONGEST_COMPARED = 20_000  # characters; a question that is longer is taken whole
_NEVER_ON_GRADED = (*NOT_RUN, "skip-execution")
Text = tuple[str, NotebookNode | str]  # where something was written, and what


@dataclass
class Repaired:
    """A notebook ready to be graded, and what was done to it: notes for the whole, and by grade id."""

    notebook: NotebookNode
    notes: list[str] = field(default_factory=list)
    cells: dict[str, list[str]] = field(default_factory=dict)
    added: frozenset[str] = frozenset()  # grade ids that came with a later release than the one handed in

    def note(self, grade_id: str, text: str) -> None:
        self.cells.setdefault(grade_id, []).append(text)


def repair(notebook: NotebookNode, template: Template, name: str = "the notebook") -> Repaired:
    """A repaired copy. Raises CourseError when nothing in the notebook belongs to the unit."""
    result = Repaired(copy.deepcopy(notebook))
    _set_kernel(result)
    cells = result.notebook.cells
    for cell in cells:
        drop_bad_metadata(cell)
    fitting = fit(result.notebook, template)
    template, result.added = fitting.template, fitting.added
    identified = identify(result.notebook, template, name)
    found = identified.found
    _settle_who_is_who(cells, identified, template, result)
    _forget_unknown(cells, found)
    gone = {grade_id for grade_id in template.marked if grade_id not in found} - result.added
    beside = _answers_beside(cells, found, template, gone)
    for grade_id, wanted in template.marked.items():
        if grade_id in found and wanted.kind == TEST:
            _keep_own_code(cells, found[grade_id], fitting.known[grade_id])
        if grade_id in found:
            _restore(found[grade_id], wanted, result, fitting.known[grade_id])
    _insert_missing(cells, found, template, result)
    _tests_after_solutions(cells, found, template, result)
    for grade_id, texts in beside.items():
        _bring_in(found[grade_id], texts, result, template.marked[grade_id])
    for brought in bring_up(cells, template):
        names = ", ".join(brought.names)
        result.note(brought.test, f"{names} stood below the test, or in a cell that is not run, and was run before it")
    return result


def _set_kernel(result: Repaired) -> None:
    metadata = result.notebook.metadata
    name = metadata.get("kernelspec", {}).get("name") if isinstance(metadata.get("kernelspec"), dict) else None
    if name not in (None, "python3"):
        result.notes.append(f"kernel {str(name)[:40]!r} replaced by python3")
    language = metadata.get("language_info")
    version = str(language.get("version", "")) if isinstance(language, dict) else ""
    known = {"version": version} if re.fullmatch(r"3\.\d{1,3}(\.\w{1,12})?", version) else {}
    result.notebook.metadata = NotebookNode(
        kernelspec=NotebookNode(_KERNEL), language_info=NotebookNode(name="python", **known)
    )


def _settle_who_is_who(cells: list[NotebookNode], identified: Identified, template: Template, result: Repaired) -> None:
    """Of several cells with one name all but one become plain, tests are dropped; what was recognised is noted."""
    for grade_id, others in identified.spare.items():
        for other in others:
            other.metadata.pop("nbgrader", None)
            wanted = template.marked[grade_id]
            stub = wanted.kind == SOLUTION and how_written(other.source, wanted) == STUB
            if wanted.kind == TEST or stub:  # a stub would take the place of what is written, when it is run
                cells[:] = [cell for cell in cells if cell is not other]
        result.note(grade_id, "the cell was there more than once")
    for grade_id in identified.recognised:
        result.note(grade_id, "the cell had lost its name or its metadata")


def _forget_unknown(cells: list[NotebookNode], found: dict[str, NotebookNode]) -> None:
    """Whatever else claims to be graded is an ordinary cell."""
    known = {id(cell) for cell in found.values()}
    for cell in cells:
        if id(cell) not in known:
            cell.metadata.pop("nbgrader", None)


def _restore(cell: NotebookNode, wanted: TemplateCell, result: Repaired, known: list[TemplateCell]) -> None:
    """Give a cell the type, the metadata and, where it is not the student's to write, the text of the release.

    What some release had (``known``) is nobody's change.
    """
    marks = cell.metadata.get("nbgrader", {})
    if cell.cell_type != wanted.cell_type:
        result.note(wanted.grade_id, f"the cell was of type {cell.cell_type} instead of {wanted.cell_type}")
        _retype(cell, wanted.cell_type)
    if wanted.kind in (TEST, ANSWER) and marks and marks.get("points") not in [of.points for of in known]:
        result.note(wanted.grade_id, f"points were {str(marks.get('points'))[:20]} instead of {wanted.points:g}")
    if marks and marks.get("schema_version") != _SCHEMA:
        result.note(wanted.grade_id, "the metadata were of an old kind")
    if wanted.kind in (TEST, TASK, PROVIDED):
        if bare(cell.source) not in [bare(of.source) for of in known]:
            result.note(wanted.grade_id, "the text of the cell had been changed")
        cell.source = wanted.source  # a question with its mark scheme, for the marker; feedback leaves it out
    if wanted.kind == SOLUTION:
        cell.source = without_stubs(cell.source, wanted)
    tags = [tag for tag in cell.metadata.get("tags", []) if tag not in _NEVER_ON_GRADED]
    if wanted.kind == TEST:
        tags = [tag for tag in wanted.tags if tag not in _NEVER_ON_GRADED]
    elif wanted.kind == PROVIDED:
        cell.metadata, tags = NotebookNode(), wanted.tags
    if len(tags) < len(cell.metadata.get("tags", [])):
        result.note(wanted.grade_id, "the cell had been tagged so as not to be run")
    cell.metadata = NotebookNode({"tags": tags} if tags else {})
    cell.metadata["nbgrader"] = NotebookNode(_marks(wanted))
    if wanted.kind == ANSWER:
        cell.metadata.nbgrader["checksum"] = answer_checksum(_stub(wanted))


def _keep_own_code(cells: list[NotebookNode], test: NotebookNode, known: list[TemplateCell]) -> None:
    """Functions, classes and imports that were written into a test's cell stay, in a cell of their own above it."""
    try:
        body = ast.parse(test.source).body
        given = {ast.dump(node) for of in known for node in ast.parse(of.source).body}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    own = [node for node in body if isinstance(node, kinds) and ast.dump(node) not in given]
    if own:
        text = "\n\n".join(ast.unparse(node) for node in own)
        cells.insert(next(i for i, cell in enumerate(cells) if cell is test), new_code_cell(text))


def _answers_beside(
    cells: list[NotebookNode], found: dict[str, NotebookNode], template: Template, gone: set[str]
) -> dict[str, list[Text]]:
    """What was written into a question, and, for an answer that is blank, into own cells beside it; where the cell of
    an answer is ``gone`` and nothing stands beside it, what else was written anywhere: the marker will see what it is.
    """
    releases = [template.cells, *template.earlier]
    given = {bare(cell.source) for of in releases for cell in of if cell.kind == PROVIDED}
    marked = {id(cell): grade_id for grade_id, cell in found.items()}
    beside: dict[str, list[Text]] = {}
    question = ""

    def is_own(cell: NotebookNode) -> bool:
        return id(cell) not in marked and bare(cell.source) not in given

    for grade_id, wanted in template.marked.items():
        if wanted.kind == TASK:
            question = grade_id
        elif wanted.kind != ANSWER:
            question = ""
        if wanted.kind != ANSWER:
            continue
        texts: list[Text] = []
        if question in found and (more := _added(found[question].source, template.marked[question].source)):
            texts.append(("Written into the question", more))
        start = found.get(question, found.get(grade_id))
        if start is not None and (grade_id not in found or is_left_as_released(found[grade_id].source, wanted)):
            place = next(index for index, cell in enumerate(cells) if cell is start)

            def own_texts(among: list[NotebookNode], of: str = grade_id) -> list[NotebookNode]:
                """The first of some cells that are the student's own words, however many there are."""
                among = [cell for cell in among if marked.get(id(cell)) != of]
                its = itertools.takewhile(is_own, among)
                return [cell for cell in its if not is_blank(cell.source) and _may_be_an_answer(cell)]

            near = own_texts(cells[place + 1 :]) or ([] if texts else own_texts(cells[:place][::-1])[::-1])
            texts += [("Written into another cell beside the question", cell) for cell in near]
        if texts:
            beside[grade_id] = texts
        question = ""
    used = {id(text) for texts in beside.values() for _, text in texts}
    free = [at for at, cell in enumerate(cells) if is_own(cell) and id(cell) not in used and _may_be_an_answer(cell)]
    elsewhere: list[Text] = [
        (f"Written in cell {at + 1}; the cell of this answer is no longer in the notebook", cells[at])
        for at in free
        if not is_blank(cells[at].source) and re.search(r"\w{3}", cells[at].source)
    ]
    unanswered = [name for name in gone if template.marked[name].kind == ANSWER and name not in beside]
    return beside | dict.fromkeys(unanswered if elsewhere else [], elsewhere)


def _may_be_an_answer(cell: NotebookNode) -> bool:
    """Text, or a code cell that holds words instead of code."""
    if cell.cell_type != "code":
        return True
    if set(cell.metadata.get("tags", [])) & set(_NEVER_ON_GRADED):
        return False
    try:
        body = ast.parse(cell.source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return not cell.source.lstrip().startswith(("%", "!"))
    said = [part for node in body for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return all(map(_says_words, body)) and bool(said or not body)


def _says_words(statement: ast.stmt) -> bool:
    """A text by itself, printed, or kept under a name."""
    if isinstance(statement, ast.Assign):
        text = statement.value.value if isinstance(statement.value, ast.Constant) else None
        return isinstance(text, str) and len(text.split()) > 2
    value = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(value, ast.Call) and ast.unparse(value.func) in ("print", "display"):
        return all(isinstance(given, ast.Constant | ast.Name) for given in value.args)
    return isinstance(value, ast.Constant)


def _added(text: str, released: str) -> str:
    """The words of a question as handed in that are not the question's own."""
    released, text = without_marked_parts(released), without_marked_parts(text)
    if bare(text) == bare(released):
        return ""
    if len(text) > _LONGEST_COMPARED:
        return text
    own, words = re.findall(r"\s*\S+", text), released.split()
    steps = SequenceMatcher(None, words, [word.strip() for word in own], autojunk=False).get_opcodes()
    more = "".join("".join(own[low:high]) for step, _, _, low, high in steps if step in ("insert", "replace"))
    return more.strip() if re.search(r"\w", more) else ""


def _bring_in(answer: NotebookNode, texts: list[Text], result: Repaired, wanted: TemplateCell) -> None:
    """Put what stands beside an answer into it, so that it reaches the marker; where it stood it stays, too."""
    parts = [] if is_left_as_released(answer.source, wanted) else [answer.source]
    for where, text in texts:
        if isinstance(text, str):
            parts.append(f"[{where}:]\n\n{text}")
            continue
        source = f"```\n{text.source}\n```" if text.cell_type == "code" else text.source
        parts.append(f"[{where}:]\n\n{source}")
        pictures = text.get("attachments")
        if answer.cell_type == "markdown" and isinstance(pictures, dict):
            answer["attachments"] = {**pictures, **answer.get("attachments", {})}
    answer.source = "\n\n".join(parts)
    result.note(wanted.grade_id, "the answer stood beside its cell")


def _retype(cell: NotebookNode, kind: str) -> None:
    cell.cell_type = kind
    if kind == "code":
        cell.outputs, cell.execution_count = [], None
    else:
        cell.pop("outputs", None), cell.pop("execution_count", None)
        cell.pop("attachments", None) if kind == "raw" else None


def _marks(wanted: TemplateCell) -> dict[str, Any]:
    """nbgrader's metadata of a cell as released."""
    return marks_for(wanted) | {
        "locked": wanted.kind in (TEST, TASK, PROVIDED),
        "schema_version": _SCHEMA,
        "cell_type": wanted.cell_type,
    }


def answer_checksum(answer: NotebookNode) -> str:
    """nbgrader's checksum of the cell of a written answer, by which it knows a blank one. The formula is that of
    `nbgrader.utils.compute_checksum`, which every grading would wait half a second to import."""
    marks = answer.metadata["nbgrader"]
    grade, solution, locked = True, True, False
    parts = [answer.source, answer.cell_type, grade, solution, locked, marks["grade_id"], float(marks["points"])]
    return hashlib.md5("".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


def _stub(wanted: TemplateCell) -> NotebookNode:
    """What stands where nothing was handed in."""
    source = wanted.source
    if wanted.kind == SOLUTION:
        source = missing_stub(wanted.grade_id)
    elif wanted.kind == ANSWER:
        source = wanted.stub
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
                found[grade_id].metadata.nbgrader["checksum"] = answer_checksum(_stub(wanted))
            position = 0 if wanted.kind == PROVIDED else len(cells)
            if last is not None:
                position = next(i for i, cell in enumerate(cells) if cell is last) + 1
            cells.insert(position, found[grade_id])
            if grade_id not in result.added:
                result.note(grade_id, "the cell was missing")
        last = found[grade_id]


def _tests_after_solutions(
    cells: list[NotebookNode], found: dict[str, NotebookNode], template: Template, result: Repaired
) -> None:
    """A test is judged where it stands; where it stands before its solution it is moved behind it."""
    for grade_id, wanted in template.marked.items():
        solution = found.get(exercise_name(grade_id)) if wanted.kind == TEST else None
        if solution is None or solution is found[grade_id]:
            continue
        order = {id(cell): index for index, cell in enumerate(cells)}
        if order[id(found[grade_id])] < order[id(solution)]:
            cells[:] = [cell for cell in cells if cell is not found[grade_id]]
            cells.insert(next(i for i, cell in enumerate(cells) if cell is solution) + 1, found[grade_id])
            result.note(grade_id, "the test stood before its exercise")
