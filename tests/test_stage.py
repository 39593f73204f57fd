"""What of the course package a sandbox holds: nothing that answers an exercise or judges it."""

from __future__ import annotations

import ast

import pytest

from autograder.sandbox.stage import stage

ANSWERS = {
    "models/closed_forms": ["bernoulli_nll", "gaussian_kl"],
    "metrics/mmd": ["mmd_squared", "median_bandwidth"],
    "models/networks": ["conv_networks"],
    "metrics/attributes": ["held_out_scores"],
}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return stage(tmp_path_factory.mktemp("staged")) / "course_utils"


@pytest.mark.parametrize("module, name", [(module, name) for module, names in ANSWERS.items() for name in names])
def test_a_function_that_answers_an_exercise_is_empty_there(package, module, name):
    tree = ast.parse((package / f"{module}.py").read_text(encoding="utf-8"))
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    assert "is not available while a submission is graded" in ast.unparse(function.body[-1])
    assert len(function.body) == 2, ast.unparse(function)


def test_no_law_is_there(package):
    assert "@CHECK.law" not in "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
