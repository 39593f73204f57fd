"""A real unit as an instructor and as a student have it: released, in an unpacked kit, and solved."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import nbformat
from miniature import CHECKOUT

from autograder.kit import FOLDER, build_kit
from autograder.release import release_units
from course_utils.system.tree import Tree

BEGIN_OR_END = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", flags=re.MULTILINE)


def make_instructors_tree(root: Path, unit: str) -> Path:
    """The configuration of this checkout and one of its units, released, in the folder ``root``."""
    shutil.copytree(CHECKOUT / "notebooks" / unit, root / "notebooks" / unit)
    shutil.copy(CHECKOUT / "nbgrader_config.py", root)
    release_units(Tree(root), [unit])
    return root


def unpack_kit(instructors_tree: Path, folder: Path) -> Path:
    """The student kit of a tree, unpacked below ``folder``."""
    with zipfile.ZipFile(build_kit(Tree(instructors_tree))) as packed:
        packed.extractall(folder)
    return folder / FOLDER


def read_unit(root: Path, unit: str) -> nbformat.NotebookNode:
    """The notebook of a unit, below ``root``."""
    return nbformat.read(root / "notebooks" / unit / f"{unit}.ipynb", as_version=4)


def solve(released: nbformat.NotebookNode, source: nbformat.NotebookNode) -> None:
    """Fill the exercises of a released notebook in with the solutions of its source."""
    solutions = {grade_id(cell): cell.source for cell in source.cells if cell.cell_type == "code" and grade_id(cell)}
    for cell in released.cells:
        if grade_id(cell) in solutions:
            cell.source = BEGIN_OR_END.sub("", solutions[grade_id(cell)])


def end_at_first_explorer(notebook: nbformat.NotebookNode) -> None:
    """Drop what comes after the cell that shows the first explorer."""
    shows = [c.cell_type == "code" and "explore.latent_space" in c.source for c in notebook.cells]
    del notebook.cells[shows.index(True) + 1 :]


def grade_id(cell: nbformat.NotebookNode) -> str | None:
    """The name of a cell that is graded or to be filled in."""
    return cell.metadata.get("nbgrader", {}).get("grade_id")
