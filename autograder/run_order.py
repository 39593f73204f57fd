"""What an exercise uses and finds only below its test, or in a cell that is not run at grading.

At home cells are run in any order, and the check was passed there. At grading they are run from top to bottom, without
experiments; so that this costs nobody points, such definitions are put above the exercise, and the repair is noted.
What is missing all the same is explained.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from course_utils.cli.handin.cells import bare, exercise_name, is_left_as_released, marks_of, says_nothing
from course_utils.cli.handin.names import NO_PYTHON, Names, names_of, tree_of

from .examiner.settings import RECORD
from .template import PROVIDED, SOLUTION, TEST, Template, is_check, is_not_run, kind_of

_UNDEFINED = re.compile(r"name '(\w+)' is not defined")
_NO_MODULE = re.compile(r"No module named '(\w+)")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


@dataclass(frozen=True)
class Brought:
    """Names that were put above the test of an exercise."""

    test: str
    names: list[str]


def bring_up(cells: list[NotebookNode], template: Template) -> list[Brought]:
    """Put definitions that an exercise needs above it, as a cell of their own; says for which test what was put."""
    found = []
    for grade_id, wanted in template.marked.items():
        if wanted.kind != TEST:
            continue
        place = next(at for at, cell in enumerate(cells) if marks_of(cell).get("grade_id") == grade_id)
        missing = missing_names(cells, place)
        if missing:
            brought = _definitions_of(missing, cells, place, template)
            if brought:
                names, text = brought
                cells.insert(_first_use(cells, place, names), new_code_cell(text))
                found.append(Brought(grade_id, sorted(missing & names)))
    return found


def missing_names(cells: list[NotebookNode], place: int) -> set[str]:
    """What the exercise of the test at ``place`` needs and no cell that is run above makes; empty where one of these
    may make what its text does not show."""
    above = [(cell, names) for cell in cells[:place] if _is_run(cell) and (names := names_of(cell.source))]
    if any(names.unseen for _, names in above):
        return set()
    made = {name for _, names in above for name in names.made}
    exercise = exercise_name(str(marks_of(cells[place]).get("grade_id")))
    waiting = set((names_of(cells[place].source) or Names()).needed)
    waiting |= {name for cell, of in above if marks_of(cell).get("grade_id") == exercise for name in of.needed}
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= {other for _, names in above if name in names.made for other in names.needed} - seen
    return seen - made


def _is_run(cell: NotebookNode) -> bool:
    """Whether grading runs this cell beside the student's code: checks are judged outside."""
    return cell.cell_type == "code" and not is_not_run(cell) and not (kind_of(cell) == TEST and is_check(cell.source))


def _first_use(cells: list[NotebookNode], place: int, names: set[str]) -> int:
    """The first cell above a test that needs one of some names, or the test."""
    for at, cell in enumerate(cells[:place]):
        if _is_run(cell) and (of := names_of(cell.source)) and of.needed & names:
            return at
    return place


def _definitions_of(
    missing: set[str], cells: list[NotebookNode], place: int, template: Template
) -> tuple[set[str], str] | None:
    """All that the missing names need and that is not made above, in the order in which it stands."""
    made = {name for cell in cells[:place] if _is_run(cell) and (of := names_of(cell.source)) for name in of.made}
    statements = list(_statements(cells, place, template))
    chosen: dict[int, ast.stmt] = {}
    names, waiting = set(), set(missing)
    while waiting:
        name = waiting.pop()
        for number, (node, of) in reversed(list(enumerate(statements))):
            if name in of.made:
                chosen[number] = node
                names |= {name}
                waiting |= of.needed - made - names
                break
    if not names & missing:
        return None
    return names, "\n\n".join(ast.unparse(chosen[number]) for number in sorted(chosen))


def _names_in(node: ast.stmt) -> Names | None:
    """What a statement makes and needs; None where it cannot be written out again, as it is too deep."""
    try:
        return names_of(ast.unparse(node))
    except NO_PYTHON:
        return None


def _statements(cells: list[NotebookNode], place: int, template: Template) -> Iterator[tuple[ast.stmt, Names]]:
    """The definitions below a test, and those above it in cells that are not run; of what costs something to make
    (the value of a call, in a cell that is not run) none. The course's own cells do not solve its exercises."""
    exercises = {name for cell in template.cells if cell.kind == SOLUTION for name in (cell.grade_id, *cell.defines)}
    given = {bare(cell.source) for cell in template.cells if cell.kind == PROVIDED}
    stubs = {cell.grade_id: cell for cell in template.cells if cell.kind == SOLUTION}
    for at, cell in enumerate(cells):
        if cell.cell_type != "code" or kind_of(cell) == TEST or (at < place and _is_run(cell)):
            continue
        own = marks_of(cell).get("grade_id")
        if own in stubs and is_left_as_released(cell.source, stubs[own]):
            continue
        body = tree_of(cell.source)
        for node in body.body if body else []:
            of = _names_in(node)
            if of is None or not isinstance(node, (*_DEFINITIONS, ast.Assign, ast.AnnAssign)):
                continue
            if isinstance(node, ast.FunctionDef) and all(map(says_nothing, node.body)):
                continue
            if is_not_run(cell) and not isinstance(node, _DEFINITIONS) and not _is_literal(node):
                continue
            if of.made and not (bare(cell.source) in given and of.made & exercises):
                yield node, of


def _is_literal(node: ast.stmt) -> bool:
    try:
        ast.literal_eval(getattr(node, "value", None) or ast.Constant(None))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def explain_missing(cells: list[NotebookNode], place: int) -> str:
    """Why a name or module is not to be had for want of which the test at ``place`` failed, told from the whole
    notebook; empty where it failed otherwise."""
    laws = cells[place].metadata.get(RECORD, {}).get("laws", [])
    broken = [str(law["got"]) for law in laws if not law["passed"]]
    error = _error_of(cells[place]) or next(
        (got for got in broken if _UNDEFINED.search(got) or _NO_MODULE.search(got)), ""
    )
    exercise = exercise_name(str(marks_of(cells[place]).get("grade_id")))
    own = next((cell for cell in cells if marks_of(cell).get("grade_id") == exercise), None)
    if error.startswith("NameError") and own is not None:
        error = _error_of(own) or error  # that is what is reported
    return _explain_missing(error, cells, place)


def _explain_missing(error: str, cells: list[NotebookNode], place: int) -> str:
    if module := _NO_MODULE.search(error):
        name = module[1]
        return f"there is no package {name} where this is graded, and {name}.py was not handed in beside the notebook"
    missing = _UNDEFINED.search(error)
    if missing is None:
        return ""
    name = missing[1]
    for at, cell in enumerate(cells[:place]):
        names = names_of(cell.source) if _is_run(cell) else Names()
        if _is_run(cell) and (failed := _error_of(cell)) and (names is None or names.unseen or name in names.made):
            begins = next((line.strip() for line in cell.source.splitlines() if line.strip()), "")[:60]
            more = _explain_missing(failed, cells, at)
            return f"the cell that begins with {begins!r} failed: {failed}" + (f"; {more}" if more else "")
    makers = [
        (at, cell)
        for at, cell in enumerate(cells)
        if cell.cell_type == "code" and name in (names_of(cell.source) or Names()).made
    ]
    if not makers:
        return f"no cell of the notebook makes {name}: in JupyterLab, Restart Kernel and Run All Cells shows the same"
    if all(is_not_run(cell) for _, cell in makers):
        return f"only an experiment makes {name}, and experiments are not run at grading"
    return f"{name} is made only below the test" if all(at > place for at, _ in makers) else ""


def _error_of(cell: NotebookNode) -> str:
    """The error that a cell ended with, in a line."""
    error = next((output for output in cell.get("outputs", []) if output.output_type == "error"), None)
    return f"{error.ename}: {' '.join(error.evalue.split())[:200]}" if error is not None else ""
