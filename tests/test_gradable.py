"""What cannot be graded is refused at release, naming cell and reason; nbgrader's kinds of cells pass."""

from __future__ import annotations

import nbformat
import pytest
from miniature import make_tree, marks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell
from notebook_source import CHECKOUT

from autograder.gradable import find_ungradable, plain_tests
from autograder.release import read_sources, release_units
from course_utils.cli.handin.cells import Template, labels_of
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

SOLUTION = new_code_cell(
    "def square(x):\n    ### BEGIN SOLUTION\n    return x * x\n    ### END SOLUTION",
    metadata=marks("square", solution=True),
)


def test_cell(source: str, name: str = "test_square", points: object = 2, **kind):
    return new_code_cell(source, metadata=marks(name, **{"grade": True, "locked": True, "points": points} | kind))


test_cell.__test__ = False


def faults(*cells, unit: str = "01_a", notebook: str = "01_a", language: str = "python") -> list[str]:
    kernel = {"display_name": "x", "language": language, "name": "x"}
    source = new_notebook(cells=[SOLUTION, *cells], metadata={"kernelspec": kernel})
    return find_ungradable(unit, {notebook: source})


GOOD = {
    "assertion": test_cell("assert square(2) == 4"),
    "partial credit": test_cell("points = 0\nif square(2) == 4: points += 1\npoints"),
    "hidden tests": test_cell(
        "assert square(2) == 4\n### BEGIN HIDDEN TESTS\nassert square(3) == 9\n### END HIDDEN TESTS"
    ),
    "deletes a name": test_cell(
        "kept = square\ndel square\ntry:\n    pass\nfinally:\n    square = kept\nassert square(1)"
    ),
    "magic": test_cell("%matplotlib inline\nassert square(1) == 1"),
    "cell magic": test_cell("%%time\nassert square(1) == 1"),
    "shell": test_cell("files = !ls\nassert files is not None"),
    "comprehension": test_cell("assert all(square(i) == i * i for i in range(3))"),
    "handler": test_cell("try:\n    square(None)\nexcept TypeError as error:\n    assert str(error)"),
    "import": test_cell("import math\nfrom os import path as where\nassert math.pi and where"),
    "check": test_cell("from course_utils import check\n\ncheck.slerp(square, points=2)"),
    "no points": test_cell("assert square(1) == 1", points=0),
    "half a point": test_cell("assert square(1) == 1", points=0.5),
    "code by hand": test_cell("def use(n):\n    return square(n)", "use", solution=True, locked=False),
    "text by hand": new_markdown_cell("Because.", metadata=marks("why", grade=True, solution=True, points=1)),
    "task": new_markdown_cell("Do it.", metadata=marks("task-1", task=True, locked=True, points=4)),
    "read-only": new_markdown_cell("Read this.", metadata=marks("given", locked=True)),
    "an error on purpose": new_code_cell("1 +", metadata={"tags": ["raises-exception"]}),
    "a name that may be missing": new_code_cell("try:\n    unicode\nexcept NameError:\n    pass"),
    "words that are no mark": new_markdown_cell("Begin\n\nEnd of the solution\n\nBegin the solution here."),
    "names from elsewhere": new_code_cell("from numpy import *"),
}
# What IPython runs, whatever Python says of it.
IPYTHON = (
    "pip install -q numpy",
    "import os\npip install -U 'numpy>=1'\nhere = os.getcwd()",
    "cd /tmp",
    "ls",
    "env = {}\nenv['a'] = 1\nmore = 3\nprint(more - 1, env.get('a'))",
    "print(_, ___, _12, _i3, _ih, _oh, __builtins__)",
    "display(In, Out); get_ipython()",
    "files = !ls\nprint(files)",
    "%time z = 5\nprint(z)",
    "%%time\ny = 3",
    "%%bash\nls $HOME",
    "int?",
    "import asyncio\nawait asyncio.sleep(0)",
    "def f():\n    global made\n    made = 1\nf()\nprint(made)",
    "match 3:\n    case [u, *w]:\n        print(u, w)\n    case {'a': p, **rest}:\n        print(p, rest)",
    "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    print(error)",
)


@pytest.mark.parametrize("kind", GOOD)
def test_what_nbgrader_documents_passes(kind):
    assert faults(GOOD[kind]) == []


@pytest.mark.parametrize("source", IPYTHON)
def test_what_ipython_runs_passes(source):
    assert faults(new_code_cell(source)) == []


def test_a_name_that_a_star_may_bring_is_not_missed():
    assert faults(new_code_cell("from numpy import *"), test_cell("assert zeros(2).sum() == 0")) == []


BAD = {
    "misspelt name": (test_cell("assert sqare(2) == 4"), "no cell defines sqare"),
    "misspelt check": (
        test_cell("from course_utils import check\n\nchek.slerp(square, points=2)"),
        "no cell defines chek",
    ),
    "check within": (
        test_cell("from course_utils import check\n\nscore = check.slerp(square, points=2)\nscore"),
        "does not end with it",
    ),
    "tests nothing": (test_cell("# to be written"), "tests nothing"),
    "only a text": (test_cell('"""Check squares."""\npass'), "tests nothing"),
    "no Python": (test_cell("assert square(2) = 4"), "no Python"),
    "autotest": (test_cell("### AUTOTEST square(2)"), "AUTOTEST"),
    "hashed autotest": (test_cell("x = square(2)\n### HASHED AUTOTEST x"), "AUTOTEST"),
    "points missing": (test_cell("assert square(1)", points=None), "points are None"),
    "points in words": (test_cell("assert square(1)", points="two"), "points are 'two'"),
    "points below 0": (test_cell("assert square(1)", points=-1), "points are -1"),
    "points nan": (test_cell("assert square(1)", points=float("nan")), "points are nan"),
    "points of a task": (
        new_markdown_cell("Do.", metadata=marks("test_square", task=True, locked=True)),
        "points are None",
    ),
    "bad id": (test_cell("assert square(1)", "test square"), "letters, digits"),
    "no id": (test_cell("assert square(1)", ""), "letters, digits"),
    "a text as a test": (
        new_markdown_cell("x", metadata=marks("test_square", grade=True, locked=True, points=1)),
        "cannot be a test",
    ),
    "a raw cell as a test": (
        new_raw_cell("x", metadata=marks("test_square", grade=True, locked=True, points=1)),
        "cannot be a test",
    ),
    "code as a task": (test_cell("1", grade=False, task=True), "a task is a text"),
    "task and answer": (
        new_markdown_cell("x", metadata=marks("test_square", task=True, solution=True, points=1)),
        "a task and something else",
    ),
    "hidden tests without an end": (test_cell("assert square(1)\n### BEGIN HIDDEN TESTS\n"), "in pairs"),
    "solution within a solution": (
        new_code_cell(
            "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION\n### END SOLUTION",
            metadata=marks("test_square", solution=True),
        ),
        "in pairs",
    ),
    "solution in a plain cell": (new_code_cell("### BEGIN SOLUTION\nx = 1\n### END SOLUTION"), "would be published"),
    "hidden tests in a plain cell": (
        new_code_cell("### BEGIN HIDDEN TESTS\nx = 1\n### END HIDDEN TESTS"),
        "would be published",
    ),
    "mark scheme in a plain cell": (
        new_markdown_cell("### BEGIN MARK SCHEME\n1\n### END MARK SCHEME"),
        "would be published",
    ),
    "a mark in small letters": (
        new_code_cell("### begin solution\nx = 1\n### END SOLUTION"),
        "write '### BEGIN SOLUTION'",
    ),
    "a mark that is misspelt": (
        test_cell("assert square(2)\n### BEGIN HIDEN TESTS\nassert square(3)\n### END HIDDEN TESTS"),
        "write '### BEGIN HIDDEN TESTS'",
    ),
    "a mark with a hyphen in a text": (new_markdown_cell("## Begin-Mark-Scheme"), "write '### BEGIN MARK SCHEME'"),
    "a test that is a solution too": (test_cell("assert square(2) == 4", solution=True), "a stub"),
    "a check that is a solution too": (
        test_cell("from course_utils import check\n\ncheck.slerp(square, points=2)", solution=True),
        "a stub",
    ),
    "no Python in a cell of the course": (new_code_cell("def f(:\n    pass"), "no Python"),
    "a name in a cell of the course": (new_code_cell("print(squared)"), "no cell defines squared"),
    "a name in a solution": (
        new_code_cell("def cube(x):\n    return pow3(x)", metadata=marks("cube", solution=True)),
        "no cell defines pow3",
    ),
    "a check without its exercise": (
        test_cell("from course_utils import check\n\ncheck.slerp(cube, points=2)"),
        "no cell defines cube",
    ),
    "an answer that cannot be written into": (
        new_markdown_cell("x", metadata=marks("q", grade=True, solution=True, points=1) | {"editable": False}),
        "could not write into it",
    ),
    "an answer without points": (new_markdown_cell("x", metadata=marks("q", solution=True)), "has no points"),
    "metadata that are none": (new_markdown_cell("x", metadata={"nbgrader": None}), "are None"),
    "a flag in words": (test_cell("assert square(2)", grade="yes"), "'yes', expected true or false"),
    "an id that is a number": (test_cell("assert square(2)", 7), "grade_id is 7"),
    "the same id twice": (test_cell("assert square(2) == 4", "square"), "cells 1, 2 have the same id 'square'"),
}


def test_what_a_test_needs_is_made_above_it_in_a_cell_that_is_run():
    cube = new_code_cell("def cube(x):\n    return FACTOR * x", metadata=marks("cube", solution=True))
    test, made = test_cell("assert cube(2) == 8", "test_cube"), new_code_cell("FACTOR = 4")
    assert faults(made, cube, test) == []
    assert "needs FACTOR, made only below it" in faults(cube, test, made)[0]
    assert "needs cube, made only below it" in faults(made, test, cube)[0]
    made.metadata["tags"] = ["experiment"]
    assert "needs FACTOR, made only in cells that are not run at grading" in faults(made, cube, test)[0]


def test_a_package_that_nobody_has_is_named(tmp_path):
    code = new_code_cell("import json\nimport own_helper\ntry:\n    import cupy\nexcept ImportError:\n    pass")
    sources = {"01_a": new_notebook(cells=[code])}
    assert "imports own_helper; there is no own_helper.py" in find_ungradable("01_a", sources, tmp_path)[0]
    (tmp_path / "own_helper.py").touch()
    assert find_ungradable("01_a", sources, tmp_path) == []


def test_a_unit_without_cells_is_named():
    assert find_ungradable("01_a", {"01_a": new_notebook()}) == ["it has no cells"]


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_graded_is_named_with_its_cell(kind):
    cell, reason = BAD[kind]
    found = faults(cell)
    assert len(found) == 1 and reason in found[0] and "cell" in found[0], found
    assert "2" in found[0], "the cell's number"


def test_other_languages_and_names_that_are_patterns_are_refused():
    assert "language R" in faults(language="R")[0]
    assert "holds '+'" in faults(unit="01_a+b")[0]
    assert "holds '['" in faults(notebook="part[1]")[0]


def test_a_fault_in_a_second_notebook_names_the_notebook():
    assert faults(test_cell("assert sqare(2)"), notebook="second")[0].startswith("second.ipynb: cell 2, 'test_square'")


def test_the_courses_own_units_can_be_graded_and_hold_checks_alone():
    tree = Tree(CHECKOUT)
    for unit in tree.units():
        sources = read_sources(tree, unit)
        assert find_ungradable(unit, sources) == [] and plain_tests(sources) == []


def test_release_refuses_and_leaves_the_old_release(tmp_path):
    tree = Tree(make_tree(tmp_path / "course"))
    release_units(tree, ["01_double"])
    released = tree.root / "release" / "01_double" / "01_double.ipynb"
    before, path = released.read_bytes(), tree.source / "01_double" / "01_double.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(test_cell("assert dubble(2) == 4", "test_more"))
    nbformat.write(notebook, path)
    with pytest.raises(CourseError, match=r"cell 10, 'test_more': no cell defines dubble.*Correct notebooks/01_double"):
        release_units(tree, ["01_double"])
    assert released.read_bytes() == before


def test_each_graded_cell_has_a_name_of_its_own_in_the_table():
    def template(*cells):
        return Template.of("u", new_notebook(cells=list(cells)))

    hand = test_cell("x = 1", "square", solution=True)
    one = template(test_cell("1", "test_square"), hand, test_cell("1", "test_cube"), test_cell("1", "other"))
    two = template(test_cell("1", "other"), GOOD["task"], GOOD["read-only"])
    assert labels_of({"one": one, "two": two}) == {
        ("one", "test_square"): "test_square",
        ("one", "square"): "square",
        ("one", "test_cube"): "cube",
        ("one", "other"): "one/other",
        ("two", "other"): "two/other",
        ("two", "task-1"): "task-1",
    }
