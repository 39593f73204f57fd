"""200 generated exercises of nbgrader's kinds of cells: `course grade` gives what plain `nbgrader autograde` gives.

All stand in one notebook, so that nbgrader starts few kernels. What each student writes is drawn for each exercise.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import lanes
import nbformat
import pytest
from miniature import CHECKOUT, marks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.api import Gradebook

from autograder.grade import grade_unit
from autograder.release import release_units
from course_utils.system.tree import Tree

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="submissions are isolated on Linux")
UNIT, EXERCISES, STUDENTS = "generated", 200, ("ada", "bea", "cleo")[: lanes.amount(2, 3)]


def solution(name: str, draw: random.Random) -> list:
    body = f"def {name}(x):\n    ### BEGIN SOLUTION\n    return 3 * x + 1\n    ### END SOLUTION"
    if draw.random() < 0.3:
        body = f"### BEGIN SOLUTION\ndef {name}(x):\n    return 3 * x + 1\n### END SOLUTION"
    return [new_code_cell(body, metadata=marks(name, solution=True))]


def test_of(name: str, source: str, draw: random.Random) -> list:
    points = draw.choice([0, 0.5, 1, 2, 3, 5])
    return [new_code_cell(source, metadata=marks(f"{name}_test", grade=True, locked=True, points=points))]


test_of.__test__ = False


def assertion(name: str, draw: random.Random) -> list:
    return solution(name, draw) + test_of(name, f"assert {name}(2) == 7\nassert {name}(0) == 1", draw)


def hidden(name: str, draw: random.Random) -> list:
    source = f"assert {name}(2) == 7\n### BEGIN HIDDEN TESTS\nassert {name}(-2) == -5\n### END HIDDEN TESTS"
    return solution(name, draw) + test_of(name, source, draw)


def partial_credit(name: str, draw: random.Random) -> list:
    cells = solution(name, draw) + test_of(name, "", draw)
    most = cells[-1].metadata.nbgrader["points"]
    cells[-1].source = f"got = sum({name}(x) == 3 * x + 1 for x in range(4)) / 4\ngot * {most}"
    return cells


def raises(name: str, draw: random.Random) -> list:
    source = f"try:\n    {name}(None)\nexcept TypeError:\n    pass\nelse:\n    raise AssertionError('did not raise')"
    return solution(name, draw) + test_of(name, source, draw)


def no_number(name: str, draw: random.Random) -> list:
    last = draw.choice([f"{name}(2) == 7", f"str({name}(2))", f"[{name}(2)]", f"{name}(2) if False else None"])
    return solution(name, draw) + test_of(name, last, draw)


def deletes(name: str, draw: random.Random) -> list:
    source = f"kept = {name}\ndel {name}\ntry:\n    assert '{name}' not in globals()\nfinally:\n    {name} = kept\n"
    return solution(name, draw) + test_of(name, source + f"assert {name}(1) == 4", draw)


def needs_the_test_before(name: str, draw: random.Random) -> list:
    cells = solution(name, draw) + test_of(
        name, f"def about_{name}(x):\n    return {name}(x) == 7\n\nassert {name}", draw
    )
    more = new_code_cell(f"assert about_{name}(2)", metadata=marks(f"{name}_more", grade=True, locked=True, points=1))
    return [*cells, more]


def reads_what_is_given(name: str, draw: random.Random) -> list:
    given = new_code_cell(f"limit_{name} = {draw.randint(1, 9)}", metadata=marks(f"{name}_given", locked=True))
    source = f"assert {name}(limit_{name}) == 3 * limit_{name} + 1"
    return [given, *solution(name, draw), *test_of(name, source, draw)]


def value(name: str, draw: random.Random) -> list:
    """Not a `def` but an assignment, and a line of IPython's own in the test."""
    source = f"### BEGIN SOLUTION\n{name} = lambda x: 3 * x + 1\n### END SOLUTION"
    cell = new_code_cell(source, metadata=marks(name, solution=True))
    return [cell, *test_of(name, f"%matplotlib inline\nassert {name}(5) == 16", draw)]


def code_by_hand(name: str, draw: random.Random) -> list:
    source = draw.choice(
        [f"def {name}(x):\n    return 3 * x + 1", f"# Write it.\n### BEGIN SOLUTION\n{name} = 1\n### END SOLUTION"]
    )
    return [new_code_cell(source, metadata=marks(name, grade=True, solution=True, points=2))]


def text_by_hand(name: str, draw: random.Random) -> list:
    source = draw.choice(["Because it grows with the model.", "Why?\n### BEGIN SOLUTION\nBecause.\n### END SOLUTION"])
    return [new_markdown_cell(source, metadata=marks(name, grade=True, solution=True, points=3))]


def task(name: str, draw: random.Random) -> list:
    source = draw.choice(["Plot it.", "Plot it.\n### BEGIN MARK SCHEME\nOne point for axes.\n### END MARK SCHEME"])
    return [new_markdown_cell(source, metadata=marks(name, task=True, locked=True, points=4))]


KINDS = [
    assertion, hidden, partial_credit, raises, no_number, deletes, needs_the_test_before, reads_what_is_given, value,
    code_by_hand, text_by_hand, task,
]  # fmt: skip
CODE = [
    "def {}(x):\n    return 3 * x + 1",
    "{} = lambda x: x + 1 + 2 * x",
    "def {}(x):\n    return 7",
    "def {}(x):\n    return 3 * abs(x) + 1",
    "def {}(x):\n    return x",
    "def {}(x):\n    raise ValueError('no')",
    "def {}(x):\n    print(x)\n    return 3 * x + 1",
    "def {}(x):\n    return None",
    "def {}(x)\n    return 1",
    "import {}",
    "",
    None,  # as released
]
TEXT = ["It grows.", "Because.\n\nOf $x^2$.", None]


def source_of(kinds: list, draw: random.Random):
    cells = [cell for number, kind in enumerate(kinds) for cell in kind(f"f{number}", draw)]
    for number, cell in enumerate(cells):
        cell["id"] = f"c{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def hand_in(released: Path, folder: Path, student: str) -> None:
    draw = random.Random(student)
    notebook = nbformat.read(released, as_version=4)
    for cell in notebook.cells:
        of = cell.metadata.nbgrader
        if not of.get("solution"):
            if of.get("locked") and not of.get("task") and draw.random() < 0.1:
                cell.source = "1 / 0"  # what is not theirs to write is put back
            continue
        answers = CODE if cell.cell_type == "code" else TEXT
        # What was emptied waits for a marker there, and is not answered here.
        answer = draw.choice([text for text in answers if text != ""] if of.get("grade") else answers)
        cell.source = cell.source if answer is None else answer.format(of.grade_id)
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / f"{UNIT}.ipynb")


def nbgrader(folder: Path, *arguments: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # it starts `alembic` by its name
    command = [sys.executable, "-m", "nbgrader", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert done.returncode == 0, done.stderr[-3000:]


def test_generated_exercises_have_the_scores_that_nbgrader_gives(tmp_path):
    draw = random.Random("exercises")
    kinds = [KINDS[number % len(KINDS)] for number in range(EXERCISES)]
    draw.shuffle(kinds)
    source = source_of(kinds, draw)
    theirs, ours = tmp_path / "theirs", Tree(tmp_path / "ours")
    for root, name in ((theirs, "source"), (ours.root, "notebooks")):
        (root / name / UNIT).mkdir(parents=True)
        nbformat.write(source, root / name / UNIT / f"{UNIT}.ipynb")
    (theirs / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'theirs'\n")
    shutil.copy(CHECKOUT / "nbgrader_config.py", ours.root)
    nbgrader(theirs, "generate_assignment", UNIT)
    release_units(ours, [UNIT])
    for root in (theirs, ours.root):
        for student in STUDENTS:
            hand_in(root / "release" / UNIT / f"{UNIT}.ipynb", root / "submitted" / student / UNIT, student)
    nbgrader(theirs, "autograde", UNIT)
    with Gradebook(f"sqlite:///{theirs}/gradebook.db") as gradebook:
        expected = {
            (submission.student_id, grade.name): grade.auto_score
            for submission in gradebook.assignment_submissions(UNIT)
            for notebook in submission.notebooks
            for grade in notebook.grades
        }
    found = {(row.student, row.exercise): row.score for row in grade_unit(ours, UNIT)}
    assert found.keys() == expected.keys() and len(found) > EXERCISES * len(STUDENTS)
    different = {key: (expected[key], found[key]) for key in found if found[key] != expected[key]}
    assert not different, "(nbgrader, course)"
    scores = list(found.values())
    assert {0, None, 5} < set(scores) and scores.count(0) > 50, "the answers are of all kinds"
