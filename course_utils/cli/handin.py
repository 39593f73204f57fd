"""Reading a notebook that somebody hands in: what it must be, and what is wrong with it when it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import Tree

MAX_MEGABYTES = 20


def read_notebook(path: Path) -> Any:
    """The notebook of a graded unit at ``path`` as nbformat's node (version 4).

    Raises CourseError as `parse_notebook` does, and when the notebook has lost its nbgrader metadata.
    """
    notebook = parse_notebook(path)
    if not graded_cells(notebook):
        raise CourseError(
            f"{path.name} has lost the metadata that grading needs (no graded cell is marked). Copy your code into a "
            "fresh copy of the unit's notebook."
        )
    return notebook


def parse_notebook(path: Path) -> Any:
    """The notebook at ``path`` as nbformat's node (version 4).

    Raises CourseError when it is missing, too large, not JSON or not a notebook.
    """
    import nbformat

    if not path.is_file():
        raise CourseError(f"{path.name} is missing; expected it in {path.parent}.")
    megabytes = path.stat().st_size / 1e6
    if megabytes > MAX_MEGABYTES:
        raise CourseError(
            f"{path.name} has {megabytes:.0f} MB, more than {MAX_MEGABYTES}. In JupyterLab: Kernel > Restart Kernel "
            "and Clear Outputs of All Cells, then save."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise CourseError(f"{path.name} is not a notebook: it does not contain valid JSON, so it is damaged.") from None
    try:
        notebook = nbformat.reads(json.dumps(content), as_version=4)
        nbformat.validate(notebook)
    except Exception as error:
        detail = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise CourseError(f"{path.name} is not a valid Jupyter notebook ({detail}).") from None
    return notebook


def graded_cells(notebook: Any) -> dict[str, float]:
    """Maximum points of each graded cell by its ``grade_id``."""
    cells = {}
    for cell in notebook.cells:
        marks = cell.metadata.get("nbgrader")
        if isinstance(marks, dict) and marks.get("grade") and marks.get("grade_id"):
            cells[str(marks["grade_id"])] = float(marks.get("points") or 0)
    return cells


def course_cells(tree: Tree) -> dict[str, dict[str, float]]:
    """Graded cells and their points for every unit, as released: from kit.json, or from the notebooks themselves."""
    import nbformat

    if tree.is_kit:
        return json.loads((tree.root / "kit.json").read_text(encoding="utf-8"))["units"]
    units = {}
    for unit in tree.units():
        try:
            notebook = nbformat.read(tree.source / unit / f"{unit}.ipynb", as_version=4)
        except Exception:  # this unit cannot be told apart then; the others still can
            continue
        units[unit] = graded_cells(notebook)
    return units


def require_graded(tree: Tree, unit: str) -> None:
    """Raise WrongUsage when nothing in ``unit`` is graded, as in the scoreboard."""
    if not is_graded(tree, unit):
        raise WrongUsage(f"{unit} is not graded: there is nothing to hand in or to mark.")


def is_graded(tree: Tree, unit: str) -> bool:
    """Whether ``unit`` has graded cells. A notebook that cannot be read counts as graded: that is said when it is used."""
    return course_cells(tree).get(unit) != {}


def require_unit(notebook: Any, unit: str, units: dict[str, dict[str, float]], name: str) -> None:
    """Raise CourseError when ``notebook`` is of another unit than ``unit``."""
    here = graded_cells(notebook).keys()
    shared = {other: len(here & cells.keys()) for other, cells in units.items()}
    if shared.get(unit):
        return
    best = max(shared, key=shared.get, default=None)
    belongs = f"it belongs to {best}" if best and shared[best] else "its cells belong to no unit of this course"
    raise CourseError(f"{name} is not the notebook of {unit}: {belongs}.")


def exercise_name(grade_id: str) -> str:
    """The exercise's name as it stands in grades.csv: ``test_kl_divergence`` is ``kl_divergence``."""
    return grade_id.removeprefix("test_")
