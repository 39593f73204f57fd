"""``course new-exercise``: the skeletons of an exercise, which are released and checked as they stand.

Three files are written by hand from there: the cells in the unit's source, the check, and the bank of implementations.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template
from typing import Any
from uuid import uuid4

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader import utils
from nbgrader.nbgraderformat import SCHEMA_VERSION

from course_utils.checks import CHECKS, OWN
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import Tree, notebook_path
from course_utils.system.whole_file import write_whole

from .release import read_source

SKELETONS = Path(__file__).parent / "skeletons"
EXERCISES, BANK = Path("course_utils", "checks", "exercises"), Path("tests", "bank")
POINTS = 2


def new_exercise(tree: Tree, unit: str, name: str, after: str | None = None) -> list[Path]:
    """Write the cells of exercise ``name`` into the source of ``unit``, its check and its bank; returns the files.

    The cells stand below the check of the exercise ``after``, by default of the unit's last one. Nothing is written
    when the name is taken or cannot be a function's.
    """
    source = read_source(tree, unit, as_it_is=True)
    place = _place(source, unit, after)
    cells, files = cells_of(tree, name, _number(source, place), with_check=True)
    source.cells[place:place] = cells
    for path, text in files.items():
        write_whole(path, text)
    notebook = notebook_path(tree.source, unit, tree.notebook(unit))
    write_whole(notebook, nbformat.writes(source, version=4) + "\n")
    return [notebook, *files]


def cells_of(tree: Tree, name: str, number: str, with_check: bool) -> tuple[list[NotebookNode], dict[Path, str]]:
    """The cells of a new exercise and the files that go with them: a check and its bank; in a course of one's own its
    check alone; none for a plain test. Raises CourseError or WrongUsage where the name cannot be."""
    own = not (tree.root / EXERCISES).is_dir()
    check, bank = (tree.root / folder / f"{name}.py" for folder in (OWN if own else EXERCISES, BANK))
    _require_free(tree, name, check, bank)
    if not own and not bank.parent.is_dir():
        raise CourseError(f"{bank.parent} does not exist: new exercises are written in the course's own checkout.")
    files = {check: "check.txt"} if own else {check: "check.txt", bank: "bank.txt"}
    texts = {path: _filled(skeleton, name) for path, skeleton in files.items()} if with_check else {}
    if own and with_check:
        texts[check] = texts[check].replace("from ..engine", "from course_utils.checks.engine")
    return _cells(name, number, with_check), texts


def _require_free(tree: Tree, name: str, *paths: Path) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise WrongUsage(f"{name!r} cannot be an exercise: expected a function's name in lower case, like log_sum_exp.")
    taken = [path for path in paths if path.exists()]
    if name in CHECKS or taken:
        raise CourseError(f"there is an exercise {name} already ({taken[0] if taken else 'its check is installed'}).")
    for unit in tree.units():
        if any(_grade_id(cell) in (name, f"test_{name}") for cell in read_source(tree, unit).cells):
            raise CourseError(f"{unit} has a cell {name} already. Choose another name.")


def _place(source: NotebookNode, unit: str, after: str | None) -> int:
    """The index of the first cell below the check of ``after``."""
    checks = {
        _grade_id(cell).removeprefix("test_"): index
        for index, cell in enumerate(source.cells)
        if cell.cell_type == "code" and utils.is_grade(cell) and not utils.is_solution(cell)
    }
    if after is None:
        return max(checks.values(), default=len(source.cells) - 1) + 1
    if after not in checks:
        raise WrongUsage(f"{unit} has no exercise {after!r}; it has {', '.join(checks) or 'none'}.")
    return checks[after] + 1


def _number(source: NotebookNode, place: int) -> str:
    """The number on the new card: one more than the last card above, or ``1``."""
    above = "\n".join(cell.source for cell in source.cells[:place] if cell.cell_type == "markdown")
    numbers = re.findall(r"^### Exercise ([\d.]+)", above, re.MULTILINE)
    if not numbers:
        return "1"
    head, dot, last = numbers[-1].rpartition(".")
    return f"{head}{dot}{int(last) + 1}"


def _cells(name: str, number: str, with_check: bool) -> list[NotebookNode]:
    call = f"from course_utils import check\n\ncheck.{name}({name}, points={POINTS})"
    if not with_check:
        call = f"assert {name}(torch.ones(2, 3)) == 6\nassert {name}(torch.zeros(1, 1)) == 0"
    graded = marks_of(f"test_{name}", grade=True, locked=True, points=POINTS)
    return [
        new_markdown_cell(_filled("card.md", name, number=number), id=new_id()),
        new_code_cell(_filled("solution.txt", name), id=new_id(), metadata=marks_of(name, solution=True)),
        new_code_cell(call, id=new_id(), metadata=graded | {"tags": ["nbval-check-output"]}),
    ]


def marks_of(grade_id: str, **kind: Any) -> dict[str, Any]:
    """nbgrader's metadata of a cell."""
    base = {"grade": False, "locked": False, "solution": False, "task": False}
    return {"nbgrader": base | {"grade_id": grade_id, "schema_version": SCHEMA_VERSION} | kind}


def new_id() -> str:
    return uuid4().hex[:8]


def _grade_id(cell: NotebookNode) -> str:
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def _filled(skeleton: str, name: str, **values: str) -> str:
    text = (SKELETONS / skeleton).read_text(encoding="utf-8")
    filled = Template(text).substitute(name=name, **values)
    return filled if skeleton in ("check.txt", "bank.txt") else filled.rstrip("\n")
