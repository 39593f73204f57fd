"""`course demo` on a miniature course: end to end, in demo/ only."""

from __future__ import annotations

import pytest
from miniature import hand_in, make_tree

from autograder.demo import course_of, prepare, run_demo
from autograder.grades_file import read_grades
from course_utils.system.tree import Tree


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    tree = Tree(make_tree(tmp_path_factory.mktemp("demo") / "course"))
    own = hand_in(tree.root, "mine", "01_double", {}, base="notebooks")
    before = own.read_bytes()
    lines: list[str] = []
    summary = run_demo(tree, progress=lines.append)
    assert own.read_bytes() == before
    return tree, summary, lines


def test_demo_writes_in_demo_only(demo):
    tree, _, _ = demo
    made = {path.name for path in tree.root.iterdir()}
    assert made == {"nbgrader_config.py", "notebooks", "submitted", "demo"}, f"the demo left {made} in the course"


def test_demo_grades_at_least_six_students_with_right_half_wrong_and_untouched_among_them(demo):
    tree, _, _ = demo
    rows = [row for row in read_grades(tree.root / "demo" / "grades.csv") if not row.exercise.startswith("q_")]
    totals = {}
    for row in rows:
        totals[row.student] = totals.get(row.student, 0) + (row.score or 0)
    assert len(totals) >= 6
    assert (totals["ada_right"], totals["chloe_half_done"], totals["gus_untouched"]) == (8, 4, 0)
    assert {row.status for row in rows if row.student == "harper_damaged_file"} == {"unreadable"}
    assert (tree.root / "demo/feedback/chloe_half_done/01_double/01_double.html").is_file()


def test_summary_is_one_self_contained_page(demo):
    _, summary, _ = demo
    page = summary.read_text(encoding="utf-8")
    assert "chloe_half_done" in page and "not written yet" in page
    assert "<script" not in page and "://" not in page


def test_demo_starts_afresh_also_from_inside_its_own_folder(demo):
    tree, _, _ = demo
    (tree.root / "demo" / "left.txt").write_text("x")
    inside = Tree(tree.root / "demo")
    assert course_of(inside) == tree
    assert prepare(course_of(inside), fresh=False) == inside and (tree.root / "demo" / "left.txt").exists()
    assert prepare(course_of(inside), fresh=True) == inside and not (tree.root / "demo" / "left.txt").exists()
