"""``course submit``: check a notebook before it is handed in, and pack it the way grading expects it."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_utils.system.errors import CourseError
from course_utils.system.stubs import NOT_WRITTEN, is_blank, is_unwritten
from course_utils.system.tree import Tree, notebook_path
from course_utils.system.whole_file import whole_zip

from .handin import (
    MOST_BYTES,
    exercise_name,
    graded_cells,
    notebooks_of,
    read_notebook,
    require_graded,
    template_of,
)
from .handin.cells import ANSWER, SOLUTION, TASK, TEST, Template, bare, identify, kind_of, marks_for, marks_of
from .handin.evidence import evidence, in_words, outputs_of
from .handin.names import Names, missing_modules, names_of

_MOST_OF_A_FILE, _MOST_FILES = 2_000_000, 150  # of what the code names beside the notebook


def submit_unit(tree: Tree, unit: str, notebook: Path | None, folder: Path) -> Path:
    """Check the notebook of ``unit`` and write ``<unit>-submission.zip`` into ``folder``; returns its path.

    Raises CourseError when the notebook cannot be graded; warns about what is only incomplete.
    """
    if not folder.is_dir():
        raise CourseError(f"{folder} is not a folder. Name an existing one with --output.")
    require_graded(tree, unit)
    paths = paths_of(tree, unit)
    if notebook is not None:
        paths[next(iter(paths))] = notebook
    done = total = 0
    unchecked: list[str] = []
    for name, path in paths.items():
        content = read_notebook(path)
        template = template_of(tree, unit, name)
        give_names_back(content, template, path.name)
        for warning in find_warnings(path, content, template):
            print(f"course: note: {warning}", file=sys.stderr)
        for line in named_numbers(content):
            print(line)
        of = written(content, template)
        done, total = done + of[0], total + of[1]
        unchecked += [
            f"{row.name} ({row.words})" for row in progress(content, template) if not row.done and row.written
        ]
    files = own_files(tree, unit, paths)
    archive = pack(paths, files, unit, folder)
    if unchecked:
        print(f"Written, and its check has not passed as it is saved: {', '.join(unchecked)}.")
    print(f"{archive}")
    if files:
        print(f"With what your code needs beside it: {', '.join(sorted(files))}.")
    print(f"{done} of {total} exercises are written. Hand in this one file where your instructor asks for it.")
    return archive


def paths_of(tree: Tree, unit: str) -> dict[str, Path]:
    """Where each notebook of a unit lies, by name."""
    return {name: notebook_path(tree.student_notebooks, unit, name) for name in notebooks_of(tree, unit)}


@dataclass(frozen=True)
class Progress:
    """An exercise or a question: its name, how it stands in words, whether it is written, and whether it is done."""

    name: str
    words: str
    written: bool
    done: bool


def progress(notebook: Any, template: Template) -> list[Progress]:
    """How each exercise and question stands in a saved notebook, in order: written, and what the check said since."""
    unwritten, blank = unfinished(notebook, template)
    checks = {_name_of(cell): cell for cell in notebook.cells if cell.cell_type == "code" and kind_of(cell) == TEST}
    found = []
    for cell in filter(is_to_be_written, notebook.cells):
        name = _name_of(cell)
        if cell.cell_type != "code":
            given = name not in blank
            found.append(Progress(name, "answered" if given else "not answered yet", given, given))
        elif name in unwritten:
            found.append(Progress(name, NOT_WRITTEN, False, False))
        elif (check := checks.get(name)) is None:
            found.append(Progress(name, "written", True, True))
        else:
            words, passed = _checked(cell, check)
            found.append(Progress(name, words, True, passed))
    return found


def _name_of(cell: Any) -> str:
    return exercise_name(str(marks_of(cell).get("grade_id", "")))


def _checked(cell: Any, check: Any) -> tuple[str, bool]:
    """What the check last said of a written exercise, in words, and whether it passed."""
    points, earned, ran = marks_of(check).get("points"), earned_in(check), check.get("execution_count")
    if earned is None:
        failed = any(output.output_type == "error" for output in check.get("outputs", []))
        return ("the check ended with an error" if failed else "not checked yet"), False
    if ran is not None and (cell.get("execution_count") or 0) > ran:
        return "run again since it was checked", False
    return f"checked: {earned:g} of {points:g} points", earned == points


def earned_in(cell: Any) -> float | None:
    """The number that a check has left in its cell's output; None where there is none."""
    for output in cell.get("outputs", []):
        if output.output_type == "execute_result":
            try:
                return float(output.data.get("text/plain", ""))
            except ValueError:
                return None
    return None


def give_names_back(notebook: Any, template: Template, name: str) -> None:
    """Mark the cells of the unit, also those that have lost their metadata: grading will find them in the same way.

    Raises CourseError when nothing in ``notebook`` belongs to the unit.
    """
    for grade_id, cell in identify(notebook, template, name).found.items():
        cell.metadata["nbgrader"] = marks_for(template.marked[grade_id])


def find_warnings(path: Path, notebook: Any, template: Template) -> list[str]:
    """What the student should know before handing in, one sentence each."""
    warnings = []
    unwritten, blank = unfinished(notebook, template)
    if unwritten:
        warnings.append(f"not written yet: {', '.join(unwritten)}.")
    if blank:
        warnings.append(f"not answered yet: {', '.join(blank)}.")
    graded = {grade_id for grade_id, wanted in template.marked.items() if wanted.kind in (TEST, ANSWER)}
    missing = graded - graded_cells(notebook).keys()
    if missing:
        warnings.append(f"these cells are no longer in the notebook: {', '.join(sorted(missing))}.")
    checkpoint = path.parent / ".ipynb_checkpoints" / f"{path.stem}-checkpoint.ipynb"
    if checkpoint.is_file() and checkpoint.stat().st_mtime > path.stat().st_mtime + 1:
        warnings.append(f"JupyterLab keeps a newer copy than {path.name}; save the notebook there and try again.")
    for copy in sorted(path.parent.glob(f"Copy of {path.stem}*.ipynb")):  # as Colab and Drive name what they save
        if copy.stat().st_mtime > path.stat().st_mtime + 1:
            warnings.append(f"{copy.name} in the same folder is newer. To hand that in: --notebook '{copy}'.")
    warnings += missing_for_code(notebook, path.parent)
    if not any(cell.get("outputs") for cell in notebook.cells):
        warnings.append("no cell has output; run the experiments and save, so that your figures can be seen.")
    return warnings


def named_numbers(notebook: Any) -> list[str]:
    """For each written answer, where the numbers that it names stand in the notebook: what a marker will look for."""
    lines, outputs, question = [], None, ""
    for cell in notebook.cells:
        if kind_of(cell) == TASK:
            question = cell.source
        if kind_of(cell) == ANSWER and cell.cell_type == "markdown" and not is_blank(cell.source):
            outputs = outputs_of(notebook) if outputs is None else outputs
            found = in_words(evidence(cell.source, outputs, question))
            lines += [f"{marks_of(cell).get('grade_id')}: {words}." for words in found[:12]]
            lines += (
                [f"{marks_of(cell).get('grade_id')}: and {len(found) - 12} more numbers."] if len(found) > 12 else []
            )
    return lines


def unfinished(notebook: Any, template: Template) -> tuple[list[str], list[str]]:
    """Exercises whose stub is still there, and written questions without an answer."""
    unwritten, blank = [], []
    for cell in notebook.cells:
        grade_id = str(marks_of(cell).get("grade_id", ""))
        name, wanted = exercise_name(grade_id), template.marked.get(grade_id)
        if not is_to_be_written(cell):
            continue
        as_it_came = wanted is not None and bool(wanted.stub) and bare(cell.source) == bare(wanted.stub)
        if cell.cell_type == "code" and (as_it_came or is_unwritten(cell.source, name)):
            unwritten.append(name)
        if cell.cell_type == "markdown" and (as_it_came or is_blank(cell.source)):
            blank.append(name)
    return unwritten, blank


def written(notebook: Any, template: Template) -> tuple[int, int]:
    """How many of the exercises and questions are written, and how many there are."""
    total = sum(map(is_to_be_written, notebook.cells))
    unwritten, blank = unfinished(notebook, template)
    return total - len(unwritten) - len(blank), total


def is_to_be_written(cell: Any) -> bool:
    """True for the cell of an exercise or of a written answer."""
    return kind_of(cell) in (SOLUTION, ANSWER)


def archive_name(unit: str) -> str:
    """What the zip of a unit is called."""
    return f"{unit}-submission.zip"


def own_files(tree: Tree, unit: str, notebooks: dict[str, Path]) -> dict[str, Path]:
    """What lies beside the unit's notebooks and their code needs, by name: modules, and files that it names, as in
    ``%run other.ipynb`` or ``open("own.csv")``."""
    folder = tree.student_notebooks / unit
    code = "\n".join(code_of(read_notebook(path)) for path in notebooks.values())
    found: dict[str, Path] = {}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")) and name != "runs")
        for path in (Path(place) / name for name in sorted(names) if not name.startswith(".")):
            inside = path.relative_to(folder)
            top = inside.parts[0]
            module = path.suffix == ".py" and (top == path.name or bool(re.search(rf"\b{re.escape(top)}\b", code)))
            if not module and not (path.suffix and path.name in code):
                continue
            most = MOST_BYTES if module else _MOST_OF_A_FILE
            own = path.name not in [notebook.name for notebook in notebooks.values()]
            if own and path.is_file() and path.stat().st_size <= most and len(found) < _MOST_FILES:
                found[inside.as_posix()] = path
    return found


def code_of(notebook: Any) -> str:
    """All code of a notebook."""
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def missing_for_code(notebook: Any, folder: Path) -> list[str]:
    """What the code of a notebook uses and cannot have in a fresh kernel, a sentence each."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    names = [of for cell in cells if (of := names_of(cell.source)) is not None]
    made = {name for of in names for name in of.made}
    told = []
    if len(names) == len(cells) and not any(of.unseen for of in names):
        gone = {
            name: _name_of(cell)
            for cell in cells
            if kind_of(cell) == SOLUTION and "NameError" not in cell.source
            for name in sorted((names_of(cell.source) or Names()).needed - made)
        }
        told += [f"{where} uses {name}, which no cell of the notebook makes any more." for name, where in gone.items()]
    modules = missing_modules([cell.source for cell in cells], folder)
    return told + [
        f"the code imports {name}; there is no {name}.py beside the notebook and no such package." for name in modules
    ]


def pack(notebooks: dict[str, Path], files: dict[str, Path], unit: str, folder: Path) -> Path:
    """Write the zip with ``<unit>/<unit>.ipynb`` in it; an older one is replaced only by a complete one."""
    archive = folder / archive_name(unit)
    with whole_zip(archive) as packed:
        for name, path in notebooks.items():
            packed.write(path, notebook_path(Path(), unit, name).as_posix())
        for name, path in files.items():
            packed.write(path, f"{unit}/{name}")
    return archive
