"""The release gate on what can be graded: whatever cannot is refused, naming notebook, cell and reason.

nbgrader's kinds of cells are graded as nbgrader documents them; what it would refuse without naming a cell, or score
without a word, is found here before anything is made.
"""

from __future__ import annotations

import ast
import builtins
import math
import re
from collections import defaultdict
from collections.abc import Iterator

from nbformat import NotebookNode
from nbgrader import utils

from .leaks import HIDDEN_TESTS, MARK_SCHEME, SOLUTION
from .plain_tests import is_plain
from .points import python_of
from .template import is_check

_GRADE_ID = re.compile(r"[A-Za-z0-9_-]+")  # as nbgrader has it
_BAD_IN_NAMES = "+*?[]{}"  # nbgrader takes these for patterns, or refuses them
_AUTOTEST = re.compile(r"^\s*#+\s*(HASHED\s+)?AUTOTEST\b", re.MULTILINE)
_OF_IPYTHON = {"get_ipython", "display", "In", "Out", "exit", "quit", "_", "__", "___", "__name__", "__file__"}
_BINDS_UNSEEN = re.compile(r"import\s+\*|^\s*%(run|pylab|load|store|autoreload)\b|\b(exec|globals|locals)\(", re.M)


def find_ungradable(unit: str, notebooks: dict[str, NotebookNode]) -> list[str]:
    """What of a unit's sources cannot be graded, one sentence each; an empty list means that all of it can."""
    found = [
        f"the name {name!r} holds {char!r}, which nbgrader does not take in names"
        for name in (unit, *notebooks)
        for char in _BAD_IN_NAMES
        if char in name
    ]
    for name, notebook in notebooks.items():
        where = "" if name == unit else f"{name}.ipynb: "
        found += [where + fault for fault in _of_notebook(notebook)]
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
    known = _bound(notebook)
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code" and utils.is_grade(cell) and not utils.is_solution(cell):
            yield from (f"cell {number}{_called(cell)}: {fault}" for fault in _of_test(cell, known))


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
    if not (utils.is_grade(cell) or utils.is_task(cell)):
        return
    points = marks.get("points")
    number = isinstance(points, (int, float)) and not isinstance(points, bool)
    if not number or not math.isfinite(points) or points < 0:
        yield f"its points are {points!r}, expected a number that is not negative"


def _of_regions(cell: NotebookNode) -> Iterator[str]:
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


def _of_test(cell: NotebookNode, known: set[str] | None) -> Iterator[str]:
    if _AUTOTEST.search(cell.source):
        yield "AUTOTEST is not made into tests here; write the assertions"
        return
    body = _parsed(cell.source)
    if body is None:
        yield "it is no Python that can be run"
        return
    if not [node for node in body.body if not _is_text(node)]:
        yield "it tests nothing, so that everybody would get its points"
        return
    if is_check(cell.source):
        return
    if any(isinstance(node, ast.Attribute) and ast.unparse(node.value) == "check" for node in ast.walk(body)):
        yield "it calls a check and does not end with it; let the call be its last line"
    missing = sorted(_used(body) - (known or set()) - _bound_in(body) - set(dir(builtins)) - _OF_IPYTHON)
    if known is not None and missing:
        yield f"no cell defines {', '.join(missing)}, so that nobody would get its points"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _parsed(source: str) -> ast.Module | None:
    """A cell's Python; None where it is none."""
    try:
        return python_of(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _bound(notebook: NotebookNode) -> set[str] | None:
    """All names that the code of a notebook binds anywhere; None where that cannot be told."""
    names: set[str] = set()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        body = _parsed(cell.source)
        if body is None or _BINDS_UNSEEN.search(cell.source):
            return None
        names |= _bound_in(body)
    return names


def _bound_in(body: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(body):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif (isinstance(node, ast.ExceptHandler) and node.name) or (
            isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name
        ):
            names.add(node.name)
    return names


def _used(body: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(body) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
