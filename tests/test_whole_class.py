"""A class with every oddity at once: everybody has rows, exact points, and whoever is in trouble is named."""

from __future__ import annotations

import random
import sys
import zipfile

import lanes
import pytest
from odd_class import UNIT, killed, make_class, scores_of

from autograder.grade import grade_unit
from autograder.grades_file import read_grades

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="submissions are isolated on Linux")
STUDENTS = lanes.amount(30, 60)


def test_a_class_of_which_twelve_are_in_trouble(tmp_path, course):
    tree, source, wanted, named = make_class(tmp_path, STUDENTS)
    assert len(wanted) == STUDENTS and len(named) == 12
    code, out, err = course(tree, "collect", "01", source)
    assert code == 1 and f"the export holds {STUDENTS - 1}, left out: 5." in out, (out, err)
    seen = []
    for _ in range(2):
        code, out, err = course(tree, "grade", "01")
        rows = read_grades(tree.root / "grades.csv")
        assert len(rows) == 3 * STUDENTS and scores_of(rows) == wanted
        assert code == 1, err
        in_trouble = {line.split(": ", 2)[2].split(f", {UNIT}")[0] for line in err.splitlines()}
        assert in_trouble == named, err
        seen.append(rows)
    assert seen[0] == seen[1]
    code, out, err = course(tree, "feedback", "01", "--zip", "moodle")
    assert code == 0 and f"{STUDENTS} pages" in out, (out, err)
    with zipfile.ZipFile(tree.root / "feedback" / f"{UNIT}-moodle.zip") as archive:
        assert len(archive.namelist()) == STUDENTS - 1
    assert err.count("course: note:") == 1 and "not\ufffdutf8" in err
    code, out, err = course(tree, "report", "01", "--csv", "moodle")
    table = (tree.root / f"grades-moodle-{UNIT}.csv").read_text(encoding="utf-8")
    assert code == 0 and table.count("\nParticipant ") == STUDENTS - 1


def test_killed_at_random_moments_the_rows_are_the_same(tmp_path, course):
    """Two kills of a small class; `python tests/odd_class.py` kills twenty times a class of sixty."""
    tree, source, wanted, _ = make_class(tmp_path, 6, odd=False)
    assert course(tree, "collect", "01", source)[0] == 0
    killed(tree, 2, 12, random.Random())
    assert scores_of(grade_unit(tree, UNIT)) == wanted == scores_of(read_grades(tree.root / "grades.csv"))
