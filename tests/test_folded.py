"""What a student should read stays open and short; what only draws, tabulates or asks is folded under a line that says
what it does."""

from __future__ import annotations

import ast
from statistics import median

import nbformat
import pytest

from tests.notebook_source import CHECKOUT

UNITS = sorted(path.name[:2] for path in (CHECKOUT / "notebooks").iterdir() if path.is_dir())
MOST_LINES, WIDEST = 12, 100


@pytest.fixture(params=[("notebooks", unit) for unit in UNITS] + [("release", unit) for unit in UNITS], ids="/".join)
def notebook(request):
    folder, unit = request.param
    (path,) = (CHECKOUT / folder).glob(f"{unit}_*/*.ipynb")
    return nbformat.read(path, as_version=4)


@pytest.fixture
def cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and "nbgrader" not in cell.metadata]


def test_an_open_cell_is_short_and_a_folded_one_says_what_it_does(cells):
    lengths = []
    for cell in cells:
        lines = cell.source.splitlines()
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            assert lines[0].startswith("# ") and len(lines[0]) <= WIDEST, f"{cell.id}: {lines[0]}"
            lengths.append(0)
        else:
            assert len(lines) <= MOST_LINES, f"{cell.id} shows {len(lines)} lines"
            assert max(map(len, lines)) <= WIDEST, f"{cell.id} is {max(map(len, lines))} columns wide"
            lengths.append(len(lines))
    assert median(lengths) <= 6


def test_a_question_is_read_once(cells):
    asking = [cell for cell in cells if "predict" in cell.metadata.get("tags", [])]
    assert asking and all(cell.metadata.get("jupyter", {}).get("source_hidden") for cell in asking)


def test_a_graded_unit_ends_with_the_cell_that_hands_it_in(notebook):
    graded = any(cell.metadata.get("nbgrader", {}).get("grade") for cell in notebook.cells)
    assert ("hand_in.now()" in notebook.cells[-1].source) == graded


def test_every_wrong_guess_hears_what_is_tempting_about_it(cells):
    calls = [
        node
        for cell in cells
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    choices = {  # of a question's name -> its letters
        node.targets[0].id: {key.arg for key in node.value.keywords} - {"guess"}
        for cell in cells
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.Assign) and "predict.choose(" in ast.unparse(node.value)
    }
    for call in (each for each in calls if each.func.attr == "reveal"):
        if any(isinstance(each, ast.Starred) for each in call.args):
            continue  # recorded_runs.buggy_line gives it
        name, said = call.args[0].id, {each.arg: each.value for each in call.keywords}.get("tempting")
        assert said is not None, f"{name}: a wrong guess hears nothing"
        said = ast.literal_eval(said)
        if isinstance(said, dict):
            assert set(said) == choices[name], f"{name}: {', '.join(said)} for {', '.join(sorted(choices[name]))}"
        assert all(0 < len(text) < 200 for text in (said.values() if isinstance(said, dict) else [said])), name
