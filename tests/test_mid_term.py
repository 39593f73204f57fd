"""What an instructor changes while a term is running: marks and comments stay, nobody is accused of it, it is logged."""

from __future__ import annotations

import json
import shutil
import sys

import nbformat
import pytest
from miniature import DOUBLE, hand_in, make_tree, marks
from nbformat.v4 import new_code_cell, new_markdown_cell

from autograder.changes import read_log
from autograder.grade import grade_unit
from autograder.nbgrader_course import NbGraderCourse
from autograder.release import release_units
from autograder.report import write_report
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="submissions are isolated on Linux")
UNIT = "01_double"
RIGHT = "def double(x):\n    return 2 * x"
WRONG = "def double(x):\n    return x"
ADDED = [
    new_code_cell(DOUBLE.replace("double", "again"), metadata=marks("again", solution=True), id="again"),
    new_code_cell("check(again, 4, points=2)", metadata=marks("test_again", grade=True, locked=True, points=2), id="t"),
]


@pytest.fixture(scope="module")
def graded(tmp_path_factory) -> Tree:
    """Released and graded: ada is right and has a mark and a comment, ben is wrong, cleo has only answered."""
    tree = Tree(make_tree(tmp_path_factory.mktemp("term") / "course"))
    release_units(tree, [UNIT])
    hand_in(tree.root, "ada", UNIT, {"double": RIGHT, "q_double": "Signs stay."})
    hand_in(tree.root, "ben", UNIT, {"double": WRONG})
    hand_in(tree.root, "cleo", UNIT, {"q_double": "Zero stays."})
    grade_unit(tree, UNIT)
    with NbGraderCourse(tree).gradebook() as gradebook:
        gradebook.find_grade("q_double", UNIT, UNIT, "ada").manual_score = 2.5
        gradebook.find_grade("q_double", UNIT, UNIT, "ada").needs_manual_grade = False
        gradebook.find_comment("q_double", UNIT, UNIT, "ada").manual_comment = "Good."
        gradebook.db.commit()
    return tree


@pytest.fixture
def tree(graded, tmp_path) -> Tree:
    return Tree(shutil.copytree(graded.root, tmp_path / "course"))


def edit(tree: Tree, change) -> None:
    path = tree.root / "notebooks" / UNIT / f"{UNIT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)


def rows(tree: Tree, **options) -> dict[tuple[str, str], tuple]:
    found = grade_unit(tree, UNIT, **options)
    return {(row.student, row.exercise): (row.score, row.max_score, row.status, row.reason) for row in found}


def repairs(tree: Tree) -> list[str]:
    page = write_report(tree, tree.root / "report.html").read_text(encoding="utf-8")
    return page[page.index("Repairs") : page.index("Slowest")].count("changed"), page


def test_a_typo_points_and_an_added_exercise_are_nobodys_repair(tree):
    def change(notebook):
        notebook.cells[7].source = notebook.cells[7].source.replace("What does", "What, then, does")
        notebook.cells[3].source = "check(double, 4, points=4)"
        notebook.cells[3].metadata.nbgrader.points = 4
        notebook.cells[6:6] = ADDED

    edit(tree, change)
    edit(tree, lambda notebook: notebook.cells[0].update(source="# A tiny unit, mended"))
    release_units(tree, [UNIT])
    hand_in(tree.root, "dora", UNIT, {"double": RIGHT, "again": RIGHT.replace("double", "again")})
    now = rows(tree)
    assert now["ada", "double"] == (4, 4, "graded", "") and now["ben", "double"][:3] == (1, 4, "graded")
    assert now["ada", "q_double"] == (2.5, 3, "graded", "marked by hand"), "the mark stays"
    assert now["ada", "again"][:3] == (0, 2, "graded") and "a later release" in now["ada", "again"][3]
    assert now["dora", "again"] == (2, 2, "graded", "")
    assert not any("repaired" in (row[2] + row[3]) for row in now.values())
    accused, page = repairs(tree)
    assert accused == 0
    logged = [entry["what"] for entry in read_log(tree)]
    assert set(logged) == {
        f"released again: {what}"
        for what in (
            "points of test_double: 2 before, now 4",
            "the text of rubric_double",
            "again was added",
            "test_again was added",
            "the text of the cell that begins with: # A tiny unit, mended",
        )
    }
    assert "test_again was added" in page
    with NbGraderCourse(tree).gradebook() as gradebook:
        assert gradebook.find_comment("q_double", UNIT, UNIT, "ada").comment == "Good."


def test_a_student_who_changes_a_test_is_still_told(tree):
    edit(tree, lambda notebook: notebook.cells[7].update(source=notebook.cells[7].source + " Say why."))
    release_units(tree, [UNIT])
    hand_in(tree.root, "eve", UNIT, {"double": RIGHT, "test_double": "check(double, 4, points=9)"})
    now = rows(tree, student="eve")
    assert now["eve", "double"][:3] == (2, 2, "repaired") and "had been changed" in now["eve", "double"][3]


def test_an_exercise_that_was_changed_is_graded_by_the_release_that_was_handed_in(tree):
    def change(notebook):
        notebook.cells[2].source = notebook.cells[2].source.replace("(x)", "(x, times=2)")
        notebook.cells[3].source = "assert double(2, times=3) == 6"

    edit(tree, lambda notebook: notebook.cells[3].update(source="assert double(2) == 4"))
    release_units(tree, [UNIT])
    hand_in(tree.root, "old", UNIT, {"double": RIGHT})
    edit(tree, change)
    release_units(tree, [UNIT])
    hand_in(tree.root, "new", UNIT, {"double": "def double(x, times=2):\n    return times * x"})
    hand_in(tree.root, "late", UNIT, {"double": RIGHT})
    now = rows(tree)
    assert now["old", "double"] == (2, 2, "graded", "") and now["new", "double"] == (2, 2, "graded", "")
    assert now["late", "double"][0] == 0, "made from the new release, in which the exercise is another one"


def test_a_test_that_is_repaired_holds_for_what_was_handed_in_before(tree):
    edit(tree, lambda notebook: notebook.cells[3].update(source="assert double(2) == 5"))
    release_units(tree, [UNIT])
    hand_in(tree.root, "fay", UNIT, {"double": RIGHT})
    assert rows(tree, student="fay")["fay", "double"][0] == 0
    edit(tree, lambda notebook: notebook.cells[3].update(source="assert double(2) == 4"))
    release_units(tree, [UNIT])
    assert rows(tree, student="fay")["fay", "double"] == (2, 2, "graded", "")


@pytest.mark.parametrize(
    ("stub", "said", "test", "right"),
    [
        ("Twice x.", "Two times x.", "", "def double(x):\n    return 2 * x"),
        ("Twice x.", "Three times x.", "assert double(2) == 6", "def double(x):\n    return 3 * x"),
        ("(x)", "(x, times=2)", "", "def double(x, times=2):\n    return times * x"),
    ],
    ids=["a typo", "another text with its test", "another signature"],
)
def test_of_an_exercise_whose_text_was_corrected_the_repaired_test_counts(tree, stub, said, test, right):
    edit(tree, lambda notebook: notebook.cells[3].update(source="assert double(2) == 4"))
    release_units(tree, [UNIT])
    hand_in(tree.root, "old", UNIT, {"double": RIGHT})
    edit(tree, lambda notebook: notebook.cells[2].update(source=notebook.cells[2].source.replace(stub, said)))
    edit(tree, lambda notebook: test and notebook.cells[3].update(source=test))
    release_units(tree, [UNIT])
    edit(tree, lambda notebook: notebook.cells[3].update(source=(test or "assert double(2) == 4") + "  # repaired"))
    release_units(tree, [UNIT])
    hand_in(tree.root, "new", UNIT, {"double": right})
    now = rows(tree)
    assert now["old", "double"] == now["new", "double"] == (2, 2, "graded", "")
    graded = {}
    for student in ("old", "new"):
        notebook = nbformat.read(tree.root / "autograded" / student / UNIT / f"{UNIT}.ipynb", as_version=4)
        (graded[student],) = [c.source for c in notebook.cells if c.metadata.get("nbgrader", {}).get("points") == 2][:1]
    assert "repaired" in graded["new"] and ("repaired" in graded["old"]) is (said == "Two times x.")


def test_a_text_that_was_corrected_below_a_question_is_nobodys_answer(tree):
    edit(tree, lambda notebook: notebook.cells.append(new_markdown_cell("The ende.", id="end")))
    release_units(tree, [UNIT])
    hand_in(tree.root, "old", UNIT, {"double": RIGHT})
    edit(tree, lambda notebook: notebook.cells[-1].update(source="The end."))
    release_units(tree, [UNIT])
    assert rows(tree)["old", "q_double"] == (0, 3, "graded", "not answered")


def test_what_has_grades_is_not_taken_out(tree):
    edit(tree, lambda notebook: notebook.cells.__delitem__(slice(4, 6)))
    with pytest.raises(
        CourseError, match=r"test_triple cannot be taken out.*course withdraw 01_double test_triple --none"
    ):
        release_units(tree, [UNIT])


def total(tree: Tree, student: str) -> tuple[float, float]:
    with NbGraderCourse(tree).gradebook() as gradebook:
        submission = gradebook.find_submission(UNIT, student)
        return submission.score, submission.max_score


def test_withdrawn_with_full_points_and_undone(tree, course):
    before = rows(tree)
    code, out, err = course(tree, "withdraw", "01", "double", "--full", "--why", "The check was wrong.")
    assert code == 0, err
    now = rows(tree)
    reason = "withdrawn, all have its points: The check was wrong."
    assert {student: now[student, "double"] for student in ("ada", "ben", "cleo")} == dict.fromkeys(
        ("ada", "ben", "cleo"), (2, 2, "graded", reason)
    )
    assert total(tree, "ben") == (2 + now["ben", "triple"][0], 7)
    grade_unit(tree, UNIT, student="ben")
    assert rows(tree) == now
    code, out, err = course(tree, "feedback", "01")
    assert code == 0, err
    page = (tree.root / "feedback" / "ben" / UNIT / f"{UNIT}.html").read_text(encoding="utf-8")
    assert "The check was wrong." in page
    code, out, err = course(tree, "withdraw", "01", "double", "--undo", "--why", "It was right.")
    assert code == 0, err
    assert rows(tree) == before and total(tree, "ben")[0] == before["ben", "double"][0] + before["ben", "triple"][0]
    assert [entry["why"] for entry in read_log(tree)] == ["The check was wrong.", "It was right."]


def test_a_question_withdrawn_for_nobody_keeps_its_marks(tree, course):
    before = rows(tree)
    assert course(tree, "withdraw", "01", "q_double", "--none", "--why", "Unclear.")[0] == 0
    now = rows(tree)
    assert {now[student, "q_double"][:3] for student in ("ada", "ben", "cleo")} == {(0, 0, "graded")}
    assert total(tree, "ada") == (2, 4)
    assert course(tree, "grade", "01", "--force")[0] == 0
    assert rows(tree) == now
    assert course(tree, "withdraw", "01", "q_double", "--undo")[0] == 0
    assert rows(tree) == before and before["cleo", "q_double"][2] == "needs_marking"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("double", "--full"), "say why"),
        (("double", "--why", "x"), "--full or --none"),
        (("double", "--full", "--none", "--why", "x"), "--full or --none"),
        (("dubble", "--full", "--why", "x"), "it has double, triple, q_double"),
        (("double", "--undo"), "is not withdrawn"),
    ],
)
def test_odd_withdrawals_are_refused(tree, course, arguments, said):
    code, _, err = course(tree, "withdraw", "01", *arguments)
    assert code == 2 and said in err and len(err.splitlines()) == 1
    assert not (tree.root / ".withdrawn.json").exists()


def test_points_are_changed_in_all_places_by_one_command(tree, course):
    def card(notebook):
        notebook.cells[0].source = "### Exercise 1.1 · `double` · 2 points\n\nDouble it."

    edit(tree, card)
    code, out, err = course(tree, "points", "01", "double", "3.5")
    assert code == 0, err
    source = nbformat.read(tree.root / "notebooks" / UNIT / f"{UNIT}.ipynb", as_version=4)
    assert "3.5 points" in source.cells[0].source and source.cells[3].metadata.nbgrader.points == 3.5
    assert source.cells[3].source == "check(double, 4, points=3.5)"
    assert course(tree, "release", "01")[0] == 0
    assert rows(tree)["ada", "double"][:2] == (3.5, 3.5)
    assert course(tree, "points", "01", "double", "-1")[0] == 2


def test_a_repaired_check_is_logged_and_everybody_is_graded_again(tree, monkeypatch):
    known = tree.root / ".releases" / "checks.json"
    from autograder import changes

    source = nbformat.read(tree.root / "notebooks" / UNIT / f"{UNIT}.ipynb", as_version=4)
    source.cells[3].source = "from course_utils import check\n\ncheck.slerp(double, points=2)"
    source.cells[3].metadata.nbgrader.grade_id = "test_slerp"
    (tree.root / "notebooks" / "02_other").joinpath("02_other.ipynb").write_text(nbformat.writes(source))
    changes.note_checks(tree, "02_other")
    assert list(json.loads(known.read_text())) == ["slerp"] and read_log(tree) == []
    known.write_text(json.dumps({"slerp": "another"}))
    changes.note_checks(tree, "02_other")
    assert "the check of slerp was changed" in read_log(tree)[0]["what"]
