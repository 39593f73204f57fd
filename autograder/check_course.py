"""Whether a course can be taught as it stands: released, every exercise solved by its own solution, none by nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader import utils

from course_utils.cli.handin import template_of
from course_utils.system import course_file
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree, notebook_path

from .batch import Failed, Make, Options, run_batch
from .demo import answers_of, fill_in
from .examiner.job import make_job
from .kit import own_data
from .nbgrader_course import NbGraderCourse
from .own_course import settle_references
from .preprocessors import ExecuteSubmission, RequireVerdict, is_autograded
from .reasons import explain_cell, explain_error
from .release import build, read_sources, unknown_units
from .submissions import given_files
from .template import is_not_run

SOLVED, UNTOUCHED = "solved", "untouched"


def check_course(tree: Tree, units: list[str], progress: Callable[[str], None] = lambda line: None) -> list[str]:
    """What is wrong with a course, a line each: the release gate, exercises whose own solution does not get all points,
    cells that end with an error, tests that give all points to nothing, and course.toml. An empty list means that it
    can be taught."""
    course = NbGraderCourse(tree)
    faults = _of_settings(tree)
    jobs: dict[tuple[str, str, str], bytes] = {}
    settings = ExecuteSubmission(parent=course.app).settings("check-course")
    for unit in units:
        try:
            with build(tree, [unit], record=False) as built:
                files = given_files(tree, unit)
                for name, source in read_sources(tree, unit).items():
                    for who, notebook in _submissions(built, unit, name, source).items():
                        job = nbformat.writes(notebook).encode(), files, template_of(tree, unit, name), settings
                        jobs[unit, name, who] = make_job(f"{name}.ipynb", *job, None, unsafe=True)
                    if (tree.root / course_file.NAME).is_file():
                        faults += [f"{unit}: {line}" for line in settle_references(source, tree.units())]
        except CourseError as error:
            faults.append(str(error))
            progress(f"{unit}: not ready to be released")
            continue
        progress(f"{unit}: ready to be released")
    makers: dict[tuple[str, str, str], Make] = {key: partial(_with_address, job) for key, job in jobs.items()}
    for (unit, name, who), result in run_batch(makers, Options(unsafe=True)):
        found = list(_of_result(course, result, who))
        faults += [f"{unit}: {line}" for line in found]
        if who == SOLVED and not found:
            progress(f"{unit}: every exercise of {name} is solved by its own solution")
    return faults


def _with_address(job: bytes, address: str | None) -> bytes:
    return json.dumps({**json.loads(job), "address": address}).encode()


def _submissions(built: Path, unit: str, name: str, source: NotebookNode) -> dict[str, NotebookNode]:
    released = nbformat.read(notebook_path(built, unit, name), as_version=4)
    solved = nbformat.from_dict(json.loads(nbformat.writes(released)))
    solution, written = answers_of(source)
    fill_in(solved, solution | written)
    return {SOLVED: solved, UNTOUCHED: released}


def _of_result(course: NbGraderCourse, result: bytes | Failed, who: str) -> list[str]:
    """What is wrong with the points that the solved or the untouched notebook got."""
    if isinstance(result, Failed):
        return [result.reason]
    content = json.loads(result)
    if content["reason"]:
        return [content["reason"]]
    notebook, _ = RequireVerdict(parent=course.app).preprocess(nbformat.reads(content["notebook"], as_version=4), {})
    found = []
    for number, cell in enumerate(notebook.cells, start=1):
        if who == SOLVED and _ends_with_an_error(cell):
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
            error = next(output for output in cell.outputs if output.output_type == "error")
            found.append(f"cell {number}{f', {grade_id}' if grade_id else ''} ends with {explain_error(error)}")
        if not is_autograded(cell):
            continue
        grade_id, most = cell.metadata.nbgrader.grade_id, float(cell.metadata.nbgrader.points)
        score = utils.determine_grade(cell)[0] or 0.0
        if who == SOLVED and score < most:
            reason = explain_cell(cell, score, most)[1]
            found.append(f"{grade_id} gives its own solution {score:g} of {most:g} points: {reason}")
        if who == UNTOUCHED and score >= most > 0:
            found.append(f"{grade_id} gives all {most:g} points to who has written nothing")
    return found


def _ends_with_an_error(cell: NotebookNode) -> bool:
    """Whether a cell that is run and is no test failed, and is not tagged as one that should."""
    if cell.cell_type != "code" or is_not_run(cell) or is_autograded(cell):
        return False
    tagged = "raises-exception" in cell.metadata.get("tags", [])
    return not tagged and any(output.output_type == "error" for output in cell.outputs)


def _of_settings(tree: Tree) -> list[str]:
    faults = unknown_units(tree)
    try:
        own_data(tree)
    except CourseError as error:
        faults.append(str(error))
    return faults
