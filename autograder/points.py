"""The release gate on test cells: their points and their checks.

What an exercise is worth stands in three places, and must be the same in all of them: the card's heading is for the
student, nbgrader's points for the gradebook, ``points=`` for the check. A check that cannot be imported would leave the
whole class undecided.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader import utils

from course_utils.checks import CHECKS
from course_utils.cli.handin import read_source, templates_of
from course_utils.cli.handin.cells import is_check, labels_of
from course_utils.cli.handin.names import python_in, tree_of
from course_utils.system.errors import WrongUsage
from course_utils.system.tree import Tree, notebook_path
from course_utils.system.whole_file import write_whole

TEST = "test_"


def find_point_faults(source: NotebookNode) -> list[str]:
    """What disagrees in a unit's source, one sentence each; an empty list means that it may be released.

    Looks at cells whose last expression is ``check.<exercise>(...)``; what else is graded is nbgrader's own business.
    """
    headings = _headings(source)
    found = []
    for cell in _test_cells(source):
        found_call = _check_call(cell.source)
        if found_call is None:
            found += _own_check_faults(cell)
            continue
        exercise, call = found_call
        grade_id, points = cell.metadata.nbgrader["grade_id"], float(cell.metadata.nbgrader["points"])
        if exercise not in CHECKS:
            found.append(f"{grade_id} calls check.{exercise}, which does not exist; there are {', '.join(CHECKS)}")
            continue
        if grade_id != TEST + exercise:
            found.append(f"{grade_id} calls check.{exercise}; its grade_id must be {TEST + exercise}")
        said = _points_of(call)
        places = {"nbgrader's points of the cell": points, f"points= in check.{exercise}(...)": said}
        if exercise in headings:
            places[f"the heading of the card of `{exercise}`"] = headings[exercise]
        if None in places.values() or len(set(places.values())) > 1:
            told = "; ".join(f"{place}: {'none' if value is None else f'{value:g}'}" for place, value in places.items())
            found.append(f"the points of {grade_id} disagree ({told})")
    return found


def _own_check_faults(cell: NotebookNode) -> list[str]:
    """Of a unit's own ``check(...)``: its ``points=``, where it is a number, is what the cell is worth."""
    tree = tree_of(cell.source) if is_check(cell.source) else None
    call = tree.body[-1].value if tree is not None and isinstance(tree.body[-1], ast.Expr) else None
    if not isinstance(call, ast.Call) or not any(keyword.arg == "points" for keyword in call.keywords):
        return []
    said, points = _points_of(call), float(cell.metadata.nbgrader["points"])
    if said is None or said == points:
        return []
    grade_id = cell.metadata.nbgrader["grade_id"]
    return [f"the points of {grade_id} disagree (nbgrader's points of the cell: {points:g}; points= in it: {said:g})"]


def find_check_faults(source: NotebookNode) -> list[str]:
    """What of this course the test cells of a unit name and cannot have, one sentence each; imports every check."""
    found = []
    for cell in _test_cells(source):
        grade_id = cell.metadata.nbgrader["grade_id"]
        try:
            body = ast.parse(python_in(cell.source))
        except SyntaxError as error:
            found.append(f"{grade_id} is no Python (line {error.lineno}: {error.msg})")
            continue
        for what, load in _named(body):
            try:
                load()
            except Exception as error:
                lines = str(error).splitlines() or [""]
                found.append(f"{grade_id} needs {what}, which cannot be had ({type(error).__name__}: {lines[0]})")
    return found


def _named(body: ast.Module) -> Iterator[tuple[str, Callable[[], object]]]:
    """The course's modules that a cell imports and the checks that it calls, with what fetches each."""
    for node in ast.walk(body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            text = ast.unparse(node)
            if re.match(r"(import|from) course_utils\b", text):
                yield f"`{text}`", partial(exec, text, {})
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "check" and node.attr in CHECKS:
            yield f"check.{node.attr}", partial(CHECKS.__getitem__, node.attr)  # others are named with their points


def _test_cells(source: NotebookNode) -> list[NotebookNode]:
    return [
        cell
        for cell in source.cells
        if cell.cell_type == "code" and utils.is_grade(cell) and not utils.is_solution(cell)
    ]


# A card's heading: ``### Exercise 1.1 · `name` · 3 points``; in any language: it ends with a number and a word. A
# question's has no name, but stands in its own cell.
_WORTH = r"[·|:(–]\s*)(\d+(?:[.,]\d+)?)(?=\s*[^\W\d_]+[^\w\n]*$)"
_CARD = re.compile(rf"^(#+ [^\n]*`(\w+)`[^\n]*?{_WORTH}", re.MULTILINE)
_QUESTION = re.compile(rf"^(#+ [^\n]*?{_WORTH}", re.MULTILINE)


def _headings(source: NotebookNode) -> dict[str, float]:
    """Exercise -> the points that its card's heading names."""
    text = "\n".join(cell.source for cell in source.cells if cell.cell_type == "markdown")
    return {name: float(points.replace(",", ".")) for _, name, points in _CARD.findall(text)}


def set_points(tree: Tree, unit: str, exercise: str, worth: float) -> tuple[Path, list[str]]:
    """Change what a graded cell of the source is worth, wherever that stands; returns the file and the places.

    ``exercise`` is its name in grades.csv. Raises WrongUsage for a name that there is not, or points that are none.
    """
    if not math.isfinite(worth) or worth < 0:
        raise WrongUsage(f"points are {worth:g}; expected a number that is not negative.")
    known = {label: place for place, label in labels_of(templates_of(tree, unit)).items()}
    known |= {grade_id: (name, grade_id) for name, grade_id in known.values()}
    if exercise not in known:
        raise WrongUsage(f"{unit} has no exercise or question {exercise!r}; it has {', '.join(known)}.")
    name, grade_id = known[exercise]
    source, path = read_source(tree, unit, name, as_it_is=True), notebook_path(tree.source, unit, name)
    places = []
    index = next(i for i, c in enumerate(source.cells) if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id)
    source.cells[index].metadata.nbgrader["points"] = int(worth) if worth == int(worth) else worth
    places.append("nbgrader's points")
    call = re.sub(r"\bpoints=[\d.]+(?=\s*[,)])", f"points={worth:g}", source.cells[index].source)
    if source.cells[index].cell_type == "code" and call != source.cells[index].source:
        source.cells[index].source = call
        places.append("points= of the call")
    above = [cell for cell in source.cells[: index + 1] if cell.cell_type == "markdown"]
    pattern = re.compile(_CARD.pattern.replace(r"(\w+)", f"({re.escape(grade_id.removeprefix(TEST))})"), re.MULTILINE)
    if utils.is_solution(source.cells[index]) or utils.is_task(source.cells[index]):
        above, pattern = above[-2:], _QUESTION
    for cell in above:
        text = pattern.sub(lambda found: f"{found[1]}{worth:g}", cell.source)
        if text != cell.source:
            cell.source = text
            places.append("the heading")
    write_whole(path, nbformat.writes(source, version=4) + "\n")
    return path, places


def _check_call(source: str) -> tuple[str, ast.Call] | None:
    """The exercise and the call of its check that the cell ends with, if it does."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return None
    last = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
    if isinstance(last, ast.Call) and isinstance(last.func, ast.Attribute) and isinstance(last.func.value, ast.Name):
        return (last.func.attr, last) if last.func.value.id == "check" else None
    return None


def _points_of(call: ast.Call) -> float | None:
    """The number given as ``points``; a check without it is worth 1."""
    given = [keyword.value for keyword in call.keywords if keyword.arg == "points"] or call.args[1:2]
    if not given:
        return 1.0
    value = given[0].value if isinstance(given[0], ast.Constant) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
