"""nbgrader's ordinary tests in the sandbox: each student's own points, whatever their code does, beside checks."""

from __future__ import annotations

import sys

import nbformat
import pytest
from miniature import hand_in, make_tree, marks
from nbformat.v4 import new_code_cell, new_output

from autograder.grade import grade_unit
from autograder.plain_tests import settle, tidy_errors
from autograder.release import release_units
from course_utils.cli.handin.cells import is_check
from course_utils.system.tree import Tree

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="submissions are isolated on Linux")
UNIT = "01_double"
DOUBLE, TRIPLE, HALF = (
    "def double(x):\n    return 2 * x",
    "def triple(x):\n    return 3 * x",
    "def half(x):\n    return x / 2",
)
RIGHT = {"double": DOUBLE, "triple": TRIPLE, "half": HALF, "q_double": "It stays."}
ADDED = [
    new_code_cell(
        "def half(x):\n    ### BEGIN SOLUTION\n    return x / 2\n    ### END SOLUTION",
        metadata=marks("half", solution=True),
    ),
    new_code_cell(
        "assert half(4) == 2\n### BEGIN HIDDEN TESTS\nassert half(-3) == -1.5\n### END HIDDEN TESTS",
        metadata=marks("test_half", grade=True, locked=True, points=2),
    ),
    new_code_cell("half(6)", metadata=marks("value", grade=True, locked=True, points=4)),
    new_code_cell("known = open('data/known.txt').read()", metadata=marks("reads", locked=True)),
    new_code_cell("assert half(float(known)) == 21", metadata=marks("file", grade=True, locked=True, points=1)),
    new_code_cell("assert True", metadata=marks("later", grade=True, locked=True, points=0.5)),
]
CELLS = ("double", "triple", "half", "value", "file", "later")

# What each student writes, and the score of (double, triple, half, value, file, later); None is undecided.
CLASS: dict[str, tuple[dict[str, str], tuple[float | None, ...]]] = {
    "right": (RIGHT, (2, 2, 2, 3, 1, 0.5)),
    "nothing": ({}, (0, 0, 0, 0, 0, 0.5)),
    "loops": (RIGHT | {"half": "def half(x):\n    while True: pass"}, (2, 2, 0, 0, 0, 0.5)),
    "dies": (RIGHT | {"half": "import os\ndef half(x):\n    os._exit(0)"}, (2, 2, 0, 0, 0, 0.5)),
    "exits": (RIGHT | {"half": "def half(x):\n    raise SystemExit"}, (2, 2, 0, 0, 0, 0.5)),
    "warns": (RIGHT | {"half": "import sys\ndef half(x):\n    print('x', file=sys.stderr)\n    return x / 2"}, (2, 2, 2, 3, 1, 0.5)),
    "too many": (RIGHT | {"half": "def half(x):\n    return 10 * x"}, (2, 2, 0, None, 0, 0.5)),
    "below 0": (RIGHT | {"half": "def half(x):\n    return -x / 2"}, (2, 2, 0, None, 0, 0.5)),
    "nan": (RIGHT | {"half": "def half(x):\n    return x / 2 if x != 6 else float('nan')"}, (2, 2, 2, None, 1, 0.5)),
    "text": (RIGHT | {"half": "def half(x):\n    return x / 2 if x != 6 else 'three'"}, (2, 2, 2, 4, 1, 0.5)),
    "nothing returned": (RIGHT | {"half": "def half(x):\n    return x / 2 if x != 6 else None"}, (2, 2, 2, 4, 1, 0.5)),
    "no form": (
        RIGHT | {"half": "class Odd:\n    def __repr__(self):\n        raise ValueError\ndef half(x):\n    return x / 2 if x != 6 else Odd()"},
        (2, 2, 2, 0, 1, 0.5),
    ),
    "edits": (RIGHT | {"test_half": "pass", "value": "4", "reads": "known = 42", "file": "1 / 0"}, (2, 2, 2, 3, 1, 0.5)),
}  # fmt: skip


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    tree = Tree(make_tree(tmp_path_factory.mktemp("plain") / "course"))
    with (tree.root / "nbgrader_config.py").open("a") as config:
        config.write("\nc.ExecuteSubmission.timeout = 5\n")
    path = tree.source / UNIT / f"{UNIT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for number, cell in enumerate(ADDED):
        cell["id"] = f"added-{number}"
    notebook.cells += ADDED
    nbformat.write(notebook, path)
    (tree.source / UNIT / "data").mkdir()
    (tree.source / UNIT / "data" / "known.txt").write_text("42")
    release_units(tree, [UNIT])
    for student, (edits, _) in CLASS.items():
        hand_in(tree.root, student, UNIT, edits)
    own = tree.root / "submitted" / "edits" / UNIT / "data"
    own.mkdir()
    (own / "known.txt").write_text("7")
    for student, cells in (("deletes", {"test_half", "reads", "file"}), ("bare", set())):
        handed_in = hand_in(tree.root, student, UNIT, RIGHT)
        notebook = nbformat.read(handed_in, as_version=4)
        notebook.cells = [
            cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") not in cells
        ]
        if student == "bare":
            for cell in notebook.cells:
                cell.metadata.clear()
        nbformat.write(notebook, handed_in)
    newer = hand_in(tree.root, "newer Python", UNIT, RIGHT | {"half": "def half(x):\n    return x /? 2"})
    notebook = nbformat.read(newer, as_version=4)
    notebook.metadata.language_info = {"name": "python", "version": "3.99.1"}
    nbformat.write(notebook, newer)
    return tree, {(row.student, row.exercise): row for row in grade_unit(tree, UNIT)}


@pytest.mark.parametrize("student", CLASS)
def test_each_cell_has_the_points_it_earned(graded, student):
    _, rows = graded
    assert tuple(rows[student, cell].score for cell in CELLS) == CLASS[student][1]


@pytest.mark.parametrize("student", ["deletes", "bare"])
def test_what_was_deleted_or_lost_its_name_is_put_back(graded, student):
    _, rows = graded
    assert tuple(rows[student, cell].score for cell in CELLS) == CLASS["right"][1]


def test_reasons_say_what_happened(graded):
    _, rows = graded
    assert (rows["loops", "half"].status, rows["dies", "half"].status) == ("timed_out", "crashed")
    for student, given in (("too many", "60"), ("below 0", "-3"), ("nan", "no number")):
        row = rows[student, "value"]
        assert row.undecided and row.reason == f"the test gave {given} for points, expected 0 to 4"
    reason = rows["newer Python", "half"].reason
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert "SyntaxError" in reason and f"written with Python 3.99.1, graded with {here}" in reason
    assert rows["right", "value"].reason == "the test gave 3 of 4 points"
    assert rows["nothing", "half"].reason == "not written yet"


def test_each_student_gets_the_files_of_the_source_and_their_graded_notebook_has_them_beside_it(graded):
    tree, _ = graded
    for student in ("right", "edits"):
        assert (tree.root / "autograded" / student / UNIT / "data" / "known.txt").read_text() == "42"


@pytest.mark.parametrize(
    ("source", "judged_outside"),
    [
        ("from course_utils import check\n\ncheck.slerp(slerp, points=4)", True),
        ("check(double, 4, points=2)", True),
        ("check.slerp(slerp, points=4)\n# the end", True),
        ("check.slerp(slerp)\nassert True", False),
        ("checked(slerp)", False),
        ("assert check(1)", False),
        ("score = check.slerp(slerp)\nscore", False),
        ("%%time\ncheck.slerp(slerp)", False),
        ("", False),
        ("x = (", False),
    ],
)
def test_a_check_is_a_cell_that_ends_with_its_call(source, judged_outside):
    assert is_check(source) == judged_outside


def plain(source: str, *outputs):
    return new_code_cell(source, outputs=list(outputs), metadata=marks("t", grade=True, points=3))


def result(text: str | None):
    return new_output("execute_result", data={"text/html": "x"} | ({} if text is None else {"text/plain": text}))


@pytest.mark.parametrize(("text", "kept"), [("2", True), ("0", True), ("3.0", True), ("'2'", False), ("[2]", False), (None, False), ("True", False)])  # fmt: skip
def test_only_a_number_stays_a_result(text, kept):
    cell = plain("x", result(text))
    settle(cell)
    assert [output.output_type for output in cell.outputs] == ["execute_result" if kept else "display_data"]


@pytest.mark.parametrize(
    ("traceback", "told"),
    [
        (["Cell In[3], line 2\n"], ["line 2: assert f(2)", "AssertionError"]),
        (["\x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[3]\x1b[39m\x1b[32m, line 4\x1b[39m"], ["in a hidden test", "AssertionError"]),
        (["Cell In[3], line 99"], ["AssertionError"]),
        (["nothing that is known"], ["AssertionError"]),
        ([], ["AssertionError"]),
    ],
)  # fmt: skip
def test_of_a_traceback_the_line_of_the_test_stays_unless_it_is_hidden(traceback, told):
    source = "assert f(1)\nassert f(2)\n### BEGIN HIDDEN TESTS\nassert f(3)\n### END HIDDEN TESTS"
    cell = plain(source, new_output("error", ename="AssertionError", evalue="", traceback=traceback))
    tidy_errors(cell)
    assert cell.outputs[0].traceback == told
