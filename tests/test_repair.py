"""Broken notebooks are graded as what was meant, each repair noted; what cannot be meant is refused with a reason."""

from __future__ import annotations

import copy
import json
import time

import nbformat
import pytest
from hostile import BETA, KL
from hostile_class import UNIT, source
from miniature import source_notebook
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from nbgrader.nbgraderformat import SCHEMA_VERSION
from nbgrader.utils import compute_checksum

from autograder.repair import _SCHEMA, answer_checksum, repair
from autograder.submissions import Submission, find_submission
from autograder.template import Template
from course_utils.cli.handin import parse_notebook
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

TEMPLATE = Template.of(UNIT, source(), {"08_other": ["test_other", "other"]})


@pytest.fixture
def handed_in():
    """A right submission, as a student would save it."""
    notebook = copy.deepcopy(source())
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") in ("elbo_beta", "kl_divergence"):
            cell.source = {"elbo_beta": BETA, "kl_divergence": KL}[cell.metadata.nbgrader.grade_id]
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "q_it":
            cell.source = "My own answer."
    return notebook


@pytest.mark.parametrize("kind", ["markdown", "code", "raw"])
@pytest.mark.parametrize("points", [1, 2.5, 0])
def test_the_checksum_of_an_answer_is_nbgraders(kind, points):
    marks = {"grade_id": "q_it", "grade": True, "solution": True, "locked": False, "task": False, "points": points}
    cell = NotebookNode(cell_type=kind, source="Größer als √2?", metadata=NotebookNode(nbgrader=NotebookNode(marks)))
    assert answer_checksum(cell) == compute_checksum(cell)
    assert _SCHEMA == SCHEMA_VERSION


def cell_of(notebook, grade_id):
    found = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id]
    assert len(found) == 1, f"{len(found)} cells are called {grade_id}"
    return found[0]


def drop(*grade_ids):
    def change(notebook):
        notebook.cells = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") not in grade_ids]

    return change


def on(grade_id, **new):
    def change(notebook):
        cell = cell_of(notebook, grade_id)
        if "marks" in new:
            cell.metadata.nbgrader.update(new["marks"])
        cell.update({key: value for key, value in new.items() if key != "marks"})

    return change


def strip(notebook):
    for cell in notebook.cells:
        cell.metadata = nbformat.NotebookNode()


def duplicate(notebook):
    notebook.cells += [
        nbformat.from_dict({**copy.deepcopy(cell), "id": f"d{i}"}) for i, cell in enumerate(notebook.cells)
    ]


def retype(grade_id, kind):
    def change(notebook):
        cell = cell_of(notebook, grade_id)
        cell.cell_type = kind
        cell.pop("outputs", None), cell.pop("execution_count", None)
        if kind == "code":
            cell.update(outputs=[], execution_count=None)

    return change


def first_test_to_the_top(notebook):
    test = cell_of(notebook, "test_elbo_beta")
    notebook.cells = [test] + [cell for cell in notebook.cells if cell is not test]


DAMAGE = {
    "nothing": (lambda notebook: None, None),
    "test deleted": (drop("test_elbo_beta"), "test_elbo_beta"),
    "all graded cells but the solutions deleted": (
        drop("test_elbo_beta", "test_kl_divergence", "rubric_it"),
        "test_elbo_beta",
    ),
    "cells duplicated": (duplicate, "test_elbo_beta"),
    "test renamed": (on("test_elbo_beta", marks={"grade_id": "mine"}), "test_elbo_beta"),
    "solution renamed": (on("elbo_beta", marks={"grade_id": "mine"}), "elbo_beta"),
    "solution a markdown cell": (retype("elbo_beta", "markdown"), "elbo_beta"),
    "answer a code cell": (retype("q_it", "code"), "q_it"),
    "answer a raw cell": (retype("q_it", "raw"), "q_it"),
    "metadata stripped": (strip, "elbo_beta"),
    "old schema": (on("test_elbo_beta", marks={"schema_version": 1}), "test_elbo_beta"),
    "points changed": (on("test_elbo_beta", marks={"points": 100}), "test_elbo_beta"),
    "points a text": (on("test_elbo_beta", marks={"points": "many"}), "test_elbo_beta"),
    "test rewritten": (on("test_elbo_beta", source="4"), "test_elbo_beta"),
    "no longer a test": (on("test_elbo_beta", marks={"grade": False}), None),
    "test above its exercise": (first_test_to_the_top, "test_elbo_beta"),
    "tagged as not to be run": (lambda nb: cell_of(nb, "elbo_beta").metadata.update(tags=["experiment"]), "elbo_beta"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_graded_cell_is_there_once_as_released_with_the_students_work_in_it(handed_in, damage):
    change, noted = DAMAGE[damage]
    change(handed_in)
    result = repair(handed_in, TEMPLATE)
    names = [cell.metadata.nbgrader.grade_id for cell in result.notebook.cells if "nbgrader" in cell.metadata]
    assert sorted(names) == sorted(TEMPLATE.marked), names
    for grade_id, wanted in TEMPLATE.marked.items():
        cell = cell_of(result.notebook, grade_id)
        assert cell.cell_type == wanted.cell_type and cell.metadata.nbgrader.schema_version == 3
        if wanted.kind == "test":
            assert cell.source == wanted.source and cell.metadata.nbgrader.points == 4
    for grade_id, text in (("elbo_beta", BETA), ("kl_divergence", KL), ("q_it", "My own answer.")):
        assert cell_of(result.notebook, grade_id).source.strip() == text.strip(), (
            f"{damage}: the student's {grade_id} is lost"
        )
    order = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in result.notebook.cells]
    assert order.index("test_elbo_beta") > order.index("elbo_beta"), "the test stands before its exercise"
    nbformat.validate(result.notebook)
    if noted:
        assert noted in result.cells, f"{damage} is not noted: {result.cells}"
    elif damage == "nothing":
        assert not result.cells and not result.notes, result


def test_of_two_answers_the_last_that_says_something_counts(handed_in):
    blank = copy.deepcopy(cell_of(handed_in, "q_it"))
    blank.source, blank["id"] = "YOUR ANSWER HERE", "blank"
    handed_in.cells.append(blank)
    assert cell_of(repair(handed_in, TEMPLATE).notebook, "q_it").source == "My own answer."


def test_a_solution_that_was_deleted_scores_as_not_handed_in(handed_in):
    drop("elbo_beta")(handed_in)
    result = repair(handed_in, TEMPLATE)
    assert (
        "not handed in" in cell_of(result.notebook, "elbo_beta").source
        and "the cell was missing" in result.cells["elbo_beta"]
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"{", "valid JSON"),
        (b"[]", "not a valid Jupyter notebook"),
        (b'{"cells": 3}', "not a valid"),
        (b'{"nbformat": 99, "cells": []}', "not a valid"),
        (b"\xff\xfe", "valid JSON"),
        (b"[" * 100_000, "valid JSON"),
    ],
)
def test_what_is_no_notebook_is_refused_with_the_reason(data, reason):
    with pytest.raises(CourseError, match=reason):
        parse_notebook(data, "work.ipynb")


def test_an_old_notebook_format_is_read():
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": ""},
        "worksheets": [
            {
                "metadata": {},
                "cells": [{"cell_type": "code", "input": BETA, "language": "python", "outputs": [], "metadata": {}}],
            }
        ],
    }
    assert (
        cell_of(repair(parse_notebook(json.dumps(old).encode(), "x"), TEMPLATE).notebook, "elbo_beta").source.strip()
        == BETA.strip()
    )


def test_the_notebook_of_another_unit_is_named():
    other = nbformat.v4.new_notebook(
        cells=[
            new_code_cell("1", metadata={"nbgrader": {"grade_id": "test_other", "grade": True}}),
            new_code_cell(BETA),
        ]
    )
    with pytest.raises(CourseError, match="it belongs to 08_other"):
        repair(other, TEMPLATE)


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        ([f"{UNIT}.ipynb", f"{UNIT} (1).ipynb"], f"{UNIT}.ipynb"),
        ([f"{UNIT} (1).ipynb"], f"{UNIT} (1).ipynb"),
        (["homework.ipynb"], "homework.ipynb"),
        (["a.ipynb", "b.ipynb"], None),
        ([], None),
    ],
)
def test_the_file_that_is_meant_is_found(tmp_path, files, chosen):
    folder = tmp_path / "submitted" / "ada" / UNIT
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_bytes(b"{}")
    found = find_submission(Tree(tmp_path), UNIT, "ada")
    assert (found.name if isinstance(found, Submission) else None) == chosen


ODD_CODE = {
    "a sum too long to be written out": "x = " + "+".join(["1"] * 20_000),
    "a helper too long to be written out": "def helper(x):\n    return " + "+".join(["x"] * 20_000),
    "hundreds of magics": "%a\n" * 480 + "x = 1\n" * 1900,
    "questions": "?" * 3000,
    "blank lines": "\n" * 200_000,
    "NUL": "x = '\0'",
    "half a character": "x = \ud800",
    "no end": "x = [\n",
    "a magic without a name": "%%\n!\n%",
}


@pytest.mark.parametrize("kind", ODD_CODE)
def test_looking_for_what_stands_below_a_test_takes_no_time_and_stops_at_nothing(kind):
    written = source_notebook()
    template = Template.of("01_double", written)
    written.cells[2].source = "def double(x):\n    return helper(x)"
    written.cells += [new_code_cell("def helper(x):\n    return 2 * x"), new_code_cell(ODD_CODE[kind])]
    started = time.process_time()
    repaired = repair(written, template)
    assert time.process_time() - started < 5
    assert "helper stood below the test" in repaired.cells["test_double"][0]
