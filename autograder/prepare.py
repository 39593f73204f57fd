"""What is written into a submission before it is run: what was repaired, and which outputs are the student's."""

from __future__ import annotations

from nbformat import NotebookNode
from nbformat.v4 import new_output

from course_utils.cli.handin import exercise_name

from .examiner.settings import RECORD
from .repair import Repaired
from .template import TEST, is_not_run, kind_of

AS_SUBMITTED = "[Output as submitted; experiments are not run again at grading.]"


def record_repairs(notebook: NotebookNode, repaired: Repaired) -> None:
    """Write under each graded cell what was repaired about it, and about the exercise that it judges."""
    for cell in notebook.cells:
        cell.metadata.pop(RECORD, None)
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        notes = repaired.cells.get(grade_id, [])
        if kind_of(cell) == TEST:
            notes = notes + repaired.cells.get(exercise_name(grade_id), [])
        if notes:
            cell.metadata[RECORD] = {"repaired": list(dict.fromkeys(notes))}
        if grade_id in repaired.added:
            cell.metadata[RECORD] = {**cell.metadata.get(RECORD, {}), "added": True}


def prepare(notebook: NotebookNode) -> None:
    """Submitted outputs go, except those of experiments, which are marked as submitted."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if not is_not_run(cell):
            cell.outputs, cell.execution_count = [], None
        elif cell.outputs and cell.outputs[0].get("text") != AS_SUBMITTED + "\n":
            cell.outputs.insert(0, new_output("stream", name="stdout", text=AS_SUBMITTED + "\n"))
