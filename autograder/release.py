"""From the sources in notebooks/ to the student version in release/."""

from __future__ import annotations

import filecmp
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import SaveCells

from course_utils.cli.handin import read_source
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree, notebook_path

from .leaks import find_leaks
from .nbgrader_course import NbGraderCourse
from .points import find_check_faults, find_point_faults


def release_units(tree: Tree, units: list[str], debug: bool = False) -> None:
    """Make release/<unit> for each unit. Nothing is replaced unless every unit passes the release gate."""
    for unit in units:
        _refuse(unit, find_check_faults(read_source(tree, unit)))
    with build(tree, units, debug=debug) as built:
        for unit in units:
            publish(built / unit, tree.root / "release" / unit, workspace(tree))


def stale_units(tree: Tree, units: list[str]) -> list[str]:
    """The units whose release/ is not what their source gives now."""
    with build(tree, units, record=False) as built:
        return [unit for unit in units if not same_folder(built / unit, tree.root / "release" / unit)]


def register_unit(tree: Tree, unit: str) -> None:
    """Record in the gradebook which cells of a unit are graded, and for how much, as nbgrader does at release."""
    with build(tree, [unit]):
        pass


@contextmanager
def build(tree: Tree, units: list[str], record: bool = True, debug: bool = False) -> Iterator[Path]:
    """A temporary folder with the student version of the units, checked by the release gate.

    ``record`` says whether the gradebook learns about the cells.
    """
    course = NbGraderCourse(tree, debug=debug)
    with tempfile.TemporaryDirectory(dir=workspace(tree)) as folder:
        built = Path(folder) / "release"
        settings = {} if record else {"no_database": True, "preprocessors": steps_without_gradebook(course)}
        for unit in units:
            read_source(tree, unit)
            course.convert(GenerateAssignment, unit, settings=settings, release_directory=str(built))
            check_release(tree, unit, built)
        yield built


def steps_without_gradebook(course: NbGraderCourse) -> list[type]:
    """The configured steps of a release, except the one that writes to the gradebook."""
    return [step for step in course.app.config.GenerateAssignment.preprocessors if step is not SaveCells]


def check_release(tree: Tree, unit: str, released: Path) -> None:
    """The release gate: raise CourseError when the student version of a unit in ``released`` gives something away, or
    when the points of an exercise disagree."""
    source = read_source(tree, unit)
    faults = find_leaks(source, nbformat.read(notebook_path(released, unit), as_version=4))
    faults += find_point_faults(source)
    _refuse(unit, faults)


def _refuse(unit: str, faults: list[str]) -> None:
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise CourseError(f"{unit} is not released: {faults[0]}{more}. Correct notebooks/{unit}, then run this again.")


def workspace(tree: Tree) -> Path:
    """A folder for what is being made, on the same disk as where it goes."""
    folder = tree.root / "build"
    folder.mkdir(exist_ok=True)
    return folder


def publish(built: Path, destination: Path, workspace: Path) -> None:
    """Put a finished folder in the place of an old one; the old one stays until the new one is complete."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workspace) as old:
        if destination.exists():
            destination.rename(Path(old) / "was")
        try:
            shutil.move(built, destination)
        except BaseException:
            if (Path(old) / "was").exists() and not destination.exists():
                (Path(old) / "was").rename(destination)
            raise


def same_folder(one: Path, other: Path) -> bool:
    """True when both folders hold the same files with the same bytes."""
    files, others = (
        sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file()) for folder in (one, other)
    )
    return files == others and all(filecmp.cmp(one / file, other / file, shallow=False) for file in files)
