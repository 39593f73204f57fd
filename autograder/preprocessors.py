"""The steps that this course adds to nbgrader's, one small class each; nbgrader_config.py composes them.

release    NameStub               the stub of an exercise names it
           CleanMetadata          nothing of the author's machine goes out
sanitise   KeepExperimentOutputs  submitted outputs of experiments stay, all others go
execute    ExecuteSubmission      runs a submission without its experiments, within limits, whatever it does
           RequireVerdict         points only for a number that a check has returned
save       SettleGrades           what needs no marking does not wait for a marker
feedback   LeaveOutRubric         students do not get the mark scheme
"""

from __future__ import annotations

import time
from typing import Any

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader import utils
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.preprocessors import ClearMarkScheme, Execute, NbGraderPreprocessor
from traitlets import Integer

EXPERIMENT, PREDICTION = NOT_RUN = ("experiment", "predict")  # tags of cells that a grader does not run
ANSWER_STUB = "YOUR ANSWER HERE"
AS_SUBMITTED = "[Output as submitted; experiments are not run again at grading.]"
KERNEL_DIED, NOTEBOOK_TIMEOUT = NOT_REACHED = ("KernelDied", "NotebookTimeout")
Step = tuple[NotebookNode, dict[str, Any]]


def is_autograded(cell: NotebookNode) -> bool:
    """True for a test cell, whose output is the score."""
    return cell.cell_type == "code" and utils.is_grade(cell) and not utils.is_solution(cell)


def is_answer(cell: NotebookNode) -> bool:
    """True for the cell of a written answer."""
    return utils.is_grade(cell) and utils.is_solution(cell)


def is_blank_answer(source: str) -> bool:
    """True when a written answer says nothing: empty, or the stub as it was."""
    return "".join(source.split()) in ("", "".join(ANSWER_STUB.split()))


def add_error(cell: NotebookNode, name: str, message: str) -> None:
    """Put an error output of our own under a cell; nbgrader reads any error as no points."""
    cell.outputs.append(new_output("error", ename=name, evalue=message, traceback=[f"{name}: {message}"]))


class NameStub(NbGraderPreprocessor):
    """Fill the exercise's name into its stub (nbgrader's own stub is one fixed text)."""

    name_mark = "@EXERCISE@"
    placeholder = (
        "# YOUR CODE HERE\n"
        f'raise NotImplementedError("{name_mark}: not written yet; replace this line with your code")'
    )

    def preprocess_cell(self, cell: NotebookNode, resources: dict[str, Any], index: int) -> Step:
        if utils.is_solution(cell) and cell.cell_type == "code":
            cell.source = cell.source.replace(self.name_mark, cell.metadata.nbgrader["grade_id"])
        return cell, resources


class CleanMetadata(NbGraderPreprocessor):
    """Keep only the metadata that the course uses, so that a release is the same bytes wherever it is made.

    Widgets' state goes too: without it, a page that has no kernel shows an explorer's still picture.
    """

    cell_keys = ("nbgrader", "tags", "deletable", "editable", "jupyter")
    kernelspec = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> Step:
        nb.metadata = NotebookNode(kernelspec=self.kernelspec, language_info=NotebookNode(name="python"))
        return super().preprocess(nb, resources)

    def preprocess_cell(self, cell: NotebookNode, resources: dict[str, Any], index: int) -> Step:
        cell.metadata = NotebookNode({key: cell.metadata[key] for key in self.cell_keys if key in cell.metadata})
        return cell, resources


class KeepExperimentOutputs(NbGraderPreprocessor):
    """Clear every output except those of experiments and predictions, which stay for whoever marks the answers.

    A cell that is graded or that holds an answer is never an experiment, whatever tags a submission gives it: it is
    run again, so that no score can be typed in by hand.
    """

    def preprocess_cell(self, cell: NotebookNode, resources: dict[str, Any], index: int) -> Step:
        if cell.cell_type != "code":
            return cell, resources
        tags = list(cell.metadata.get("tags", []))
        if cell.metadata.get("nbgrader") and tags:
            tags = [tag for tag in tags if tag not in (*NOT_RUN, "skip-execution")]
            cell.metadata.tags = tags
        if not set(tags).isdisjoint(NOT_RUN):
            if cell.outputs:
                cell.outputs.insert(0, new_output("stream", name="stdout", text=AS_SUBMITTED + "\n"))
        else:
            cell.outputs = []
            cell.execution_count = None
        return cell, resources


class ExecuteSubmission(Execute):
    """Run a submission in a kernel of its own, without its experiments.

    A kernel that dies, or a notebook that takes longer than ``total_timeout``, ends the run but not the grading: what
    was reached keeps its outputs, and each test cell that was not says why.
    """

    timeout = Integer(120, allow_none=True, help="Seconds for one cell.").tag(config=True)
    iopub_timeout = Integer(60, help="Seconds to wait for the last output of a cell.").tag(config=True)
    total_timeout = Integer(600, help="Seconds for the whole notebook.").tag(config=True)
    shutdown_kernel = "immediate"  # a graceful shutdown costs a second and gains nothing

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any], km: Any = None) -> Step:
        self._deadline = time.monotonic() + self.total_timeout
        self._ended: tuple[str, str] | None = None
        return super().preprocess(nb, resources, km)

    def preprocess_cell(self, cell: NotebookNode, resources: dict[str, Any], index: int) -> Step:
        if cell.cell_type != "code" or not set(cell.metadata.get("tags", [])).isdisjoint(NOT_RUN):
            return cell, resources
        if self._ended is None and time.monotonic() > self._deadline:
            self._ended = (NOTEBOOK_TIMEOUT, f"the notebook took longer than {self.total_timeout} seconds")
        if self._ended is not None:
            if is_autograded(cell):
                add_error(cell, *self._ended)
            return cell, resources
        try:
            return super().preprocess_cell(cell, resources, index)
        except DeadKernelError:
            self._ended = (KERNEL_DIED, "the notebook's Python process ended before this cell was done")
            add_error(cell, *self._ended)
            return cell, resources
        except CellTimeoutError:  # the kernel no longer answers, not even to an interrupt
            self._ended = (NOTEBOOK_TIMEOUT, "the notebook's Python process no longer answered")
            add_error(cell, *self._ended)
            return cell, resources


class RequireVerdict(NbGraderPreprocessor):
    """Make a test cell earn points only by a number between 0 and its maximum, returned by its check.

    nbgrader gives full marks to a test cell that returns anything else or nothing at all, gives none to a correct one
    that wrote a warning to stderr, and stops at a number above the maximum.
    """

    def preprocess_cell(self, cell: NotebookNode, resources: dict[str, Any], index: int) -> Step:
        if not is_autograded(cell):
            return cell, resources
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                output.name = "stdout"
        if any(output.output_type == "error" for output in cell.outputs):
            return cell, resources
        if not self._has_verdict(cell):
            add_error(cell, "NoVerdict", "the check did not return a score")
            cell.outputs = [output for output in cell.outputs if output.output_type != "execute_result"]
        return cell, resources

    @staticmethod
    def _has_verdict(cell: NotebookNode) -> bool:
        results = [output for output in cell.outputs if output.output_type == "execute_result"]
        try:
            score = float(results[0].data["text/plain"])
        except (IndexError, KeyError, TypeError, ValueError):
            return False
        return len(results) == 1 and 0 <= score <= float(cell.metadata.nbgrader["points"])


class SettleGrades(NbGraderPreprocessor):
    """Give 0 without a marker to what leaves nothing to mark: task cells worth 0 points, blank answers, and graded
    cells that are no longer in the notebook. A test cell that was not reached has no score: a person decides."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> Step:
        place = resources["nbgrader"]
        present = {cell.metadata.nbgrader.get("grade_id"): cell for cell in nb.cells if "nbgrader" in cell.metadata}
        with Gradebook(place["db_url"]) as gradebook:
            try:
                notebook = gradebook.find_submission_notebook(place["notebook"], place["assignment"], place["student"])
            except MissingEntry:
                return nb, resources
            for grade in notebook.grades:
                cell = present.get(grade.name)
                blank = cell is not None and is_answer(cell) and is_blank_answer(cell.source)
                if grade.max_score == 0 or cell is None or blank:
                    grade.auto_score = 0
                    grade.needs_manual_grade = grade.manual_score is not None
                elif is_autograded(cell) and any(output.get("ename") in NOT_REACHED for output in cell.outputs):
                    grade.auto_score = None
                    grade.needs_manual_grade = True
            gradebook.db.commit()
        return nb, resources


class LeaveOutRubric(NbGraderPreprocessor):
    """Show the questions in the feedback without their mark schemes, and not as something that was graded."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> Step:
        nb, resources = ClearMarkScheme(parent=self).preprocess(nb, resources)
        for cell in nb.cells:
            if utils.is_task(cell) and not cell.metadata.nbgrader.get("points"):
                del cell.metadata["nbgrader"]
        return nb, resources
