"""From the sources in notebooks/ to the same notebooks solved and executed, in solutions/."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.converters import GenerateSolution
from nbgrader.converters.base import BaseConverter

from course_utils.cli.stills import leave_stills
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree, notebook_path
from course_utils.system.variables import environment

from .nbgrader_course import NbGraderCourse
from .preprocessors import is_autograded
from .reasons import plain
from .release import publish, read_source, workspace

BUDGETS = ("quick", "full", "original")
FALLBACK_MARKER = "FALLBACK DATA SET"
MAX_MEGABYTES = 2.0
CELL_FILE = re.compile(r"[^\s\"'<>()]{0,120}[\\/]ipykernel_\d+[\\/]\d+\.py")


def solve_unit(
    tree: Tree,
    unit: str,
    budget: str = "full",
    allow_fallback: bool = False,
    debug: bool = False,
    runs: Path | None = None,
) -> tuple[Path, float]:
    """Execute a unit's source from top to bottom, without a time limit, and put it into solutions/.

    Raises CourseError, and leaves the old file, when a cell fails, a check does not give full points, the embedded
    digits stood in for MNIST (unless allowed), the file is over 2 MB, or an output names a path of this machine.
    ``runs`` is where models are kept and earlier units' models are found; default: a place of its own, thrown away.
    Returns the file's path and the seconds it took.
    """
    read_source(tree, unit)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=workspace(tree)) as folder:
        built = Path(folder) / "solutions"
        with environment(COURSE_BUDGET=budget, COURSE_RUNS=str(runs or Path(folder) / "runs")):
            execute_source(tree, unit, built, debug=debug)
        for name in tree.notebooks(unit):
            path = notebook_path(built, unit, name)
            notebook = nbformat.read(path, as_version=4)
            paths = machine_paths(tree, Path(folder), *([runs] if runs else []))
            scrub(notebook, paths)
            leave_stills(notebook)
            nbformat.write(notebook, path)
            problems = find_problems(notebook, allow_fallback, paths, path.stat().st_size)
            if problems:
                raise CourseError(f"{unit}: {problems[0]} {tree.folder_name('solution')}/{unit} is left as it was.")
        publish(built / unit, tree.folder("solution") / unit, workspace(tree))
    return notebook_path(tree.folder("solution"), unit, tree.notebook(unit)), time.perf_counter() - start


def execute_source(tree: Tree, unit: str, built: Path, debug: bool = False) -> None:
    """Run nbgrader's generate_solution on a unit, into ``built``."""
    NbGraderCourse(tree, debug=debug).convert(SolveWithoutGradebook, unit, solution_directory=str(built))


class SolveWithoutGradebook(GenerateSolution):
    """nbgrader's generate_solution, also for a unit that no gradebook knows yet."""

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        BaseConverter.init_assignment(self, assignment_id, student_id)


def find_problems(notebook: NotebookNode, allow_fallback: bool, paths: dict[str, str], size: int) -> list[str]:
    """Why an executed notebook must not be kept, one sentence each."""
    problems = []
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        name = cell.metadata.get("nbgrader", {}).get("grade_id") or f"code cell {position}"
        texts = list(output_texts(cell))
        problems += [
            f"{name} failed with {output.ename}: {plain(output.evalue)[:200]}."
            for output in cell.outputs
            if output.output_type == "error"
        ]
        if is_autograded(cell) and not problems and earned(cell) != float(cell.metadata.nbgrader["points"]):
            problems.append(f"{name} gives the solution {earned(cell)} of {cell.metadata.nbgrader['points']} points.")
        if not allow_fallback and any(FALLBACK_MARKER in text for text in texts):
            problems.append(f"{name} fell back to the embedded digits. Get MNIST (course data fetch mnist).")
        shown = [path for path in paths if any(path in text for text in texts)]
        problems += [f"{name} shows the path {path} of this machine." for path in shown]
    if size > MAX_MEGABYTES * 1e6:
        megabytes = f"{size / 1e6:.1f} MB, more than {MAX_MEGABYTES:g}"
        problems.append(f"the executed notebook has {megabytes}: show fewer or smaller figures.")
    return problems


def earned(cell: NotebookNode) -> float | None:
    """The points that a test cell returned."""
    results = [output for output in cell.outputs if output.output_type == "execute_result"]
    try:
        return float(results[0].data["text/plain"])
    except (IndexError, KeyError, ValueError):
        return None


def machine_paths(tree: Tree, *scratch: Path) -> dict[str, str]:
    """Paths that mean nothing elsewhere, and what stands for them in an output; the longest first."""
    paths = {str(folder): "scratch" for folder in scratch} | {str(tree.root): ".", sys.prefix: "python"}
    home = str(Path.home())
    if len(home) > len("/root"):  # a short home would match too much
        paths[home] = "~"
    data = os.environ.get("COURSE_DATA")
    if data:
        paths[str(Path(data).resolve())] = "data"
        paths[data] = "data"
    return dict(sorted(paths.items(), key=lambda item: -len(item[0])))


def scrub(notebook: NotebookNode, paths: dict[str, str]) -> None:
    """Take this machine's paths out of all text outputs."""

    def clean(text: str) -> str:
        if "ipykernel_" in text:  # the search is slow on a large text
            text = CELL_FILE.sub("this cell", text)
        for path, instead in paths.items():
            text = text.replace(path, instead)
        return text

    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text" in output:
                output.text = clean(output.text)
            for kind, content in output.get("data", {}).items():
                if isinstance(content, str) and kind.startswith("text/"):
                    output.data[kind] = clean(content)


def output_texts(cell: NotebookNode) -> Iterator[str]:
    """Every text that a cell put out."""
    for output in cell.outputs:
        yield output.get("text", "")
        for kind, content in output.get("data", {}).items():
            if isinstance(content, str) and kind.startswith("text/"):
                yield content
