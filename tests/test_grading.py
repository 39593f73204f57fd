"""Grading through nbgrader: everybody gets exactly the points they earned, with a reason, whatever the others do."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import nbformat
import pytest
from miniature import hand_in, make_tree

from autograder.feedback import feedback_unit
from autograder.grade import grade_unit
from autograder.grades_file import read_grades
from autograder.nbgrader_course import NbGraderCourse
from autograder.prepare import AS_SUBMITTED
from autograder.release import release_units
from course_utils.system.errors import WrongUsage
from course_utils.system.tree import Tree

DOUBLE, TRIPLE = "def double(x):\n    return 2 * x", "def triple(x):\n    return x * 3"
WARNING_DOUBLE = """
import sys, warnings
def double(x):
    warnings.warn("old")
    print("x", file=sys.stderr)
    return 2 * x
"""
RIGHT = {"double": DOUBLE, "triple": TRIPLE, "q_double": "Zero stays zero."}
MARKS = {  # of a course's own tests and mark schemes, which a page leaves out
    "double": f"{DOUBLE}\n### BEGIN HIDDEN TESTS\n### BEGIN HIDDEN TESTS\nmine = 1",
    "triple": f"### END MARK SCHEME\n{TRIPLE}\n### BEGIN HIDDEN TESTS\nours = 2\n### END HIDDEN TESTS",
    "q_double": "Zero stays.\n### BEGIN MARK SCHEME\n- as I see it",
}
UNIT = "01_double"

# What each student hands in, and the score of (double, triple, q_double); None is not known.
CLASS = {
    "ada": (RIGHT, (2, 2, None)),
    "bob": ({}, (0, 0, 0)),
    "cleo": (RIGHT | {"double": "def double(x):\n    return x + 7"}, (0.5, 2, None)),
    "dora": ({"double": DOUBLE}, (2, 0, 0)),
    "emma": (RIGHT | {"q_double": "  \n"}, (2, 2, 0)),
    "warner": (RIGHT | {"double": WARNING_DOUBLE}, (2, 2, None)),
    "syntax": (RIGHT | {"double": "def double(x)\n    return"}, (0, 2, None)),
    "printer": (RIGHT | {"double": "class double:\n    def __new__(cls, x):\n        raise SystemExit"}, (0, 2, None)),
    "looper": (RIGHT | {"triple": "def triple(x):\n    while True: pass"}, (2, 0, None)),
    "killer": (RIGHT | {"triple": "import os; os._exit(1)"}, (2, 0, None)),
    "edited_test": ({"test_double": "2", "test_triple": "raise SystemExit"}, (0, 0, 0)),
    "=cmd|' calc'!A0": (RIGHT, (2, 2, None)),
    "brackets [1]": (RIGHT, (2, 2, None)),
    "marks": (MARKS, (2, 2, None)),
}
BROKEN = {
    "damaged": ('{"cells": [', "does not contain valid JSON"),
    "empty": ("", "does not contain valid JSON"),
    "a_list": ("[1, 2]", "not a valid Jupyter notebook"),
    "latin": (b"\xff\xfe\x00", "does not contain valid JSON"),
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """One class, graded once; several tests look at it."""
    tree = Tree(make_tree(tmp_path_factory.mktemp("grading") / "course"))
    release_units(tree, tree.units())
    for student, (edits, _) in CLASS.items():
        if student != "looper":
            hand_in(tree.root, student, UNIT, edits)
    for student, (content, _) in BROKEN.items():
        path = hand_in(tree.root, student, UNIT, {})
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (tree.root / "submitted" / "absent" / "02_other").mkdir(parents=True)
    wrong = hand_in(tree.root, "wrong_unit", UNIT, {})
    wrong.write_bytes((tree.root / "release" / "02_other" / "02_other.ipynb").read_bytes())
    bare = hand_in(tree.root, "no_metadata", UNIT, RIGHT)
    rewrite(bare, lambda nb: [cell.metadata.clear() for cell in nb.cells])
    cheat = hand_in(tree.root, "typed_score", UNIT, {})
    rewrite(cheat, type_in_scores)
    shown = hand_in(tree.root, "figures", UNIT, RIGHT)
    rewrite(shown, lambda nb: nb.cells[6].update(outputs=[nbformat.v4.new_output("stream", text="my figure")]))
    deleted = hand_in(tree.root, "deleted_test", UNIT, RIGHT)
    rewrite(deleted, lambda nb: nb.cells.__delitem__(3))
    rows = grade_unit(tree, UNIT)
    return tree, rows + grade_with_short_timeout(tree, "looper")


def grade_with_short_timeout(tree, student):
    """Grade a submission that never ends; the others keep the long timeout, which a busy machine needs."""
    hand_in(tree.root, student, UNIT, CLASS[student][0])
    config = tree.root / "nbgrader_config.py"
    text = config.read_text()
    config.write_text(text + "\nc.ExecuteSubmission.timeout = 10\n")
    try:
        return grade_unit(tree, UNIT, student=student)
    finally:
        config.write_text(text)


def rewrite(path, change):
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)


def type_in_scores(notebook):
    """Tag the test cells as experiments and write full marks into their outputs."""
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id", "").startswith("test_"):
            cell.metadata.tags = ["experiment", "skip-execution"]
            cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "2"}, execution_count=1)]


def rows_of(rows, student):
    return {row.exercise: row for row in rows if row.student == student}


@pytest.mark.parametrize("student", CLASS)
def test_each_student_gets_exactly_the_points_earned(graded, student):
    rows = rows_of(graded[1], student)
    got = tuple(rows[name].score for name in ("double", "triple", "q_double"))
    assert got == CLASS[student][1], f"{student}: expected {CLASS[student][1]}, got {got}: {rows}"


@pytest.mark.parametrize("student", BROKEN)
def test_a_broken_file_is_unreadable_with_a_reason_and_scores_0(graded, student):
    for row in rows_of(graded[1], student).values():
        assert (row.score, row.status) == (0, "unreadable") and BROKEN[student][1] in row.reason, row


@pytest.mark.parametrize(
    ("student", "status", "reason"),
    [
        ("absent", "missing", "no 01_double/01_double.ipynb was handed in"),
        ("wrong_unit", "unreadable", "it belongs to 02_other"),
    ],
)
def test_what_is_not_this_units_notebook_scores_0_with_the_reason(graded, student, status, reason):
    rows = rows_of(graded[1], student)
    assert len(rows) == 3
    for row in rows.values():
        assert (row.score, row.status) == (0, status) and reason in row.reason, row


@pytest.mark.parametrize(
    ("student", "exercise", "status", "reason"),
    [
        ("bob", "double", "graded", "not written yet"),
        ("bob", "q_double", "graded", "not answered"),
        ("cleo", "double", "graded", "Likely cause: you added where the text multiplies."),
        ("syntax", "double", "graded", "the cell of the exercise does not run: SyntaxError: expected ':'"),
        ("looper", "triple", "timed_out", "is there a loop that never ends?"),
        ("killer", "triple", "crashed", "process ended"),
        ("ada", "q_double", "needs_marking", ""),
        ("deleted_test", "double", "repaired", "repaired: the cell was missing"),
        ("edited_test", "double", "repaired", "not written yet (repaired: the text of the cell had been changed)"),
        ("no_metadata", "triple", "repaired", "the cell had lost its name or its metadata"),
    ],
)
def test_lost_points_come_with_a_reason_a_student_understands(graded, student, exercise, status, reason):
    row = rows_of(graded[1], student)[exercise]
    assert row.status == status and reason in row.reason, row


def test_a_score_typed_into_the_outputs_earns_nothing(graded):
    rows = rows_of(graded[1], "typed_score")
    assert (rows["double"].score, rows["triple"].score) == (0, 0), rows


@pytest.mark.parametrize("student", ["deleted_test", "no_metadata"])
def test_what_was_deleted_or_stripped_is_put_back_and_graded(graded, student):
    rows = rows_of(graded[1], student)
    assert (rows["double"].score, rows["triple"].score, rows["q_double"].score) == (2, 2, None), rows


def test_experiments_are_not_run_and_keep_their_outputs_marked(graded):
    tree, _ = graded
    cells = nbformat.read(tree.root / "autograded" / "figures" / UNIT / f"{UNIT}.ipynb", as_version=4).cells
    assert [output.text for output in cells[6].outputs] == [AS_SUBMITTED + "\n", "my figure"]


def test_only_answered_questions_and_undecided_cells_wait_for_a_marker(graded):
    tree, _ = graded
    with NbGraderCourse(tree).gradebook() as gradebook:

        def waiting(student):
            grades = gradebook.find_submission_notebook(UNIT, UNIT, student).grades
            return {grade.name for grade in grades if grade.needs_manual_grade}

        assert waiting("bob") == set(), "an untouched submission waits for a marker"
        assert waiting("ada") == {"q_double"}
        assert waiting("killer") == {"q_double"}, "a kernel that dies costs 0 points, decided"
        assert gradebook.find_submission_notebook(UNIT, UNIT, "ada").score == 4


def test_grades_csv_follows_its_contract(graded):
    tree, rows = graded
    text = (tree.root / "grades.csv").read_bytes().decode("utf-8")
    assert text.startswith("student,unit,exercise,score,max_score,status,reason\r\n")
    table = list(csv.reader(text.splitlines()))[1:]
    assert len(table) == len(rows) == 3 * (len(CLASS) + len(BROKEN) + 6)
    keys = [[cell.lstrip("'") for cell in row[:3]] for row in table]
    assert keys == sorted(keys)
    formulas = [cell for row in table for cell in row if cell.startswith(("=", "+", "-", "@"))]
    assert not formulas, "a formula is not escaped"
    assert ["ada", UNIT, "q_double", "", "3", "needs_marking", ""] in table


def test_grades_json_holds_the_same_records(graded):
    tree, rows = graded
    records = json.loads((tree.root / "grades.json").read_text(encoding="utf-8"))
    assert list(records[0]) == ["student", "unit", "exercise", "score", "max_score", "status", "reason", "laws"]
    assert len(records) == len(rows) and read_grades(tree.root / "grades.csv") == sorted(
        rows, key=lambda row: (row.student, row.unit, row.exercise)
    )


def test_feedback_shows_reasons_and_not_the_mark_scheme(graded):
    tree, _ = graded
    pages = {page.parts[-3]: page.read_text(encoding="utf-8") for page in feedback_unit(tree, UNIT)}
    assert "you added where the text multiplies" in pages["cleo"]
    assert "q_double</a>: not marked yet, at most 3 points" in pages["cleo"]
    assert "What does doubling do?" in pages["cleo"] and "One point for each" not in pages["cleo"]
    assert "does not contain valid JSON" in pages["damaged"]
    assert all(words in pages["marks"] for words in ("mine", "ours", "as I see it"))
    assert "One point for each" not in pages["marks"]
    assert "absent" not in pages
    feedback_unit(tree, UNIT, student="cleo", with_mark_scheme=True)
    assert "One point for each" in (tree.root / "feedback" / "cleo" / UNIT / f"{UNIT}.html").read_text(encoding="utf-8")


def test_marks_from_formgrader_reach_grades_csv_and_survive_grading_again(graded):
    tree, _ = graded
    with NbGraderCourse(tree).gradebook() as gradebook:
        grade = gradebook.find_grade("q_double", UNIT, UNIT, "emma")
        grade.manual_score, grade.needs_manual_grade = 2.5, False
        gradebook.db.commit()
    rows = grade_unit(tree, UNIT, run=False, student="emma")
    assert rows_of(rows, "emma")["q_double"].score == 2.5
    rows = grade_unit(tree, UNIT, student="emma")
    assert rows_of(rows, "emma")["q_double"].score == 2.5
    assert rows_of(read_grades(tree.root / "grades.csv"), "ada"), "grading one student lost the others' rows"


def test_grading_one_unit_keeps_the_rows_of_the_others(graded):
    tree, _ = graded
    hand_in(tree.root, "ada", "02_other", {"twofold": DOUBLE.replace("double", "twofold")})
    grade_unit(tree, "02_other", student="ada")
    units = {(row.student, row.unit) for row in read_grades(tree.root / "grades.csv")}
    assert {("ada", UNIT), ("ada", "02_other"), ("bob", UNIT)} <= units


def test_an_unknown_student_is_named_with_those_that_exist(graded):
    with pytest.raises(WrongUsage, match="submitted/nobody. Students: .*ada"):
        grade_unit(graded[0], UNIT, student="nobody")


def test_nbgraders_own_command_grades_the_same_tree_alike(graded):
    tree, rows = graded
    command = [sys.executable, "-m", "nbgrader", "autograde", UNIT, "--student", "cleo", "--force"]
    environment = os.environ | {"PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])}
    result = subprocess.run(command, cwd=tree.root, capture_output=True, text=True, timeout=120, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    assert rows_of(grade_unit(tree, UNIT, run=False), "cleo") == rows_of(rows, "cleo")
    assert level_of(tree, "cleo") == expected_level()


def test_formgraders_button_grades_in_the_sandbox_as_well(graded):
    """The button calls this method of nbgrader's library, in the server's process."""
    from nbgrader.apps.api import NbGraderAPI

    tree, rows = graded
    course = NbGraderCourse(tree)
    (tree.root / "autograded" / "cleo" / UNIT / f"{UNIT}.ipynb").unlink()
    result = NbGraderAPI(course.directory(), parent=course.app).autograde(UNIT, "cleo")
    assert result["success"], result
    assert rows_of(grade_unit(tree, UNIT, run=False), "cleo") == rows_of(rows, "cleo")
    assert level_of(tree, "cleo") == expected_level()


def level_of(tree, student):
    path = tree.root / "autograded" / student / UNIT / f"{UNIT}.ipynb"
    return nbformat.read(path, as_version=4).metadata["course"]["level"]


def expected_level():
    from autograder.sandbox.client import probe

    return probe()
