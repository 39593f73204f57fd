"""The release gate on what can be graded: whatever cannot is refused, naming notebook, cell and reason.

nbgrader's kinds of cells are graded as nbgrader documents them; what it would refuse without naming a cell, or score
without a word, is found here before anything is made.
"""

from __future__ import annotations

import ast
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path

from nbformat import NotebookNode
from nbgrader import utils

from course_utils.cli.handin.names import missing_modules, names_of, tree_of

from .leaks import HIDDEN_TESTS, MARK_SCHEME, SOLUTION
from .plain_tests import is_plain
from .run_order import missing_names
from .template import is_check, is_not_run

_GRADE_ID = re.compile(r"[A-Za-z0-9_-]+")  # as nbgrader has it
_BAD_IN_NAMES = "+*?[]{}"  # nbgrader takes these for patterns, or refuses them
_AUTOTEST = re.compile(r"^\s*#+\s*(HASHED\s+)?AUTOTEST\b", re.MULTILINE)
_MARKS = tuple(mark for pair in (SOLUTION, HIDDEN_TESTS, MARK_SCHEME) for mark in pair)
_LIKE_A_MARK = re.compile(r"[ \t]*#*[ \t]*((?:begin|end)[\W_]*[a-z]+(?:[\W_]*[a-z]+)?)[ \t#]*", re.I)
_NEAR = 0.85  # how like a mark a line must be to be taken for one that is misspelt
_FLAGS = ("grade", "solution", "locked", "task")


def find_ungradable(unit: str, notebooks: dict[str, NotebookNode], folder: Path | None = None) -> list[str]:
    """What of a unit's sources cannot be graded, one sentence each; an empty list means that all of it can.

    ``folder`` is where they lie: their code may import modules from there.
    """
    found = [
        f"the name {name!r} holds {char!r}, which nbgrader does not take in names"
        for name in (unit, *notebooks)
        for char in _BAD_IN_NAMES
        if char in name
    ]
    for name, notebook in notebooks.items():
        where = "" if name == unit else f"{name}.ipynb: "
        found += [where + fault for fault in _of_notebook(notebook)]
        code = [cell.source for cell in notebook.cells if _is_to_run(cell)]
        found += [
            f"{where}its code imports {module}; there is no {module}.py beside the notebook and no such package is "
            "installed: put it there, or install it"
            for module in (missing_modules(code, folder) if folder is not None else ())
        ]
    return found


def plain_tests(notebooks: dict[str, NotebookNode]) -> list[str]:
    """The grade ids of the tests that are no checks."""
    cells = [cell for notebook in notebooks.values() for cell in notebook.cells]
    return [cell.metadata.nbgrader["grade_id"] for cell in cells if is_plain(cell)]


def _of_notebook(notebook: NotebookNode) -> Iterator[str]:
    kernel = notebook.metadata.get("kernelspec", {})
    language = str(kernel.get("language") or notebook.metadata.get("language_info", {}).get("name") or "python")
    if language.lower() != "python":
        yield f"its kernel is of the language {language}, and only Python is graded here"
    if not notebook.cells:
        yield "it has no cells"
    if odd := [fault for cell in enumerate(notebook.cells, start=1) for fault in _of_metadata(*cell)]:
        yield from odd
        return
    places = defaultdict(list)
    for number, cell in enumerate(notebook.cells, start=1):
        marks = cell.metadata.get("nbgrader")
        if marks and (utils.is_grade(cell) or utils.is_solution(cell) or utils.is_task(cell) or utils.is_locked(cell)):
            places[str(marks.get("grade_id", ""))].append(number)
            yield from (f"cell {number}, {marks.get('grade_id')!r}: {fault}" for fault in _of_marks(cell))
        yield from (f"cell {number}{_called(cell)}: {fault}" for fault in _of_regions(cell))
    for grade_id, numbers in places.items():
        if len(numbers) > 1:
            yield f"cells {', '.join(map(str, numbers))} have the same id {grade_id!r}; give each its own"
    told: set[str] = set()
    made = None if _makes_unseen(notebook.cells) else _made_in(notebook.cells)
    for number, cell in enumerate(notebook.cells, start=1):
        if _is_to_run(cell) and not (utils.is_grade(cell) and not utils.is_solution(cell)):
            yield from (f"cell {number}{_called(cell)}: {fault}" for fault in _of_code(cell, made, told))
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code" and utils.is_grade(cell) and not utils.is_solution(cell):
            yield from (f"cell {number}{_called(cell)}: {fault}" for fault in _of_test(cell, notebook, told))


def _is_to_run(cell: NotebookNode) -> bool:
    """Whether a cell should run without an error."""
    return cell.cell_type == "code" and not is_not_run(cell) and "raises-exception" not in cell.metadata.get("tags", [])


def _of_metadata(number: int, cell: NotebookNode) -> Iterator[str]:
    """What of nbgrader's metadata is of another kind than it should be: everything else reads them."""
    if "nbgrader" not in cell.metadata:
        return
    marks = cell.metadata["nbgrader"]
    if not isinstance(marks, dict):
        yield f"cell {number}: its nbgrader metadata are {marks!r}, expected what Create Assignment writes there"
        return
    for flag in _FLAGS:
        if not isinstance(marks.get(flag, False if flag == "task" else None), bool):
            said = repr(marks.get(flag))
            yield f"cell {number}{_called(cell)}: its {flag!r} for nbgrader is {said}, expected true or false"
    if any(marks.get(flag) for flag in _FLAGS) and not isinstance(marks.get("grade_id"), str):
        yield f"cell {number}: its grade_id is {marks.get('grade_id')!r}, expected a name of letters, digits, - and _"


def _called(cell: NotebookNode) -> str:
    name = cell.metadata.get("nbgrader", {}).get("grade_id")
    return f", {name!r}" if name else ""


def _of_marks(cell: NotebookNode) -> Iterator[str]:
    marks = cell.metadata.nbgrader
    if not _GRADE_ID.fullmatch(str(marks.get("grade_id", ""))):
        yield "its id must be of letters, digits, - and _"
    if utils.is_task(cell) and (utils.is_grade(cell) or utils.is_solution(cell)):
        yield "it is a task and something else"
    elif utils.is_task(cell) and cell.cell_type == "code":
        yield "a task is a text; make it a Markdown cell"
    elif utils.is_grade(cell) and not utils.is_solution(cell) and cell.cell_type != "code":
        yield "a text cannot be a test; make it a manually graded answer"
    elif utils.is_solution(cell) and not utils.is_grade(cell) and cell.cell_type == "markdown":
        yield "a written answer has no points, so that nobody would mark it; make it a manually graded answer"
    elif utils.is_grade(cell) and utils.is_solution(cell) and cell.cell_type == "code" and _only_tests(cell.source):
        yield "it is a test and marked as a solution too, so that students would get a stub; make it autograder tests"
    if utils.is_solution(cell) and cell.metadata.get("editable") is False:
        yield "students could not write into it ('editable' is false in its metadata); let it be edited"
    if not (utils.is_grade(cell) or utils.is_task(cell)):
        return
    points = marks.get("points")
    number = isinstance(points, (int, float)) and not isinstance(points, bool)
    if not number or not math.isfinite(points) or points < 0:
        yield f"its points are {points!r}, expected a number that is not negative"


def _only_tests(source: str) -> bool:
    """Whether a cell does nothing but test: it calls a check, or holds assertions and what they need."""
    body = tree_of(source)
    kinds = (ast.Assert, ast.Import, ast.ImportFrom)
    only = body is not None and all(isinstance(node, kinds) or _is_text(node) for node in body.body)
    return is_check(source) or (only and "assert" in source)


def _of_regions(cell: NotebookNode) -> Iterator[str]:
    if odd := list(_odd_marks(cell)):
        yield from odd
        return
    kinds = (
        (SOLUTION, "a solution", utils.is_solution(cell)),
        (HIDDEN_TESTS, "hidden tests", utils.is_grade(cell)),
        (MARK_SCHEME, "a mark scheme", utils.is_task(cell)),
    )
    for (begin, end), what, fits in kinds:
        marks = re.findall(f"{begin}|{end}", cell.source)
        if marks != [begin, end] * (len(marks) // 2):
            yield f"'{begin}' and '{end}' do not come in pairs"
        elif marks and not fits:
            yield f"it holds {what} and is not of that kind, so that it would be published"


def _odd_marks(cell: NotebookNode) -> Iterator[str]:
    for line in cell.source.splitlines():
        if (like := _LIKE_A_MARK.fullmatch(line)) and not any(mark in line for mark in _MARKS):
            said = " ".join(re.findall(r"[A-Z]+", like[1].upper()))
            meant = max(_MARKS, key=lambda mark: SequenceMatcher(None, mark, said).ratio())
            if SequenceMatcher(None, meant, said).ratio() >= _NEAR:
                yield f"the line {line.strip()!r} is no mark, and would be released; write '### {meant}'"


def _of_test(cell: NotebookNode, notebook: NotebookNode, told: set[str]) -> Iterator[str]:
    if _AUTOTEST.search(cell.source):
        yield "AUTOTEST is not made into tests here; write the assertions"
        return
    body = tree_of(cell.source)
    if body is None:
        yield "it is no Python that can be run"
        return
    if not [node for node in body.body if not _is_text(node)]:
        yield "it tests nothing, so that everybody would get its points"
        return
    called = any(isinstance(node, ast.Attribute) and ast.unparse(node.value) == "check" for node in ast.walk(body))
    if called and not is_check(cell.source):
        yield "it calls a check and does not end with it; let the call be its last line"
    place = next(at for at, each in enumerate(notebook.cells) if each is cell)
    missing = missing_names(notebook.cells, place) - told
    nowhere = missing - _made_in(notebook.cells)
    if nowhere:
        yield f"no cell defines {', '.join(sorted(nowhere))}, so that nobody would get its points"
    elif missing:
        run = sorted(missing & _made_in([each for each in notebook.cells if not is_not_run(each)]))
        where = "below it" if run else "in cells that are not run at grading"
        yield f"it needs {', '.join(run or sorted(missing))}, made only {where}; make it above, in a cell that is run"


def _made_in(cells: list[NotebookNode]) -> set[str]:
    """All names that code cells make at their top level."""
    return {name for cell in cells if cell.cell_type == "code" and (of := names_of(cell.source)) for name in of.made}


def _makes_unseen(cells: list[NotebookNode]) -> bool:
    """Whether some cell may make names that its text does not show."""
    return any(of.unseen for cell in cells if cell.cell_type == "code" and (of := names_of(cell.source)))


def _of_code(cell: NotebookNode, made: set[str] | None, told: set[str]) -> Iterator[str]:
    """What would stop a cell that students get, or a solution. ``made``: all names of the notebook, None where they
    cannot be told; ``told`` takes those that are missed."""
    names = names_of(cell.source)
    if names is None:
        yield "it is no Python that can be run; correct it, or tag it raises-exception"
        return
    if made is None or "NameError" in cell.source:
        return
    missing = sorted(names.needed - made)
    told.update(missing)
    if missing:
        yield f"no cell defines {', '.join(missing)}, so that it would end with an error"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
