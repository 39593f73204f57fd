"""The release gate on points: card, cell and call must agree, and the sentence names all three."""

from __future__ import annotations

import nbformat
import pytest
from miniature import make_tree
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_source import graded_units, read

from autograder.points import find_check_faults, find_point_faults
from autograder.release import release_units
from course_utils import checks
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree


def unit(heading="### Exercise 1 · `slerp` · 3 points", points=3, call="check.slerp(slerp, points=3)", name="slerp"):
    marks = {"grade": True, "solution": False, "grade_id": f"test_{name}", "points": points, "schema_version": 3}
    source = f"from course_utils import check\n\n{call}"
    return new_notebook(
        cells=[new_markdown_cell(f"{heading}\nText"), new_code_cell(source, metadata={"nbgrader": marks})]
    )


@pytest.mark.parametrize("name", graded_units())
def test_the_units_of_the_course_agree(name):
    assert find_point_faults(new_notebook(cells=read(name).cells)) == []


@pytest.mark.parametrize(
    "agreeing",
    [
        unit(),
        unit(points=3.0, call="check.slerp(slerp, 3)"),
        unit(heading="no card"),
        unit(heading="### Exercise 1 · `slerp` · 1 point", points=1, call="check.slerp(slerp)"),
        unit(heading="## 2.5 `slerp` · 2.5 points", points=2.5, call="check.slerp(slerp, points=2.5)"),
        unit(heading="### `slerp` · 9 points", points=4, call="assert slerp(0, 1, 2)[0] == 0", name="slerp"),
    ],
)
def test_what_agrees_or_is_no_check_passes(agreeing):
    assert find_point_faults(agreeing) == []


@pytest.mark.parametrize(
    ("disagreeing", "told"),
    [
        (unit(points=1), ("cell: 1", "check.slerp(...): 3", "card of `slerp`: 3")),
        (unit(call="check.slerp(slerp, points=6)"), ("cell: 3", "check.slerp(...): 6", "card of `slerp`: 3")),
        (unit(heading="### Exercise 1 · `slerp` · 4 points"), ("cell: 3", "check.slerp(...): 3", "card of `slerp`: 4")),
        (unit(call="check.slerp(slerp)"), ("check.slerp(...): 1",)),
        (unit(call="check.slerp(slerp, points=worth)"), ("check.slerp(...): none",)),
    ],
)
def test_what_disagrees_is_named_with_all_its_places(disagreeing, told):
    (fault,) = find_point_faults(disagreeing)
    assert "test_slerp" in fault and all(each in fault for each in told), fault


def test_a_misspelt_check_and_a_cell_of_another_name_are_named():
    (fault,) = find_point_faults(unit(call="check.slurp(slerp, points=3)"))
    assert "check.slurp, which does not exist" in fault and "slerp" in fault
    (fault,) = find_point_faults(unit(name="interpolate"))
    assert "must be test_slerp" in fault


@pytest.fixture
def own_checks(tmp_path, monkeypatch):
    """A folder of checks beside the course's, to write broken ones into."""
    monkeypatch.setattr(checks.CHECKS, "_names", [*checks.CHECKS, "broken"])
    package = __import__("course_utils.checks.exercises", fromlist=["exercises"])
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    return tmp_path / "broken.py"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("from ..engine.score import Draw\nCHECK = Draw()\n", "Draw"),
        ("import no_such_module\n", "no_such_module"),
        ("CHECKS = 1\n", "CHECK"),
        ("def (:\n", "invalid syntax"),
        ("raise KeyError('x')\n", "KeyError"),
    ],
)
def test_a_check_that_cannot_be_imported_is_named(own_checks, monkeypatch, text, told):
    monkeypatch.delitem(__import__("sys").modules, "course_utils.checks.exercises.broken", raising=False)
    own_checks.write_text(text)
    (fault,) = find_check_faults(unit(call="check.broken(broken, points=3)", name="broken"))
    assert fault.startswith("test_broken needs check.broken") and told in fault


def test_a_wrong_import_and_what_is_no_python_are_named():
    ours = unit()
    assert find_check_faults(ours) == []
    ours.cells[1].source = "from course_utils import chek\n\nchek.slerp(slerp, points=3)"
    assert "chek" in find_check_faults(ours)[0]
    ours.cells[1].source = "%%time\n" + ours.cells[1].source
    assert "chek" in find_check_faults(ours)[0]
    ours.cells[1].source = "check.slerp(slerp, points=3"
    assert "is no Python" in find_check_faults(ours)[0]


def test_release_refuses_and_leaves_the_old_release(tmp_path):
    tree = Tree(make_tree(tmp_path / "course"))
    release_units(tree, tree.units())
    before = (tree.root / "release" / "01_double" / "01_double.ipynb").read_bytes()
    path = tree.source / "01_double" / "01_double.ipynb"
    source = nbformat.read(path, as_version=4)
    source.cells[3].source = "from course_utils import chek\n\n" + source.cells[3].source
    nbformat.write(source, path)
    with pytest.raises(
        CourseError, match="01_double is not released: test_double needs `from course_utils import chek`"
    ):
        release_units(tree, tree.units())
    assert (tree.root / "release" / "01_double" / "01_double.ipynb").read_bytes() == before
