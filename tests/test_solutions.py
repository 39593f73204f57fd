"""`course solutions`: executed notebooks are kept only when they are what they should be."""

from __future__ import annotations

import nbformat
import pytest
from miniature import make_tree

from autograder.solutions import solve_unit
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

UNIT = "01_double"
EXPERIMENT = "import os, warnings\nwarnings.warn('look')\nprint(os.environ['COURSE_BUDGET'], os.getcwd())"


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    tree = Tree(make_tree(tmp_path_factory.mktemp("solutions") / "course"))
    change_experiment(tree, EXPERIMENT)
    solve_unit(tree, UNIT, budget="quick")
    return tree


def change_experiment(tree, source):
    path = tree.source / UNIT / f"{UNIT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[6].source = source
    nbformat.write(notebook, path)


def solution(tree):
    return tree.root / "solutions" / UNIT / f"{UNIT}.ipynb"


def test_solutions_are_executed_with_full_points_in_the_budget_asked_for(solved):
    cells = nbformat.read(solution(solved), as_version=4).cells
    assert [cells[3].outputs[0].data["text/plain"], cells[5].outputs[0].data["text/plain"]] == ["2", "2"]
    assert any(output.get("text", "").startswith("quick ") for output in cells[6].outputs)


def test_solutions_keep_the_code_and_leave_out_the_mark_scheme(solved):
    text = solution(solved).read_text()
    assert "doubled_value = x + x" in text and "One point for each" not in text


def test_solutions_name_no_path_of_this_machine(solved):
    text = solution(solved).read_text()
    assert str(solved.root) not in text and "ipykernel_" not in text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 / 0", "code cell 6 failed with ZeroDivisionError: division by zero"),
        ("print('*** FALLBACK DATA SET: digits')", "fell back to the embedded digits"),
        ("print('x' * 2_100_000)", "2.1 MB, more than 2"),
        ("double = lambda x: 1", None),
    ],
)
def test_what_must_not_be_kept_fails_and_leaves_the_old_file(solved, source, expected):
    before = solution(solved).read_bytes()
    change_experiment(solved, source)
    if expected is None:
        solve_unit(solved, UNIT)
        return
    with pytest.raises(CourseError, match=expected):
        solve_unit(solved, UNIT)
    assert solution(solved).read_bytes() == before


def test_a_fallback_data_set_is_kept_where_it_is_allowed(solved):
    change_experiment(solved, "print('*** FALLBACK DATA SET: digits')")
    solve_unit(solved, UNIT, allow_fallback=True)
    assert "FALLBACK" in solution(solved).read_text()


def test_a_check_that_does_not_give_its_own_solution_full_points_fails(solved):
    path = solved.source / UNIT / f"{UNIT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[5].source = notebook.cells[5].source.replace("6", "7")
    nbformat.write(notebook, path)
    with pytest.raises(CourseError, match="test_triple gives the solution 0.5 of 2 points"):
        solve_unit(solved, UNIT)
