"""Convolutional networks and scores as NumPy arrays, graded in the sandbox: modules stay inside, arrays come out."""

from __future__ import annotations

import os
import shutil

import nbformat
import pytest
from miniature import CHECKOUT, marks
from nbformat.v4 import new_code_cell, new_notebook

from autograder.demo import fill_in
from autograder.grade import grade_unit
from autograder.release import release_units
from autograder.sample_answers import ANOTHER_STYLE, MISCONCEPTIONS
from course_utils.tree import Tree

UNIT = "06_animals"
EXERCISES = ("build_conv_autoencoder", "attribute_scores")
MISTAKEN = {name: code for beliefs in MISCONCEPTIONS.values() for name, code in beliefs.items() if name in EXERCISES}
CAUSES = {"build_conv_autoencoder": "5 million parameters", "attribute_scores": "accuracy"}


def source() -> nbformat.NotebookNode:
    """A unit of the two exercises alone, solved in another style."""
    cells = [new_code_cell("from course_utils import check")]
    for name in EXERCISES:
        signature, _, body = ANOTHER_STYLE[name].strip().partition(f"def {name}")
        head, _, body = body.partition("\n")
        cells.append(new_code_cell(f"{signature}def {name}{head}\n    ### BEGIN SOLUTION\n{body}\n    ### END SOLUTION",
                                   metadata=marks(name, solution=True)))
        cells.append(new_code_cell(f"check.{name}({name}, points=4)", metadata=marks(
            f"test_{name}", grade=True, locked=True, points=4) | {"tags": ["nbval-check-output"]}))
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return notebook


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    root = tmp_path_factory.mktemp("animals") / "course"
    (root / "notebooks" / UNIT).mkdir(parents=True)
    nbformat.write(source(), root / "notebooks" / UNIT / f"{UNIT}.ipynb")
    shutil.copy(CHECKOUT / "nbgrader_config.py", root)
    tree = Tree(root)
    release_units(tree, [UNIT])
    for student, answers in {"another": ANOTHER_STYLE, "mistaken": MISTAKEN}.items():
        notebook = nbformat.read(tree.root / "release" / UNIT / f"{UNIT}.ipynb", as_version=4)
        fill_in(notebook, {name: answers[name] for name in EXERCISES})
        path = tree.root / "submitted" / student / UNIT / f"{UNIT}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        return {(row.student, row.exercise): row for row in grade_unit(tree, UNIT)}
    finally:
        os.environ.pop("OMP_NUM_THREADS") if before is None else os.environ.update(OMP_NUM_THREADS=before)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_right_answers_get_full_points(rows, exercise):
    row = rows["another", exercise]
    assert row.score == row.max_score == 4, row.reason


@pytest.mark.parametrize("exercise", EXERCISES)
def test_mistakes_cost_points_and_are_named(rows, exercise):
    row = rows["mistaken", exercise]
    assert 0 < row.score < row.max_score, row.reason
    assert CAUSES[exercise] in row.reason, row.reason
