"""From the sources in notebooks/ to the student version in release/, and which units have been released here."""

from __future__ import annotations

import filecmp
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import SaveCells
from traitlets import import_item

from course_utils.cli.handin import read_source, stubs_of, templates_of
from course_utils.system.course_file import NAME as COURSE_FILE
from course_utils.system.course_file import Dates
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree, notebook_path
from course_utils.system.whole_file import write_whole

from .changes import keep_release
from .gradable import find_ungradable
from .leaks import find_leaks
from .leaks_in_files import find_large_files, find_leaks_in_files
from .nbgrader_course import NbGraderCourse
from .points import find_check_faults, find_point_faults
from .template import PROVIDED, SOLUTION

RELEASED = ".released.json"  # git carries release/ filled; this says what this instructor has released


def release_units(tree: Tree, units: list[str], debug: bool = False, early: bool = False) -> None:
    """Make release/<unit> for each unit. Nothing is replaced unless every unit passes the release gate.

    ``early``: also where a unit gives answers of another one that is not due yet.
    """
    NbGraderCourse(tree)  # refuses settings that cannot be obeyed, and has the course's own checks
    for fault in unknown_units(tree):
        raise CourseError(f"{fault}. Correct it.")
    for unit in units:
        _refuse_ungradable(tree, unit, modules=True)
    for unit in [] if early else units:
        if not_yet(tree, [unit]):
            day = tree.about.calendar[unit].release
            raise CourseError(f"{unit} is to be released on {day:%Y-%m-%d %H:%M} (course.toml). Wait, or use --early.")
        _refuse(unit, find_early_answers(tree, unit), "Release it later, or with --early.")
    for unit in units:
        for source in read_sources(tree, unit).values():
            _refuse(unit, find_check_faults(source))
    with build(tree, units, debug=debug) as built:
        for unit in units:
            publish(built / unit, tree.folder("release") / unit, workspace(tree))
            keep_release(tree, unit)
        _set_due_dates(tree, units)
    known = set(_read_released(tree)) | set(units)
    write_whole(tree.root / RELEASED, json.dumps(sorted(known), indent=1, ensure_ascii=False) + "\n")


def unknown_units(tree: Tree) -> list[str]:
    """The units that course.toml names and the course does not have, a sentence each: their dates would be lost."""
    about, units = tree.about, tree.units()
    return [
        f"{tree.root / COURSE_FILE}: {key} names {unit!r}, which notebooks/ does not have; it has {', '.join(units)}"
        for key, named in (("units", about.units), ("calendar", about.calendar))
        for unit in named
        if unit not in units
    ]


def not_yet(tree: Tree, units: list[str]) -> list[str]:
    """Those of the units whose day of release, in the calendar of course.toml, has not come."""
    days = {unit: tree.about.calendar.get(unit, Dates()).release for unit in units}
    return [unit for unit, day in days.items() if day is not None and day > datetime.now(UTC)]


def released_units(tree: Tree) -> list[str]:
    """The units that `course release` has released from this tree, in order. Raises CourseError when there are none."""
    recorded = _read_released(tree)
    units = [unit for unit in tree.units() if unit in recorded and (tree.folder("release") / unit).is_dir()]
    if not units:
        raise CourseError("no unit has been released, so there is no student kit to make. Run `course release UNIT`.")
    return units


def _read_released(tree: Tree) -> list[str]:
    try:
        content = json.loads((tree.root / RELEASED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [unit for unit in content if isinstance(unit, str)] if isinstance(content, list) else []


def _set_due_dates(tree: Tree, units: list[str]) -> None:
    """Tell the gradebook the due dates of course.toml; others, which formgrader may have set, stay."""
    dates = {unit: of.due for unit, of in tree.about.calendar.items() if of.due and unit in units}
    if dates:
        with NbGraderCourse(tree).gradebook() as gradebook:
            for unit, due in dates.items():
                gradebook.update_or_create_assignment(unit, duedate=_utc(due))


def _utc(moment: datetime) -> datetime:
    """As nbgrader keeps a time."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def read_sources(tree: Tree, unit: str) -> dict[str, NotebookNode]:
    """The source notebooks of a unit by name."""
    return {name: read_source(tree, unit, name) for name in tree.notebooks(unit) or [unit]}


def stale_units(tree: Tree, units: list[str]) -> list[str]:
    """The units whose release/ is not what their source gives now. Raises CourseError for what the gate refuses."""
    for unit in units:
        for source in read_sources(tree, unit).values():
            _refuse(unit, find_check_faults(source))
    with build(tree, units, record=False) as built:
        return [unit for unit in units if not same_folder(built / unit, tree.folder("release") / unit)]


def register_unit(tree: Tree, unit: str) -> None:
    """Record in the gradebook which cells of a unit are graded, and for how much, as nbgrader does at release."""
    with build(tree, [unit]):
        _set_due_dates(tree, [unit])


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
            _refuse_ungradable(tree, unit)
            course.convert(GenerateAssignment, unit, settings=settings, release_directory=str(built))
            check_release(tree, unit, built)
        yield built


def steps_without_gradebook(course: NbGraderCourse) -> list[type]:
    """The configured steps of a release, except the one that writes to the gradebook."""
    steps = course.app.config.GenerateAssignment.preprocessors
    steps = [import_item(step) if isinstance(step, str) else step for step in steps]
    return [step for step in steps if not issubclass(step, SaveCells)]


def check_release(tree: Tree, unit: str, released: Path) -> None:
    """The release gate: raise CourseError when the student version of a unit in ``released`` gives something away, or
    when the points of an exercise disagree."""
    sources, faults = read_sources(tree, unit), []
    for name, source in sources.items():
        faults += find_leaks(source, nbformat.read(notebook_path(released, unit, name), as_version=4), stubs_of(tree))
        faults += find_point_faults(source)
    _refuse(unit, faults + find_leaks_in_files(sources, released / unit))


def find_early_answers(tree: Tree, unit: str) -> list[str]:
    """The answers that provided cells of a unit give to exercises of others which have a due date, and are not due yet.

    Due dates are those of the gradebook; a unit without one does not hold back another.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    with NbGraderCourse(tree).gradebook() as gradebook:
        due = {assignment.name: assignment.duedate for assignment in gradebook.assignments if assignment.duedate}
    due |= {unit: _utc(of.due) for unit, of in tree.about.calendar.items() if of.due}
    waiting = {other: date for other, date in due.items() if date > now and other != unit and other in tree.units()}
    if not waiting:
        return []
    templates = templates_of(tree, unit).values()
    given = {
        name for template in templates for cell in template.cells if cell.kind == PROVIDED for name in cell.defines
    }
    return [
        f"it gives the answer of {cell.grade_id}, an exercise of {other}, which is due {date:%Y-%m-%d %H:%M} UTC"
        for other, date in waiting.items()
        for template in templates_of(tree, other).values()
        for cell in template.cells
        if cell.kind == SOLUTION and given & {cell.grade_id, *cell.defines}
    ]


def _refuse_ungradable(tree: Tree, unit: str, modules: bool = False) -> None:
    """``modules``: also where a package cannot be had; at grading that is undecided, and stops nobody."""
    folder = tree.source / unit
    faults = find_ungradable(unit, read_sources(tree, unit), folder if modules else None)
    _refuse(unit, faults + find_large_files(folder))


def _refuse(unit: str, faults: list[str], mend: str = "") -> None:
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        mend = mend or f"Correct notebooks/{unit}, then run this again."
        raise CourseError(f"{unit} is not released: {faults[0]}{more}. {mend}")


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
