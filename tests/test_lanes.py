"""The table of slow tests is about tests that exist, and one test can be run without waiting for the others."""

from __future__ import annotations

import ast

import lanes
import pytest
from miniature import CHECKOUT

from autograder.run_tests import pytest_command
from course_utils.system.tree import Tree


@pytest.mark.parametrize("name", lanes.MARKS)
def test_what_the_table_lists_exists(name):
    file, _, test = name.partition("::")
    text = (CHECKOUT / file).read_text(encoding="utf-8")
    functions = {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)} if test else {""}
    assert test in functions


def test_tests_that_share_what_is_costly_to_make_are_run_by_one_worker():
    graded = "tests/test_real_grading.py::test_{}[02_variational_autoencoders{}]"
    assert lanes.group_of(graded.format("a", "")) == lanes.group_of(graded.format("b", "-slerp"))
    assert lanes.group_of("tests/test_checks_bank.py::test_a[slerp-x]") != lanes.group_of(
        "tests/test_checks_bank.py::test_a[interpolate-x]"
    )
    assert lanes.group_of("tests/test_mmd.py::test_a[1-2]") == lanes.group_of("tests/test_mmd.py::test_b")


@pytest.mark.parametrize(
    ("arguments", "workers"),
    [([], True), (["-x"], True), (["-k", "slerp"], False), (["tests/test_mmd.py::test_a"], False)],
)
def test_two_workers_share_a_lane_and_none_are_started_for_what_is_picked(arguments, workers):
    assert ("-n" in pytest_command(Tree(CHECKOUT), arguments)) == workers


def test_the_quick_lane_leaves_out_marked_tests_and_executed_notebooks():
    command = pytest_command(Tree(CHECKOUT), [], quick=True)
    assert "solutions" not in command
    assert all(slow.mark in command[command.index("-m", 3) + 1] for slow in lanes.MARKS.values())
