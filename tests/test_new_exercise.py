"""The skeletons of a new exercise are released and checked as they stand, and nothing that is there is written over."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from miniature import CHECKOUT, make_tree

from autograder.new_exercise import new_exercise
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import Tree

UNIT = "01_double"


@pytest.fixture
def tree(tmp_path) -> Tree:
    """A course of tiny units with the folders that an exercise is written into."""
    tree = Tree(make_tree(tmp_path / "course"))
    shutil.copytree(CHECKOUT / "course_utils", tree.root / "course_utils", ignore=shutil.ignore_patterns("__pycache__"))
    (tree.root / "tests" / "bank").mkdir(parents=True)
    for name in ("__init__.py", "entries.py"):
        shutil.copy(CHECKOUT / "tests" / "bank" / name, tree.root / "tests" / "bank" / name)
    return tree


def source(tree: Tree) -> nbformat.NotebookNode:
    return nbformat.read(tree.source / UNIT / f"{UNIT}.ipynb", as_version=4)


def ids(tree: Tree) -> list[str]:
    return [cell.metadata.get("nbgrader", {}).get("grade_id", cell.cell_type) for cell in source(tree).cells]


def in_tree(tree: Tree, code: str) -> str:
    paths = [tree.root, tree.root / "tests", CHECKOUT]  # the course of the tree before that of the checkout
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, cwd=tree.root, capture_output=True, text=True, check=True).stdout


def test_the_skeletons_are_checked_as_they_stand(tree):
    new_exercise(tree, UNIT, "log_sum_exp")
    judge = (
        "from bank import load; from course_utils import check; bank = load('log_sum_exp')\n"
        "for entry in bank.right_ones + bank.wrong_ones:\n"
        "    score = check.log_sum_exp(entry.function, points=2)\n"
        "    print(repr(score), {law.cause.id for law in score.laws if law.cause} or '')\n"
    )
    assert in_tree(tree, judge).splitlines() == ["2 ", "0 {'mean'}"]
    gate = (
        f"import nbformat; source = nbformat.read('notebooks/{UNIT}/{UNIT}.ipynb', as_version=4)\n"
        "from autograder.points import find_point_faults; print(find_point_faults(source))\n"
    )
    assert in_tree(tree, gate) == "[]\n"


def test_the_cells_stand_below_the_last_exercise_or_the_one_named(tree):
    before = ids(tree)
    new_exercise(tree, UNIT, "last_one")
    new_exercise(tree, UNIT, "first_one", after="double")
    added = ["markdown", "first_one", "test_first_one"], ["markdown", "last_one", "test_last_one"]
    at = before.index("test_double") + 1
    last = before.index("test_triple") + 1
    assert ids(tree) == before[:at] + added[0] + before[at:last] + added[1] + before[last:]
    assert "### Exercise 1 · `first_one` · 2 points" in "".join(cell.source for cell in source(tree).cells)


@pytest.mark.parametrize("name", ["Foo", "class", "2nd", "log-sum", "double", "kl_divergence", "../evil", ""])
def test_a_name_that_is_taken_or_cannot_be_is_refused_and_nothing_is_written(tree, name):
    before = ids(tree)
    with pytest.raises((CourseError, WrongUsage)) as refusal:
        new_exercise(tree, UNIT, name)
    assert "\n" not in str(refusal.value)
    assert ids(tree) == before and list((tree.root / "tests" / "bank").glob("*.py")) != []


def test_an_unknown_neighbour_is_named_with_those_there_are(tree):
    with pytest.raises(WrongUsage, match="double, triple"):
        new_exercise(tree, UNIT, "log_sum_exp", after="tripel")
    assert not (Path(tree.root) / "tests" / "bank" / "log_sum_exp.py").exists()
