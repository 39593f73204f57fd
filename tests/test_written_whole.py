"""A disk that fills up while a page or a roster is written leaves the old one as it was, and nothing half-written."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from miniature import make_tree
from nbformat.v4 import new_code_cell, new_notebook, writes

from autograder.collect import ROSTER, collect
from autograder.grades_file import Grade, write_grades
from autograder.report import write_report
from course_utils import models
from course_utils.cli import welcome
from course_utils.metrics import scoreboard
from course_utils.plots import explore
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

UNIT = "01_double"


def write_roster(tree: Tree, place: Path) -> Path:
    export = place / "Ada_12_assignsubmission_file_"
    export.mkdir(exist_ok=True)
    (export / f"{UNIT}.ipynb").write_text(writes(new_notebook(cells=[new_code_cell("1")])))
    collect(tree, UNIT, place)
    return tree.root / "submitted" / ROSTER


def write_class_report(tree: Tree, place: Path) -> Path:
    if not (tree.root / "grades.csv").exists():
        write_grades(tree.root, [Grade("ada", UNIT, "double", 1.0, 2, "graded")])
    return write_report(tree, place / "report.html")


def write_board(tree: Tree, place: Path) -> Path:
    return scoreboard.save(scoreboard.Board("digits", 10, [], {}, []))


def write_cockpit(tree: Tree, place: Path) -> Path:
    torch.manual_seed(0)
    return explore.export(place / "cockpit.html", models.Autoencoder(models.mlp([16, 2]), models.mlp([2, 16])), IMAGES)


IMAGES = torch.rand(8, 16)
WRITERS = {
    "roster": write_roster,
    "report": write_class_report,
    "scoreboard": write_board,
    "cockpit": write_cockpit,
    "welcome": lambda tree, place: welcome.write_page(tree, []),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, name):
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    tree, place = Tree(make_tree(tmp_path / "course")), tmp_path / "export"
    place.mkdir()
    path = WRITERS[name](tree, place)
    path.write_text("old")
    beside = set(path.parent.iterdir())
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(full))
    with pytest.raises((OSError, CourseError), match="No space left"):
        WRITERS[name](tree, place)
    assert path.read_text() == "old" and set(path.parent.iterdir()) == beside
