"""nbgrader's own quickstart assignment: `course grade` and plain `nbgrader autograde` give the same scores.

`nbgrader quickstart` writes two notebooks (assertions, a test that deletes a name, manually graded text and code, a
task, a picture beside them); to these come partial credit, hidden tests, a file that a test reads, and read-only code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import lanes
import nbformat
import pytest
from miniature import CHECKOUT, marks
from nbformat.v4 import new_code_cell
from nbgrader.api import Gradebook

from autograder.feedback import feedback_unit
from autograder.grade import grade_unit
from autograder.nbgrader_course import NbGraderCourse
from autograder.release import release_units
from course_utils.system.tree import Tree

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="submissions are isolated on Linux")
UNIT, FIRST, SECOND = "ps1", "problem1", "problem2"

SQUARES = "def squares(n):\n    if n < 1:\n        raise ValueError('n')\n    return [i ** 2 for i in range(1, n + 1)]"
SUM = "def sum_of_squares(n):\n    return sum(squares(n))"
SHIFTED = "def shifted(x):\n    return x + offset()"
EQUATION, USE, WORDS = r"$\sum_i i^2$", "def pyramidal_number(n):\n    return sum_of_squares(n)", "Fibonacci numbers."
RIGHT = {
    "squares": SQUARES,
    "sum_of_squares": SUM,
    "shifted": SHIFTED,
    "sum_of_squares_equation": EQUATION,
    "sum_of_squares_application": USE,
    "part-a": WORDS,
    "part-b": "It recurses for ever below 0.",
}
ADDED = [
    new_code_cell("def offset():\n    return int(open('offset.txt').read())", metadata=marks("offset", locked=True)),
    new_code_cell(
        "def shifted(x):\n    ### BEGIN SOLUTION\n    return x + offset()\n    ### END SOLUTION",
        metadata=marks("shifted", solution=True),
    ),
    new_code_cell(
        "assert shifted(1) == 8\n### BEGIN HIDDEN TESTS\nassert shifted(-7) == 0\n### END HIDDEN TESTS",
        metadata=marks("shifted_right", grade=True, locked=True, points=2),
    ),
    new_code_cell(
        "earned = 0\nif shifted(0) == 7:\n    earned += 1\nif shifted(1.5) == 8.5:\n    earned += 0.5\nearned",
        metadata=marks("shifted_partly", grade=True, locked=True, points=1.5),
    ),
    new_code_cell(
        "def is_even(n):\n    return n % 2 == 0\n\nassert is_even(2)\nshifted(2) > 3",
        metadata=marks("shifted_text", grade=True, locked=True, points=1),
    ),
    new_code_cell("assert is_even(4)", metadata=marks("uses_a_test", grade=True, locked=True, points=0.5)),
]
# What each student writes into the cells by their ids. One of the mistakes is in the squares, the other in what is
# shifted: neither test sees the other.
CLASS: dict[str, dict[str, str]] = {
    "right": RIGHT,
    "nothing": {},
    "off_by_one_and_visible_only": RIGHT
    | {"squares": SQUARES.replace("n + 1", "n"), "shifted": "def shifted(x):\n    return abs(x) + offset()"},
    "no_error_and_partly": RIGHT
    | {
        "squares": "def squares(n):\n    return [i ** 2 for i in range(1, n + 1)]",
        "shifted": "def shifted(x):\n    return int(x) + offset()",
    },
    "syntax_and_hidden_only": RIGHT
    | {
        "squares": "def squares(n)\n    return",
        "shifted": "def shifted(x):\n    return 8 if x == 1 else None",
    },
    "edits_tests": RIGHT | {"squares": "squares = None", "correct_squares": "pass", "shifted_partly": "3"},
    "edits_given": RIGHT | {"offset": "def offset():\n    return 1", "sum_of_squares_application": "squares = 3"},
    "one_notebook": RIGHT,
}
MORE = {
    "reimplements": RIGHT
    | {"sum_of_squares": "def sum_of_squares(n):\n    return sum(i * i for i in range(1, n + 1))"},
    "raises": RIGHT | {"squares": "def squares(n):\n    raise RuntimeError('no')"},
    "only_code": {name: RIGHT[name] for name in ("squares", "sum_of_squares", "shifted")},
    "only_words": {name: RIGHT[name] for name in ("part-a", "sum_of_squares_equation")},
    "prints": RIGHT | {"squares": SQUARES.replace("    return", "    print(n)\n    return")},
}
CLASS |= dict(list(MORE.items())[: lanes.amount(0, len(MORE))])


def nbgrader(folder, *arguments: str) -> None:
    run(folder, "-m", "nbgrader", *arguments)


def run(folder, *arguments: str) -> None:
    """Python, with what nbgrader starts by its name on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # it starts `alembic` by its name
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert done.returncode == 0, done.stderr[-3000:]


# Its example students are added by three processes, and its assignment by a fourth, all of which no test here needs.
QUICKSTART = """
import subprocess, sys
from nbgrader.apps import nbgraderapp
call = subprocess.call
subprocess.call = lambda command, **options: 0 if "db" in command else call(command, **options)
sys.argv = ["nbgrader", "quickstart", "course101"]
nbgraderapp.main()
"""


def hand_in(root, released, student: str) -> None:
    """The released notebooks with a student's cells in them."""
    folder = root / "submitted" / student / UNIT
    folder.mkdir(parents=True)
    for name in (FIRST, SECOND):
        notebook = nbformat.read(released / f"{name}.ipynb", as_version=4)
        for cell in notebook.cells:
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
            cell.source = CLASS[student].get(grade_id, cell.source)
        if (student, name) != ("one_notebook", SECOND):
            nbformat.write(notebook, folder / f"{name}.ipynb")


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """nbgrader's example course with the cells that we add, released by nbgrader."""
    folder = tmp_path_factory.mktemp("nbgrader")
    run(folder, "-c", QUICKSTART)
    course = folder / "course101"
    source = course / "source" / UNIT
    assert sorted(path.name for path in source.iterdir()) == ["jupyter.png", f"{FIRST}.ipynb", f"{SECOND}.ipynb"]
    notebook = nbformat.read(source / f"{FIRST}.ipynb", as_version=4)
    notebook.nbformat_minor = 5
    for number, cell in enumerate([*notebook.cells, *ADDED]):
        cell["id"] = f"cell-{number}"
    notebook.cells += ADDED
    nbformat.write(notebook, source / f"{FIRST}.ipynb")
    (source / "offset.txt").write_text("7\n")
    nbgrader(course, "generate_assignment", UNIT)
    return course


@pytest.fixture(scope="module")
def theirs(quickstart) -> dict[tuple[str, str, str], float | None]:
    """What plain nbgrader gives, by student, notebook and cell."""
    for student in CLASS:
        hand_in(quickstart, quickstart / "release" / UNIT, student)
    nbgrader(quickstart, "autograde", UNIT)
    with Gradebook(f"sqlite:///{quickstart}/gradebook.db") as gradebook:
        return {
            (submission.student_id, notebook.name, grade.name): grade.auto_score
            for submission in gradebook.assignment_submissions(UNIT)
            for notebook in submission.notebooks
            for grade in notebook.grades
        }


@pytest.fixture(scope="module")
def tree(quickstart, tmp_path_factory) -> Tree:
    """The same assignment in a course of ours, released and handed in by the same students."""
    root = tmp_path_factory.mktemp("ours") / "course"
    (root / "notebooks").mkdir(parents=True)
    shutil.copy(CHECKOUT / "nbgrader_config.py", root)
    shutil.copytree(quickstart / "source" / UNIT, root / "notebooks" / UNIT)
    tree = Tree(root)
    release_units(tree, [UNIT])
    for student in CLASS:
        hand_in(root, root / "release" / UNIT, student)
    return tree


@pytest.fixture(scope="module")
def rows(tree):
    return {(row.student, row.exercise): row for row in grade_unit(tree, UNIT)}


CELLS = {
    FIRST: {
        "correct_squares": 1,
        "squares_invalid_input": 1,
        "correct_sum_of_squares": 0.5,
        "sum_of_squares_uses_squares": 0.5,
        "sum_of_squares_equation": 1,
        "sum_of_squares_application": 2,
        "cell-938593c4a215c6cc": 4,
        "shifted_right": 2,
        "shifted_partly": 1.5,
        "shifted_text": 1,
        "uses_a_test": 0.5,
    },
    SECOND: {"part-a": 1, "part-b": 2},
}


def test_every_graded_cell_has_a_row_and_its_points(rows):
    for student in CLASS:
        of = {exercise: row.max_score for (who, exercise), row in rows.items() if who == student}
        assert of == CELLS[FIRST] | CELLS[SECOND]


def test_the_scores_are_those_of_nbgrader(rows, theirs):
    ours = {
        (student, notebook, cell): rows[student, cell].score
        for student in CLASS
        for notebook, cells in CELLS.items()
        for cell in cells
    }
    assert theirs.keys() == ours.keys()
    different = {key: (theirs[key], ours[key]) for key in ours if theirs[key] != ours[key]}
    assert not different, "(nbgrader, course)"


def test_the_right_student_has_all_automatic_points_and_the_rest_waits_for_a_marker(rows):
    waiting = {exercise for (who, exercise), row in rows.items() if who == "right" and row.status == "needs_marking"}
    assert waiting == {
        "sum_of_squares_equation",
        "sum_of_squares_application",
        "cell-938593c4a215c6cc",
        "part-a",
        "part-b",
    }
    assert sum(row.score or 0 for (who, _), row in rows.items() if who == "right") == 8


def test_reasons_name_the_line_but_no_hidden_test(rows):
    assert (
        rows["off_by_one_and_visible_only", "correct_squares"].reason
        == "AssertionError (line 2: assert squares(1) == [1])"
    )
    assert rows["off_by_one_and_visible_only", "shifted_right"].reason == "AssertionError (in a hidden test)"
    assert rows["no_error_and_partly", "shifted_partly"].reason == "the test gave 1 of 1.5 points"
    assert rows["nothing", "correct_squares"].reason == "not written yet"
    assert rows["nothing", "sum_of_squares_application"].reason == "not answered"
    assert "problem2.ipynb was handed in" in rows["one_notebook", "part-a"].reason


def test_graded_again_nothing_is_run_and_nothing_changes(tree, rows):
    lines: list[str] = []
    again = {(row.student, row.exercise): row for row in grade_unit(tree, UNIT, progress=lines.append)}
    assert again == rows and all("unchanged" in line for line in lines) and len(lines) == len(CLASS)


def test_marks_for_a_task_and_for_code_reach_the_table(tree, rows):
    with NbGraderCourse(tree).gradebook() as gradebook:
        for cell, mark in (("cell-938593c4a215c6cc", 3), ("sum_of_squares_application", 1.5)):
            gradebook.find_grade(cell, FIRST, UNIT, "right").manual_score = mark
        gradebook.db.commit()
    again = {(row.student, row.exercise): row for row in grade_unit(tree, UNIT, run=False)}
    marked = {key: row.score for key, row in again.items() if row.reason == "marked by hand"}
    assert marked == {("right", "cell-938593c4a215c6cc"): 3, ("right", "sum_of_squares_application"): 1.5}
    assert {key: row for key, row in again.items() if key not in marked} == {
        key: row for key, row in rows.items() if key not in marked
    }


def test_nbgraders_own_command_gives_the_same_scores_in_a_course_of_ours(tree, rows):
    nbgrader(tree.root, "autograde", UNIT, "--student=no_error_and_partly", "--force")
    again = {row.exercise: row.score for row in grade_unit(tree, UNIT, "no_error_and_partly", run=False)}
    assert again == {exercise: row.score for (who, exercise), row in rows.items() if who == "no_error_and_partly"}


def test_feedback_has_a_page_for_each_notebook_and_no_hidden_test(tree, rows):
    pages = feedback_unit(tree, UNIT)
    assert len(pages) == 2 * len(CLASS)
    text = (tree.root / "feedback" / "off_by_one_and_visible_only" / UNIT / f"{FIRST}.html").read_text(encoding="utf-8")
    assert "AssertionError" in text and "shifted(-7)" not in text
    assert "cell-938593c4a215c6cc</a>: not marked yet, at most 4 points" in text, "the task is not in the list"
