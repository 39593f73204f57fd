"""A course tree of two tiny units, for tests of the instructor's commands that need no torch and little time."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

CHECKOUT = Path(__file__).resolve().parent.parent

DOUBLE = '''def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    doubled_value = x + x
    return doubled_value
    ### END SOLUTION
'''
TRIPLE = '''def triple(x):
    """Three times x."""
    ### BEGIN SOLUTION
    tripled_value = 3 * x
    return tripled_value
    ### END SOLUTION
'''
CHECK = """from course_utils.checks.engine.score import Cause, LawResult, Score


def check(function, expected, points):
    cause = Cause("adds", "you added where the text multiplies.")
    try:
        right = function(2) == expected
    except NotImplementedError:
        return Score("exercise", points, (LawResult("value", 1, False),), note="not written yet")
    laws = (LawResult("returns a number", 1, True),
            LawResult("value at 2", 3, right, str(expected), str(function(2)), None if right else cause))
    return Score("exercise", points, laws)
"""


def marks(grade_id: str, **kind) -> dict:
    """nbgrader's metadata of a cell."""
    base = dict.fromkeys(("grade", "locked", "solution", "task"), False) | {"grade_id": grade_id, "schema_version": 3}
    return {"nbgrader": base | kind}


def source_notebook(first: str = "double", second: str = "triple") -> nbformat.NotebookNode:
    """Two exercises of 2 points, one experiment, one written question of 3 points."""
    cells = [
        new_markdown_cell("# A tiny unit"),
        new_code_cell(CHECK),
        new_code_cell(DOUBLE.replace("double", first), metadata=marks(first, solution=True)),
        new_code_cell(
            f"check({first}, 4, points=2)",
            metadata=marks(f"test_{first}", grade=True, locked=True, points=2) | {"tags": ["nbval-check-output"]},
        ),
        new_code_cell(TRIPLE.replace("triple", second), metadata=marks(second, solution=True)),
        new_code_cell(
            f"check({second}, 6, points=2)",
            metadata=marks(f"test_{second}", grade=True, locked=True, points=2) | {"tags": ["nbval-check-output"]},
        ),
        new_code_cell(f"print('experiment', [{first}(i) for i in range(3)])", metadata={"tags": ["experiment"]}),
        new_markdown_cell(
            "What does doubling do?\n\n### BEGIN MARK SCHEME\nOne point for each of: the sign stays, zero stays.\n"
            "### END MARK SCHEME",
            metadata=marks(f"rubric_{first}", task=True, locked=True, points=0),
        ),
        new_markdown_cell(
            "The sign and zero stay, as every student should see.",
            metadata=marks(f"q_{first}", grade=True, solution=True, points=3),
        ),
    ]
    for position, cell in enumerate(cells):
        cell["id"] = f"cell-{position}"
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return new_notebook(cells=cells, metadata=metadata)


def make_tree(root: Path) -> Path:
    """A course tree with the units 01_double and 02_other, configured as the real one."""
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(CHECKOUT / "nbgrader_config.py", root)
    for unit, notebook in (("01_double", source_notebook()), ("02_other", source_notebook("twofold", "threefold"))):
        folder = root / "notebooks" / unit
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / f"{unit}.ipynb")
    return root


def hand_in(root: Path, student: str, unit: str, edits: dict[str, str], base: str = "release") -> Path:
    """Submit the released notebook with the sources of some cells (by grade id) replaced."""
    notebook = nbformat.read(root / base / unit / f"{unit}.ipynb", as_version=4)
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in edits:
            cell.source = edits[name]
    path = root / "submitted" / student / unit / f"{unit}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path
