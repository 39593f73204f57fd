"""Collecting an export: every submission in it is in submitted/ afterwards, or is listed with the reason."""

from __future__ import annotations

import io
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from course_utils.cli.handin import MOST_BYTES, names_file, parse_notebook, shown, templates_of
from course_utils.cli.handin.cells import Template
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree, notebook_path
from course_utils.system.whole_file import whole_file

from ..submissions import TIMESTAMP
from .archive import MOST_TOTAL, UNREADABLE, Entry, entries_of_zip, opened, unpacked
from .choose import OF_ANOTHER, OF_THE_UNIT, UNKNOWN, Candidate, Handed, candidates, choose, examine
from .names import folded, is_meant_for_the_grader, safe_file_name, safe_name
from .roster import find_folders, note_left_out, read_roster, register, remember, write_roster
from .shapes import PLAIN, Place, empty_folders, find_places

_NOT_FOR_GRADING = {".pdf", ".doc", ".docx", ".odt", ".rtf", ".pages", ".ppt", ".pptx", ".htm", ".html"}
_CLOSED = {".rar", ".7z", ".RAR", ".7Z"}


@dataclass
class Collected:
    """What was found: the files of each student, and what was left out with the reason.

    ``submissions`` are people of the export; ``without`` those of whom nothing was collected, with the reason;
    ``failed`` those for whom something went wrong; ``notes`` are for reading.
    """

    students: dict[str, list[str]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    without: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    submissions: int = 0

    @property
    def complete(self) -> bool:
        """True when everybody of the export is accounted for and nothing went wrong."""
        return not self.failed and len(self.students) + len(self.without) == self.submissions


class _Nothing(Exception):
    """Of this person there is nothing to collect; says why."""


def collect(tree: Tree, unit: str, source: Path) -> Collected:
    """Copy the submissions of `unit` in `source`, a folder or a zip, to submitted/.

    What goes wrong for one person is said in the result and stops nobody else. Raises CourseError when the source
    cannot be read or holds no submission.
    """
    if not source.exists():
        raise CourseError(f"{source} does not exist; expected the folder or zip that your platform exported.")
    result = Collected()
    templates = templates_of(tree, unit)
    roster = read_roster(tree)
    folders_there: set[PurePosixPath] = set()
    with opened(source, result.left_out, folders_there) as entries:
        entries = _export_in_export(entries, result, unit)
        places = find_places(entries, unit, lambda entry: _is_of_unit(entry, templates))
        result.left_out += [f"{shown(entry.path)}: {reason}" for entry, reason in places.others]
        result.notes += places.notes
        people: dict[tuple[str, str, str], list[tuple[Entry, Place]]] = defaultdict(list)
        for entry, place in places.files:
            if place.platform == PLAIN and not safe_name(place.name):
                result.left_out.append(f"{shown(entry.path)}: no student can be told from its place")
            else:
                people[place.person].append((entry, place))
        firsts = [_most_telling([place for _, place in files]) for files in people.values()]
        folders, notes = find_folders(tree, unit, roster, firsts)
        result.notes += notes
        result.without = {shown(path): "nothing in it can be taken" for path in empty_folders(folders_there, places)}
        result.left_out += [f"{folder}: {why}" for folder, why in result.without.items()]
        result.submissions = len(people) + len(result.without)
        for folder, place in zip(folders, firsts, strict=True):
            register(roster, folder, unit, place)
        (tree.folder("submitted")).mkdir(exist_ok=True)
        write_roster(tree, roster)
        total = 0
        for folder, files in zip(folders, people.values(), strict=True):
            total += sum(entry.size for entry, _ in files)
            try:
                if total > MOST_TOTAL:
                    raise ValueError(f"the export holds more than {MOST_TOTAL / 1e9:.0f} GB")
                _collect_one(tree, unit, folder, files, templates, roster, result)
            except _Nothing as nothing:
                result.without[folder] = str(nothing)
                result.left_out.append(f"{shown(folder)}: {nothing}")
                note_left_out(roster, folder, unit, str(nothing))
            except Exception as error:  # whatever it is, the others are collected
                said = getattr(error, "strerror", None) or str(error) or type(error).__name__
                result.students.pop(folder, None)
                result.without[folder] = said
                result.failed.append(folder)
                result.left_out.append(f"{shown(folder)}: {said}")
                note_left_out(roster, folder, unit, said)
    write_roster(tree, roster)
    if not result.students:
        raise CourseError(f"{source} holds no submissions of {unit}. " + ("; ".join(result.left_out) or "It is empty."))
    return result


def _most_telling(places: list[Place]) -> Place:
    """Of one person's places the newest with an attachment, if there is one: by it a page is taken back."""
    return max(places, key=lambda place: (bool(place.attachment), place.order))


def _is_of_unit(entry: Entry, templates: dict[str, Template]) -> bool:
    try:
        files = [Handed(Place(PLAIN, ""), one.path, one.read()) for one in unpacked(entry, [])]
    except UNREADABLE:
        return False
    return any(
        (found := examine(file, template)) and found.kind == OF_THE_UNIT
        for file in files
        for template in templates.values()
    )


def _export_in_export(entries: list[Entry], result: Collected, unit: str) -> list[Entry]:
    """The files of a platform's zip that lies alone in the folder or zip given."""
    if len(entries) != 1 or entries[0].path.suffix.lower() != ".zip" or entries[0].size > MOST_TOTAL:
        return entries
    if find_places(entries, unit, lambda _: False).files[0][1].platform != PLAIN:
        return entries
    try:
        archive = zipfile.ZipFile(io.BytesIO(entries[0].read()))
    except UNREADABLE:
        return entries
    inner = list(entries_of_zip(archive, []))
    shapes = [place.platform for _, place in find_places(inner, unit, lambda _: False).files]
    return list(entries_of_zip(archive, result.left_out)) if shapes and all(s != PLAIN for s in shapes) else entries


def _collect_one(
    tree: Tree,
    unit: str,
    folder: str,
    files: list[tuple[Entry, Place]],
    templates: dict[str, Template],
    roster: dict[str, Any],
    result: Collected,
) -> None:
    handed, troubles = _read_all(folder, files, result)
    found = candidates(handed, next(iter(templates.values())))
    taken = _choose_each(handed, templates)
    late = any(place.late for _, place in files)
    if not taken:
        if troubles:
            raise ValueError("; ".join(troubles))
        reasons = {id(file): " (an archive that is not opened here)" for file in handed if file.path.suffix in _CLOSED}
        reasons |= {id(other.file): f" ({other.reason.rstrip('.')})" for other in found}
        names = ", ".join(f"{shown(file.path)}{reasons.get(id(file), '')}" for file in handed[:5]) or "no files"
        raise _Nothing(f"nothing that is the notebook of {unit}; found: {names}")
    chosen = next(iter(taken.values()))
    found = [other for other in found if not _is_run_by(taken, other)]
    for other in found:
        if all(other.file is not one.file for one in taken.values()):
            result.left_out.append(f"{shown(folder)}: {shown(other.file.path)}: {_why_another(other, chosen, unit)}")
    result.failed += [folder] if troubles else []
    result.left_out += [f"{shown(folder)}: {trouble}" for trouble in troubles]
    place = chosen.file.place
    before = tuple(roster.get(folder, {}).get("units", {}).get(unit, {}).get("order", ()))
    target = notebook_path(_plain_folder(tree, folder), unit, next(iter(taken)))
    if any(place.order) and before > place.order and target.is_file():
        raise _Nothing(f"{shown(chosen.file.path)} is older than what was collected before, which stays")
    written = _write(target.parent, taken, handed, found, folder, result)
    for one in taken.values():
        if one.kind != OF_THE_UNIT:
            result.notes.append(f"{shown(folder)}: collected all the same: {one.reason}")
    times = [one.time for _, one in files if one.time and one.order == place.order]
    _write_time(target.parent / TIMESTAMP, folder, max(times, default=None), place.late or late, result)
    remember(roster, folder, unit, place, place.late or late)
    result.students[folder] = written


def _is_run_by(taken: dict[str, Candidate], other: Candidate) -> bool:
    """Whether a notebook that is none of the unit is named by the code of one that is: then it lies beside it."""
    return other.kind in (UNKNOWN, OF_ANOTHER) and any(
        one.kind == OF_THE_UNIT and names_file(parse_notebook(one.file.data, ""), other.file.path.name)
        for one in taken.values()
    )


def _choose_each(handed: list[Handed], templates: dict[str, Template]) -> dict[str, Candidate]:
    """The file for each of the unit's notebooks, by its name, as far as there is one."""
    taken: dict[str, Candidate] = {}
    for name, template in templates.items():
        found = candidates(handed, template)
        if len(templates) > 1:  # what is no notebook of the unit by its content can only be the one whose name it has
            stems = {id(one): folded(one.file.path.name.split(".ipynb")[0]) for one in found}
            found = [one for one in found if one.kind == OF_THE_UNIT or stems[id(one)] == folded(name)]
        if (best := choose(found, name)) is not None:
            taken[name] = best
    return taken


def _why_another(other: Candidate, chosen: Candidate, unit: str) -> str:
    if other.reason:
        return f"another notebook ({other.reason.rstrip('.')})"
    if other.file.data == chosen.file.data:
        return "the same notebook once more"
    before = any(chosen.file.place.order) and other.file.place.order < chosen.file.place.order
    return "handed in before the one that is taken" if before else f"{shown(chosen.file.path)} is taken for {unit}"


def _read_all(folder: str, files: list[tuple[Entry, Place]], result: Collected) -> tuple[list[Handed], list[str]]:
    """The files, those in zips too; and what could not be read."""
    handed: list[Handed] = []
    troubles: list[str] = []
    for entry, place in files:
        try:
            if entry.size > MOST_BYTES:
                raise ValueError(f"{entry.size / 1e6:.0f} MB is too large")
            for one in unpacked(entry, result.left_out):
                inside = place.file.joinpath(*one.path.parts[len(entry.path.parts) :])
                handed.append(Handed(place, inside, one.read()))
        except UNREADABLE as error:
            said = f"{shown(entry.path)}: {error or type(error).__name__}"
            troubles.append(said)
    return handed, troubles


def _plain_folder(tree: Tree, folder: str) -> Path:
    """submitted/<folder>, which is no link and no file."""
    path = tree.folder("submitted") / folder
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise CourseError(f"{tree.folder_name('submitted')}/{folder} is in the way: not a folder")
    return path


def _write(
    here: Path,
    taken_by: dict[str, Candidate],
    handed: list[Handed],
    found: list[Candidate],
    folder: str,
    result: Collected,
) -> list[str]:
    """Write each notebook under its name in the unit, and beside them what belongs to them."""
    if here.is_symlink() or (here.exists() and not here.is_dir()):
        raise CourseError(f"{here.name} of submitted/{folder} is in the way: not a folder")
    here.mkdir(parents=True, exist_ok=True)
    taken: dict[str, bytes] = {}
    for name, chosen in taken_by.items():
        taken[folded(f"{name}.ipynb")] = chosen.file.data
        if _put(here / f"{name}.ipynb", chosen.file.data):
            result.notes.append(f"{shown(folder)}: replaces the notebook that was collected before")
    notebooks = [id(candidate.file) for candidate in [*found, *taken_by.values()]]
    base = next(iter(taken_by.values())).file.path.parent
    written = [f"{name}.ipynb" for name in taken_by]
    for file in sorted(handed, key=lambda one: one.place.order, reverse=True):
        if id(file) in notebooks or file.path.name == "receipt.txt":
            continue
        inside = file.path.relative_to(base) if file.path.is_relative_to(base) else PurePosixPath(file.path.name)
        reason = _why_not(inside)
        parts = [*(safe_name(part) or "folder" for part in inside.parts[:-1]), safe_file_name(inside.name)]
        name = "/".join(parts)
        if not reason and taken.get(folded(name), file.data) != file.data:
            reason = "another file has this name"
        if reason:
            result.left_out.append(f"{shown(folder)}: {shown(file.path)}: {reason}")
            continue
        taken[folded(name)] = file.data
        place = here.joinpath(*parts)
        for parent in [*place.parents][: len(parts) - 1]:
            if parent.is_symlink():
                parent.unlink()
        place.parent.mkdir(parents=True, exist_ok=True)
        if _put(place, file.data):
            result.notes.append(f"{shown(folder)}: replaces {shown(name)}")
        written.append(name)
    return written


def _why_not(path: PurePosixPath) -> str:
    if is_meant_for_the_grader(path):
        return "it would mean something to the grader, and is not taken from a student"
    return "not a notebook" if path.suffix.lower() in _NOT_FOR_GRADING else ""


def _put(path: Path, data: bytes) -> bool:
    """Write a file whole; True when there was another one. What is the same already is left alone."""
    there = path.is_file() and not path.is_symlink()
    if there and path.read_bytes() == data:
        return False
    if path.is_symlink():
        path.unlink()
    with whole_file(path) as scratch:
        scratch.write_bytes(data)
    return there


def _write_time(path: Path, folder: str, time: Any, late: bool, result: Collected) -> None:
    """The time of handing in as the platform says it; what the instructor has entered stays where it says none."""
    if time is not None:
        if _put(path, time.strftime("%Y-%m-%d %H:%M:%S UTC").encode()):
            result.notes.append(f"{shown(folder)}: {TIMESTAMP} follows the export")
    elif late:
        kept = "keeps the time in" if path.is_file() else "enter it in"
        result.notes.append(f"{shown(folder)}: handed in late; the export does not say when: {kept} {TIMESTAMP}")
