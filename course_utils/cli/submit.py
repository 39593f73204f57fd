"""``course submit``: check a notebook before it is handed in, and pack it the way grading expects it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from course_utils.system.errors import CourseError
from course_utils.system.stubs import is_blank, is_unwritten
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
from .handin.cells import ANSWER, SOLUTION, TEST, Template, bare, identify, kind_of, marks_for, marks_of


def submit_unit(tree: Tree, unit: str, notebook: Path | None, folder: Path) -> Path:
    """Check the notebook of ``unit`` and write ``<unit>-submission.zip`` into ``folder``; returns its path.

    Raises CourseError when the notebook cannot be graded; warns about what is only incomplete.
    """
    if not folder.is_dir():
        raise CourseError(f"{folder} is not a folder. Name an existing one with --output.")
    require_graded(tree, unit)
    paths = {name: notebook_path(tree.student_notebooks, unit, name) for name in notebooks_of(tree, unit)}
    if notebook is not None:
        paths[next(iter(paths))] = notebook
    done = total = 0
    for name, path in paths.items():
        content = read_notebook(path)
        template = template_of(tree, unit, name)
        give_names_back(content, template, path.name)
        for warning in find_warnings(path, content, template):
            print(f"course: note: {warning}", file=sys.stderr)
        of = written(content, template)
        done, total = done + of[0], total + of[1]
    modules = own_modules(tree, unit)
    archive = pack(paths, modules, unit, folder)
    print(f"{archive}")
    if modules:
        print(f"With your modules {', '.join(sorted(modules))}.")
    print(f"{done} of {total} exercises are written. Hand in this one file where your instructor asks for it.")
    return archive


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
    if not any(cell.get("outputs") for cell in notebook.cells):
        warnings.append("no cell has output; run the experiments and save, so that your figures can be seen.")
    return warnings


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


def own_modules(tree: Tree, unit: str) -> dict[str, Path]:
    """Python modules that lie beside the unit's notebook, by name: code of the notebook may import them."""
    found = sorted((tree.student_notebooks / unit).glob("*.py"))
    return {path.name: path for path in found if path.is_file() and path.stat().st_size <= MOST_BYTES}


def pack(notebooks: dict[str, Path], modules: dict[str, Path], unit: str, folder: Path) -> Path:
    """Write the zip with ``<unit>/<unit>.ipynb`` in it; an older one is replaced only by a complete one."""
    archive = folder / archive_name(unit)
    with whole_zip(archive) as packed:
        for name, path in notebooks.items():
            packed.write(path, notebook_path(Path(), unit, name).as_posix())
        for name, path in modules.items():
            packed.write(path, f"{unit}/{name}")
    return archive
