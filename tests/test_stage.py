"""What of the course package a sandbox holds: nothing that answers an exercise or judges it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import bank
import pytest
import torch
from recorder import probes

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


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """Of every exercise that is not about modules, questions with right answers."""
    path = tmp_path_factory.mktemp("probes") / "probes.pt"
    found = {exercise: probes(exercise) for exercise in bank.exercises()}
    torch.save({exercise: pairs for exercise, pairs in found.items() if pairs}, path)
    return path


def what_answers(folder: Path, *given: object) -> list[str]:
    """In a process of its own, which imports nothing but the package in `folder`: lines, the last says how many."""
    command = [sys.executable, "-I", Path(__file__).with_name("staged_functions.py"), folder, *given]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=folder)
    lines = done.stdout.splitlines()
    assert lines and lines[-1].startswith("tried "), (done.returncode, done.stderr[-2000:])
    return lines


def test_nothing_that_can_be_called_there_answers_an_exercise(package, questions):
    lines = what_answers(package.parent, questions)
    assert len(lines) == 1 and int(lines[0].removeprefix("tried ")) > 500, lines


def test_the_search_finds_what_was_left_in(tmp_path, questions):
    modules = ("course_utils.models.closed_forms", "course_utils.metrics.mmd")
    found = {line.split(":")[0] for line in what_answers(stage(tmp_path, whole_course=True), questions, *modules)}
    assert {"kl_divergence", "reconstruction_loss", "mmd_squared"} <= found
