"""Errors that are raised on purpose reach a person as their one line."""

from __future__ import annotations

from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook


def test_a_notebook_shows_a_course_error_as_its_one_line():
    source = (
        "from course_utils.system.errors import CourseError\ndef f():\n    raise CourseError('No run. Train it.')\nf()"
    )
    notebook = new_notebook(cells=[new_code_cell(source)])
    NotebookClient(notebook, kernel_name="python3", timeout=60, allow_errors=True).execute()
    (output,) = notebook.cells[0].outputs
    assert output.traceback == ["No run. Train it."]
    assert output.ename == "CourseError"
