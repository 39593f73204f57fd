"""The steps that this course adds to nbgrader's, one small class each; nbgrader_config.py composes them.

release    NameStub               the stub of an exercise names it
           CleanMetadata          nothing of the author's machine goes out
sanitise   RepairSubmission       graded cells are what was released, whatever became of them
execute    ExecuteSubmission      runs a submission in a sandbox and judges it from outside
           RequireVerdict         points only for a number that a check has returned
           SaveCells              the gradebook follows a release in mid-term
save       SettleGrades           what needs no marking does not wait for a marker
feedback   LeaveOutRubric         students do not get the mark scheme
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import nbformat
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader import preprocessors as nbgrader_steps
from nbgrader import utils
from nbgrader.api import Comment, Grade, Gradebook, MissingEntry, Notebook
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import ClearHiddenTests, ClearMarkScheme, GetGrades, NbGraderPreprocessor
from traitlets import Bool, Float, Integer

from course_utils.cli.handin import exercise_name, made_safe, template_of
from course_utils.cli.handin.cells import Template
from course_utils.system.errors import CourseError
from course_utils.system.stubs import NAME, exercise_stub, is_blank
from course_utils.system.tree import Tree

from .class_seeds import class_seed
from .examiner.settings import RECORD, Settings
from .plain_tests import is_plain, settle
from .prepare import record_repairs
from .repair import repair
from .sandbox.limits import Limits
from .submissions import notebooks_run_by, other_files
from .template import TASK, TEST, kind_of
from .withdraw import limit_points, read_withdrawn, settle_withdrawn

Step = tuple[NotebookNode, dict[str, Any]]


def is_autograded(cell: NotebookNode) -> bool:
    """True for a test cell, whose output is the score."""
    return cell.cell_type == "code" and utils.is_grade(cell) and not utils.is_solution(cell)


def is_answer(cell: NotebookNode) -> bool:
    """True for the cell of a written answer."""
    return utils.is_grade(cell) and utils.is_solution(cell)


def is_unanswered(cell: NotebookNode) -> bool:
    """True for an answer that says nothing: empty, a stub, or as the checksum says that it was released."""
    return is_blank(cell.source) or cell.metadata.nbgrader.get("checksum") == utils.compute_checksum(cell)


def add_error(cell: NotebookNode, name: str, message: str) -> None:
    """Put an error output of our own under a cell; nbgrader reads any error as no points."""
    cell.outputs.append(new_output("error", ename=name, evalue=message, traceback=[f"{name}: {message}"]))


class NameStub(NbGraderPreprocessor):
    """Fill the exercise's name into its stub (nbgrader's own stub is one fixed text)."""

    name_mark = NAME
    placeholder = exercise_stub(name_mark)

    def preprocess_cell(self, cell: NotebookNode, resources: dict[str, Any], index: int) -> Step:
        if utils.is_solution(cell) and cell.cell_type == "code":
            cell.source = cell.source.replace(self.name_mark, cell.metadata.nbgrader["grade_id"])
        return cell, resources


class IncludeHeaderFooter(nbgrader_steps.IncludeHeaderFooter):
    """nbgrader's step; cells of a header or footer get an id of their own where they have none, or one that is there
    already: a copy of the notebook makes a header, and one file may be both. The same in every release."""

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        own = list(nb.cells)
        nb, resources = super().preprocess(nb, resources)
        used, which = {cell.get("id") for cell in own}, "header"
        for place, cell in enumerate(nb.cells):
            if any(cell is each for each in own):
                which = "footer"
            elif cell.get("id") in {None, *used}:
                cell["id"] = f"{which}-{place}"
            used.add(cell.get("id"))
        return nb, resources


class CleanMetadata(NbGraderPreprocessor):
    """Keep only the metadata that the course uses, so that a release is the same bytes wherever it is made.

    Widgets' state goes too: without it, a page that has no kernel shows an explorer's still picture.
    """

    cell_keys = ("nbgrader", "tags", "deletable", "editable", "jupyter")
    kernelspec: ClassVar = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> Step:
        nb.metadata = NotebookNode(kernelspec=self.kernelspec, language_info=NotebookNode(name="python"))
        return super().preprocess(nb, resources)

    def preprocess_cell(self, cell: NotebookNode, resources: dict[str, Any], index: int) -> Step:
        cell.metadata = NotebookNode({key: cell.metadata[key] for key in self.cell_keys if key in cell.metadata})
        return cell, resources


class SaveCells(nbgrader_steps.SaveCells):
    """Tell the gradebook about the cells; unlike nbgrader's own step also where cells came after the first submission:
    who handed in before has 0 there, until they hand in again."""

    def _create_notebook(self, nb: NotebookNode) -> None:
        try:
            notebook = self.gradebook.find_notebook(self.notebook_id, self.assignment_id)
        except MissingEntry:
            notebook = None
        if notebook is None or not notebook.submissions:
            super()._create_notebook(nb)
        else:
            self._change(notebook)
        limit_points(Path(CourseDirectory(config=self.config).root), self.gradebook, self.assignment_id)

    def _change(self, notebook: Notebook) -> None:
        old = {cell.name for cell in [*notebook.grade_cells, *notebook.task_cells]}
        if gone := sorted(old - set(self.new_grade_cells) - set(self.new_task_cells)):
            raise RuntimeError(
                f"{', '.join(gone)} cannot be taken out: there are submissions associated with the unit. Put it back, "
                f"and to let it count for nobody: course withdraw {self.assignment_id} {gone[0]} --none --why ..."
            )
        place = self.notebook_id, self.assignment_id
        for kind in ("grade", "solution", "task", "source"):
            enter = getattr(self.gradebook, f"update_or_create_{kind}_cell")
            for name, info in getattr(self, f"new_{kind}_cells").items():
                enter(name, *place, **info)
        self.gradebook.db.refresh(notebook)
        for submitted in notebook.submissions:
            graded, said = ({of.cell_id for of in has} for has in (list(submitted.grades), list(submitted.comments)))
            new: list[Grade | Comment] = [
                Grade(cell_id=cell.id, notebook_id=submitted.id, auto_score=0.0, needs_manual_grade=False)
                for cell in [*notebook.grade_cells, *notebook.task_cells]
                if cell.id not in graded
            ]
            new += [
                Comment(cell_id=cell.id, notebook_id=submitted.id)
                for cell in [*notebook.solution_cells, *notebook.task_cells]
                if cell.id not in said
            ]
            self.gradebook.db.add_all(new)
        self.gradebook.db.commit()


class RepairSubmission(NbGraderPreprocessor):
    """Put graded cells that were deleted, duplicated, renamed, retyped or stripped back as they were released."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> Step:
        try:
            repaired = repair(made_safe(nb), unit_template(self.config, resources))
        except CourseError as error:
            raise NbGraderException(str(error)) from error
        record_repairs(repaired.notebook, repaired)
        return repaired.notebook, resources


class ExecuteSubmission(NbGraderPreprocessor):
    """Run a submission in a sandbox, without its experiments, and judge its graded cells outside of it.

    `course grade` does the same for many submissions at a time; this class is what nbgrader's own commands and
    formgrader's button go through. Its settings count for both.
    """

    timeout = Float(60, help="Seconds for one cell, and at most for one call of a function.").tag(config=True)
    total_timeout = Float(600, help="Seconds for the whole notebook.").tag(config=True)
    memory_mb = Integer(Limits().memory_mb, help="Megabytes of memory for one submission.").tag(config=True)
    processes = Integer(Limits().processes, help="Processes and threads of one submission.").tag(config=True)
    files_mb = Integer(Limits().files_mb, help="Megabytes of files that a submission may write.").tag(config=True)
    grace = Float(5, help="Seconds after which a call that ignores its time limit is ended.").tag(config=True)
    unsafe = Bool(False, help="Run submissions also where they cannot be isolated.").tag(config=True)

    def settings(self, seed: str = "") -> Settings:
        """The limits of one examination, and the class's seed."""
        return Settings(
            cell_seconds=self.timeout,
            total_seconds=self.total_timeout,
            grace=self.grace,
            limits=Limits(memory_mb=self.memory_mb, processes=self.processes, files_mb=self.files_mb),
            call_limits={"call": min(10.0, self.timeout), "check": min(20.0, 2 * self.timeout)},
            seed=seed,
        )

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> Step:
        from .examiner.job import examine_notebook  # imports torch
        from .sandbox.client import own_address

        template = unit_template(self.config, resources)
        course, place = CourseDirectory(config=self.config), resources["nbgrader"]
        seed = class_seed(Path(course.root), place["assignment"])
        beside = Path(course.format_path(course.autograded_directory, place["student"], place["assignment"]))
        files, _ = other_files(beside)
        handed_in = Path(course.format_path(course.submitted_directory, place["student"], place["assignment"]))
        siblings = Tree(Path(course.root)).notebooks(place["assignment"])
        files |= notebooks_run_by(nbformat.writes(nb).encode(), handed_in / f"{place['notebook']}.ipynb", siblings)
        nb.metadata[RECORD] = {
            "level": examine_notebook(nb, template, own_address(self.unsafe), self.settings(seed), files),
            "repairs": [],
        }
        return nb, resources


def unit_template(config: Any, resources: dict[str, Any]) -> Template:
    """The template of the notebook that nbgrader is working on."""
    unit, name = resources["nbgrader"]["assignment"], resources["nbgrader"]["notebook"]
    return template_of(Tree(Path(CourseDirectory(config=config).root)), unit, name)


class RequireVerdict(NbGraderPreprocessor):
    """Make a check earn points only by a number between 0 and its maximum; a plain test earns them as nbgrader says.

    nbgrader gives full marks to a test cell that returns anything else or nothing at all, gives none to a correct one
    that wrote a warning to stderr, and stops at a number above the maximum.
    """

    def preprocess_cell(self, cell: NotebookNode, resources: dict[str, Any], index: int) -> Step:
        if not is_autograded(cell):
            return cell, resources
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                output.name = "stdout"
        if is_plain(cell):
            settle(cell)
            return cell, resources
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
    cells that are no longer in the notebook."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> Step:
        place = resources["nbgrader"]
        if "gradebook" in resources:
            self._settle(nb, place, resources["gradebook"])
        else:
            with Gradebook(place["db_url"]) as gradebook:
                self._settle(nb, place, gradebook)
                of = gradebook.find_submission_notebook(place["notebook"], place["assignment"], place["student"])
                settle_withdrawn(Path(CourseDirectory(config=self.config).root), gradebook, of, fresh=True)
                gradebook.db.commit()
        return nb, resources

    def _settle(self, nb: NotebookNode, place: dict[str, str], gradebook: Gradebook) -> None:
        present = {cell.metadata.nbgrader.get("grade_id"): cell for cell in nb.cells if "nbgrader" in cell.metadata}
        try:
            notebook = gradebook.find_submission_notebook(place["notebook"], place["assignment"], place["student"])
        except MissingEntry:
            return
        for grade in notebook.grades:
            cell = present.get(grade.name)
            blank = cell is not None and is_answer(cell) and is_unanswered(cell)
            if cell is not None and cell.metadata.get(RECORD, {}).get("fault"):  # of the course itself: nobody's points
                grade.auto_score, grade.needs_manual_grade = None, grade.manual_score is None
                continue
            if cell is None or blank or not cell.metadata.nbgrader.get("points"):
                grade.auto_score = 0
                grade.needs_manual_grade = grade.manual_score is not None
        gradebook.db.commit()


def _marks_around(*steps: NbGraderPreprocessor) -> set[str]:
    """The words around what these steps take out."""
    values = [pair for step in steps for pair in step.trait_values().items()]
    return {value for name, value in values if name.endswith("_delimeter") and value}


class GetMarks(GetGrades):
    """Points and comments from the gradebook; None for the points of an answer that nobody has marked yet.

    ``marked_before`` is set where the mark is older than the text. What is graded has the usual marks around hidden
    tests, whichever the course's own are: these tests go here. Marks that a student wrote are words like others: an
    invisible letter within them keeps this page's steps from taking them for the course's.
    """

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        marks = _marks_around(ClearHiddenTests(parent=self), ClearHiddenTests())
        marks |= _marks_around(ClearMarkScheme(parent=self), ClearMarkScheme())
        for cell in nb.cells:
            if kind_of(cell) not in (TEST, TASK):
                for mark in marks:
                    cell.source = cell.source.replace(mark, f"{mark[0]}\u2060{mark[1:]}")
        return super().preprocess(*ClearHiddenTests().preprocess(nb, resources))

    def _get_score(self, cell: NotebookNode, resources: ResourcesDict) -> None:
        super()._get_score(cell, resources)
        marks = cell.metadata.nbgrader
        grade = self.gradebook.find_grade(marks.grade_id, self.notebook_id, self.assignment_id, self.student_id)
        if grade.needs_manual_grade and grade.manual_score is None:
            marks["score"] = None
        marks["marked_before"] = bool(grade.needs_manual_grade and grade.manual_score is not None)

    def _get_comment(self, cell: NotebookNode, resources: ResourcesDict) -> None:
        super()._get_comment(cell, resources)
        root, marks = Path(CourseDirectory(config=self.config).root), cell.metadata.nbgrader
        for entry in read_withdrawn(root, self.assignment_id).values():
            if entry.notebook == self.notebook_id and marks.grade_id in (entry.grade_id, exercise_name(entry.grade_id)):
                marks["comment"] = "\n\n".join(filter(None, [marks["comment"], entry.reason]))


class LeaveOutRubric(NbGraderPreprocessor):
    """Show the questions in the feedback without their mark schemes, and not as something that was graded.

    What is graded has the usual marks around mark schemes, whichever the course's own are.
    """

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> Step:
        for step in (ClearMarkScheme(parent=self), ClearMarkScheme()):
            nb, resources = step.preprocess(nb, resources)
        for cell in nb.cells:
            if utils.is_task(cell) and not cell.metadata.nbgrader.get("points"):
                del cell.metadata["nbgrader"]
        return nb, resources
