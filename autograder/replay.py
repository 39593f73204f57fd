"""One exercise of one submission, judged again: all laws or one of them, with the seed of an earlier run."""

from __future__ import annotations

from pathlib import Path

from course_utils.checks import CHECKS, Score
from course_utils.cli.handin import course_cells, parse_notebook, template_of
from course_utils.system.errors import WrongUsage
from course_utils.system.tree import Tree

from .class_seeds import read_seeds
from .nbgrader_course import NbGraderCourse
from .preprocessors import ExecuteSubmission
from .submissions import notebooks_run_by, other_files


def replay(
    tree: Tree, exercise: str, file: Path, *, law: str | None = None, seed: int | None = None, unsafe: bool = False
) -> Score:
    """The score of ``exercise`` in the notebook ``file``. Without ``seed``: the class's, where the unit was graded.

    Raises WrongUsage for an unknown exercise or law, CourseError when the notebook cannot be judged.
    """
    units = {name: unit for unit, cells in course_cells(tree).items() for name in CHECKS if f"test_{name}" in cells}
    if exercise not in units:
        raise WrongUsage(f"there is no exercise {exercise!r}. Exercises: {', '.join(sorted(units)) or 'none'}.")
    check, unit = CHECKS[exercise], units[exercise]
    try:
        check.named(law)
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    try:
        data = file.read_bytes()
    except OSError as error:
        raise WrongUsage(f"{file} cannot be read ({error.strerror}); name a submitted notebook.") from None

    from .examiner.exam import Exam
    from .repair import repair
    from .sandbox.client import own_address

    template = template_of(tree, unit)
    executor = ExecuteSubmission(parent=NbGraderCourse(tree).app)
    notebook = repair(parse_notebook(data, file.name), template, file.name).notebook
    files = {}
    if file.parent.name == unit:
        files = other_files(file.parent)[0] | notebooks_run_by(data, file, tree.notebooks(unit))
    exam = Exam(
        notebook,
        template,
        own_address(unsafe or executor.unsafe),
        executor.settings(read_seeds(tree.root).get(unit, "")),
        files,
    )
    return exam.replay(check, law, seed)
