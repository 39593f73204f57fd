"""A class whose written answers wait to be marked: graded notebooks and gradebook as `course grade` leaves them, made
without running anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nbformat
from miniature import CHECKOUT, marks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from autograder.grade import grade_unit
from autograder.gradebook import one_commit
from autograder.nbgrader_course import NbGraderCourse
from autograder.release import register_unit
from course_utils.system.stubs import is_blank
from course_utils.system.tree import Tree

UNIT = "01_written"
SCHEME = """### BEGIN MARK SCHEME
1 point each:
- What changes: the length of the codes, and *nothing* else that was
  measured.
- Prediction: the row "scaled axes", with its number.
- Remedy: a density that follows the clusters.

No point for these, which are wrong: "the latent space is discrete" (codes are continuous; all of them); "more epochs".
### END MARK SCHEME"""
TABLE = (
    "<table><caption>Fréchet distance of samples</caption><thead><tr><th>z from</th><th>Fréchet</th><th>loss</th></tr>"
    "</thead><tbody><tr><td>scaled axes</td><td>117.2</td><td>54.63</td></tr>"
    "<tr><td>mixture of 10</td><td>23.4</td><td>54.63</td></tr></tbody></table>"
)


def source(questions: int = 1, scheme: str = SCHEME) -> nbformat.NotebookNode:
    """A unit of one experiment and so many questions of 3 points."""
    cells = [new_markdown_cell("# Written"), new_markdown_cell("## 1.8 Samplers")]
    cells.append(new_code_cell("show()", metadata={"tags": ["experiment"]}))
    for number in range(questions):
        name = f"q{number}" if number else "samples"
        asked = (
            f"### Question {number + 1} · 3 points\n\n**What will she see?** Name $\\beta = 4$ and numbers.\n\n{scheme}"
        )
        cells.append(new_markdown_cell(asked, metadata=marks(f"rubric_{name}", task=True, locked=True, points=0)))
        answer = f"A model answer number {number}, as nobody writes it."
        cells.append(new_markdown_cell(answer, metadata=marks(f"q_{name}", grade=True, solution=True, points=3)))
    for position, cell in enumerate(cells):
        cell["id"] = f"cell-{position}"
    return new_notebook(
        cells=cells, metadata={"kernelspec": {"display_name": "P", "language": "python", "name": "python3"}}
    )


def make_class(root: Path, answers: list[str], questions: int = 1, scheme: str = SCHEME) -> Tree:
    """A course tree with one graded student for each answer (to every question the same text)."""
    folder = root / "notebooks" / UNIT
    folder.mkdir(parents=True)
    shutil.copy(CHECKOUT / "nbgrader_config.py", root)
    nbformat.write(source(questions, scheme), folder / f"{UNIT}.ipynb")
    tree = Tree(root)
    register_unit(tree, UNIT)
    with NbGraderCourse(tree).gradebook() as gradebook, one_commit(gradebook):
        for number, text in enumerate(answers):
            enter(tree, gradebook, f"student{number:03}", text)
    return tree


def enter(tree: Tree, gradebook, student: str, text: str, **more) -> None:
    """What grading keeps of a student who answers every question with ``text``."""
    notebook = nbformat.read(tree.root / "notebooks" / UNIT / f"{UNIT}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [new_output("display_data", {"text/html": TABLE, "text/plain": "a table"})]
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = text
            cell.update(more)
    gradebook.update_or_create_student(student)
    submission = gradebook.update_or_create_submission(UNIT, student)
    for grade in submission.notebooks[0].grades:
        blank = grade.cell.name.startswith("rubric") or is_blank(text)
        grade.auto_score, grade.needs_manual_grade = (0, False) if blank else (None, True)
    for path in (tree.root / folder / student / UNIT for folder in ("autograded", "submitted")):
        path.mkdir(parents=True, exist_ok=True)
        (path / f"{UNIT}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


def write_rows(tree: Tree) -> None:
    """grades.csv, as `course grade` leaves it."""
    grade_unit(tree, UNIT, run=False)
