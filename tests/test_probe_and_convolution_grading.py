"""Convolutional networks and scores as NumPy arrays, graded in the sandbox: modules stay inside, arrays come out."""

from __future__ import annotations

import shutil

import pytest
from miniature import CHECKOUT, hand_in

from autograder.grade import grade_unit
from autograder.release import release_units
from autograder.sample_answers import ANOTHER_STYLE, MISCONCEPTIONS
from course_utils.system.tree import Tree

UNIT = "06_awa2"
EXERCISES = ("build_conv_autoencoder", "attribute_scores")
MISTAKEN = {name: code for beliefs in MISCONCEPTIONS.values() for name, code in beliefs.items() if name in EXERCISES}
CAUSES = {"build_conv_autoencoder": "5 million parameters", "attribute_scores": "accuracy"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    root = tmp_path_factory.mktemp("animals") / "course"
    shutil.copytree(CHECKOUT / "notebooks" / UNIT, root / "notebooks" / UNIT)
    shutil.copy(CHECKOUT / "nbgrader_config.py", root)
    tree = Tree(root)
    release_units(tree, [UNIT])
    for student, answers in {"another": ANOTHER_STYLE, "mistaken": MISTAKEN}.items():
        hand_in(root, student, UNIT, {name: answers[name] for name in EXERCISES})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        return {(row.student, row.exercise): row for row in grade_unit(tree, UNIT)}


@pytest.mark.parametrize("exercise", EXERCISES)
def test_right_answers_get_full_points(rows, exercise):
    row = rows["another", exercise]
    assert row.score == row.max_score == 4, row.reason


@pytest.mark.parametrize("exercise", EXERCISES)
def test_mistakes_cost_points_and_are_named(rows, exercise):
    row = rows["mistaken", exercise]
    assert 0 < row.score < row.max_score, row.reason
    assert CAUSES[exercise] in row.reason, row.reason
