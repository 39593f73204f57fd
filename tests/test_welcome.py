"""The welcome page says of every unit how long it takes and what is done, whatever state its files are in."""

from __future__ import annotations

import nbformat
import pytest
from miniature import CHECKOUT, DOUBLE, hand_in, make_tree
from nbformat.v4 import new_output
from student_tree import BEGIN_OR_END, grade_id, unpack_kit

from autograder.release import release_units
from course_utils.cli import hand_in as hand_in_cell
from course_utils.cli import update, welcome
from course_utils.cli.handin import is_graded, template_of
from course_utils.cli.submit import progress, submit_unit
from course_utils.system.tree import Tree

UNIT = "01_double"


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Tree:
    tree = Tree(make_tree(tmp_path_factory.mktemp("course") / "tree"))
    release_units(tree, tree.units())
    return tree


@pytest.fixture
def kit(released, tmp_path) -> Tree:
    return Tree(unpack_kit(released.root, tmp_path))


def done(tree: Tree) -> dict[str, str]:
    return {each.unit: each.done for each in welcome.overviews(tree)}


def edit(tree: Tree, change) -> None:
    """Apply ``change`` to every cell of the unit, given with its grade id."""
    path = tree.source / UNIT / f"{UNIT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        change(cell, grade_id(cell))
    nbformat.write(notebook, path)


def solve_half(cell, name) -> None:
    """One of two exercises is written and its check has passed, the other's earned a part."""
    if name == "double":
        cell.source = BEGIN_OR_END.sub("", DOUBLE)
    if name in ("test_double", "test_triple"):
        text = {"test_double": "2", "test_triple": "0.5"}[name]
        cell.outputs = [new_output("execute_result", {"text/plain": text}, execution_count=1)]


def answer(cell, name) -> None:
    if name == "q_double":
        cell.source = "Everything becomes twice as large."


def test_a_student_sees_what_is_not_started_how_many_checks_pass_and_what_is_packed(kit, tmp_path):
    assert done(kit) == {UNIT: "not started", "02_other": "not started"}
    edit(kit, solve_half)
    assert done(kit)[UNIT] == "1 of 2 checks passed, 0 of 1 questions answered"
    submit_unit(kit, UNIT, notebook=None, folder=kit.root)
    assert done(kit)[UNIT] == "1 of 2 checks passed, 0 of 1 questions answered, packed to hand in"
    edit(kit, answer)
    assert done(kit)[UNIT] == "1 of 2 checks passed, 1 of 1 questions answered, changed since it was packed to hand in"
    assert done(kit)["02_other"] == "not started"


@pytest.mark.parametrize(
    "output",
    [
        new_output("stream", text="2"),
        new_output("execute_result", {"text/plain": "two"}),
        new_output("execute_result", {"text/html": "2"}),
        new_output("error", ename="NotImplementedError", evalue="double: not written yet"),
    ],
)
def test_only_a_check_s_own_number_counts_as_passed(kit, output):
    def leave(cell, name):
        if name == "test_double":
            cell.outputs = [output]

    edit(kit, leave)
    assert done(kit)[UNIT] == "0 of 2 checks passed, 0 of 1 questions answered"


@pytest.mark.parametrize("content", ["{", '{"cells": 3}', ""])
def test_a_damaged_notebook_is_named_and_keeps_no_other_unit_from_being_opened(kit, content):
    (kit.source / UNIT / f"{UNIT}.ipynb").write_text(content)
    found = done(kit)
    assert found[UNIT].startswith("cannot be read: 01_double.ipynb is not a"), found
    assert found["02_other"] == "not started"
    page = welcome.write_page(kit, welcome.overviews(kit)).read_text(encoding="utf-8")
    assert "(notebooks/02_other/02_other.ipynb)" in page


def test_an_instructor_sees_what_is_released_handed_in_and_graded(released):
    for student in ("ada", "ben"):
        hand_in(released.root, student, UNIT, {})
    (released.root / "autograded" / "ada" / UNIT).mkdir(parents=True)
    assert done(released) == {UNIT: "released, 2 handed in, 1 graded", "02_other": "released, 0 handed in, 0 graded"}


def test_every_graded_unit_of_the_course_says_its_question_and_its_time():
    tree = Tree(CHECKOUT)
    silent = [
        each.unit
        for each in welcome.overviews(tree)
        if not each.question
        or (is_graded(tree, each.unit) and "computing: about" not in each.time)
        or len(each.time) > 60
    ]
    assert not silent, f"no question, or no 'About ... of work, of which two cores ... for about ... (' in: {silent}"


def test_the_page_is_generated_and_never_committed():
    assert welcome.PAGE in (CHECKOUT / ".gitignore").read_text().splitlines()


def test_the_page_is_written_anew_when_a_unit_is_saved(kit):
    page = welcome.write_page(kit, welcome.overviews(kit))
    assert "not started" in page.read_text() and "submit UNIT" in page.read_text()
    edit(kit, solve_half)
    update.after_saving({}, str(kit.source / UNIT / f"{UNIT}.ipynb"))
    assert "1 of 2 checks passed" in page.read_text()


def test_the_last_cell_packs_the_saved_notebook_and_says_how_each_exercise_stands(kit, monkeypatch, capsys):
    edit(kit, solve_half)
    edit(kit, answer)
    shown = []
    monkeypatch.setattr(hand_in_cell.surroundings, "in_notebook", lambda: True)
    monkeypatch.setattr(hand_in_cell.surroundings, "show_html", lambda markup, *, plain: shown.append(plain))
    monkeypatch.setenv(hand_in_cell.SESSION, str(kit.source / UNIT / f"{UNIT}.ipynb"))
    hand_in_cell.now()
    assert capsys.readouterr().out == "" and "done  double: checked: 2 of 2 points" in shown[0]
    assert "open  triple: not written yet" in shown[0] and "done  q_double: answered" in shown[0]
    assert done(kit)[UNIT].endswith("packed to hand in")


def test_elsewhere_the_last_cell_only_says_what_to_do(capsys, monkeypatch):
    monkeypatch.delenv(hand_in_cell.SESSION, raising=False)
    hand_in_cell.now()
    assert "Run this cell in JupyterLab" in capsys.readouterr().out


def test_an_exercise_that_ran_after_its_check_is_to_be_checked_again(kit):
    edit(kit, solve_half)

    def run_again(cell, name):
        if name in ("double", "test_double"):
            cell.execution_count = {"double": 7, "test_double": 1}[name]

    edit(kit, run_again)
    notebook = nbformat.read(kit.source / UNIT / f"{UNIT}.ipynb", as_version=4)
    assert {row.name: row.words for row in progress(notebook, template_of(kit, UNIT))}[
        "double"
    ] == "run again since it was checked"
