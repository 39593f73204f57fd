"""Unit 07, the scoreboard: nothing in it is graded, and everything that handles units knows how to deal with that."""

from __future__ import annotations

import shutil

import nbformat
import pytest
from miniature import CHECKOUT, hand_in, make_tree
from notebook_source import read

from autograder.kit import kit_files
from autograder.release import release_units
from course_utils.cli import app as cli
from course_utils.cli.handin import is_graded
from course_utils.system.tree import Tree

UNIT = "07_scoreboard"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Two tiny graded units and the scoreboard, released; one student has handed in one of them."""
    tree = Tree(make_tree(tmp_path_factory.mktemp("ungraded") / "course"))
    shutil.copytree(CHECKOUT / "notebooks" / UNIT, tree.source / UNIT)
    release_units(tree, tree.units())
    hand_in(tree.root, "ada", "01_double", {"double": "def double(x):\n    return 2 * x"})
    return tree


@pytest.fixture
def course(tree, capsys, monkeypatch, tmp_path):
    if not any(command.name == "test" for command in cli.app.registered_commands):
        cli.load_plugins()
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = cli.run(["--root", str(tree.root), *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_nothing_in_it_is_graded_and_its_source_is_well_formed(notebook):
    assert (notebook.exercises, notebook.checks, notebook.questions) == ({}, {}, {})
    assert notebook.faults() == []


def test_it_runs_without_its_experiments(notebook):
    assert "scoreboard" in notebook.space


def test_only_units_with_graded_cells_are_graded(tree):
    assert [unit for unit in tree.units() if is_graded(tree, unit)] == ["01_double", "02_other"]


def test_a_damaged_notebook_counts_as_graded_so_that_its_damage_is_said(tree, tmp_path):
    shutil.copytree(tree.root, tmp_path / "course")
    own = Tree(tmp_path / "course")
    (own.source / UNIT / f"{UNIT}.ipynb").write_text("{")
    assert is_graded(own, UNIT)


def test_release_and_kit_have_it(tree):
    files = kit_files(tree)
    released = nbformat.reads(files[f"notebooks/{UNIT}/{UNIT}.ipynb"].decode(), as_version=4)
    assert [cell.source for cell in released.cells] == [cell.source for cell in read(UNIT).cells]
    assert f'"{UNIT}": {{}}' in files["kit.json"].decode()


def test_grading_all_leaves_it_out(tree, course):
    code, out, err = course("grade", "--all", "--unsafe")
    assert code == 0, err
    assert "01_double:" in out and "02_other:" in out and UNIT not in out
    assert UNIT not in (tree.root / "grades.csv").read_text()
    code, out, err = course("feedback", "01")
    assert code == 0, err


@pytest.mark.parametrize("command", [("grade", "07"), ("feedback", "07"), ("submit", "07"), ("collect", "07", ".")])
def test_naming_it_for_grading_or_handing_in_is_refused_in_one_line(course, command):
    code, out, err = course(*command)
    assert code == 2 and err.count("\n") == 1 and "07_scoreboard is not graded" in err
