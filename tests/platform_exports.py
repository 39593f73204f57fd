"""Exports of a made-up class in the shape of each platform, and the ways in which they are packed again.

Names follow the platforms' own sources where these are open:
Moodle       mod/assign/classes/downloader.php (get_student_prefix, load_submissionplugin_filelist; clean_filename)
Canvas       lib/content_zipper.rb (get_filename, sanitize_user_name, sanitize_attachment_filename)
ILIAS        Modules/Exercise/Submission/class.ilExSubmission.php (downloadAllAssignmentFiles)
Blackboard   github.com/kwurst/bb-file-cleanup describes assignment_username_attempt_datetime_file
Gradescope and Brightspace document no rule; these follow what scripts that read their exports expect.
"""

from __future__ import annotations

import io
import json
import re
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Files = dict[str, bytes]


@dataclass(frozen=True)
class Person:
    """Somebody of the class: name, a number that stays, one that each assignment gives anew, and what is handed in."""

    name: str
    number: int
    here: int
    files: dict[str, bytes]


def _moodle_prefix(name: str, number: int) -> str:
    return re.sub(r"""[\x00-\x1f&<>"`|':\\/]|\.\.+""", "", f"{name.replace('_', ' ')}_{number}")


def moodle_folders(people: list[Person]) -> Files:
    return {
        f"{_moodle_prefix(p.name, p.here)}_assignsubmission_file_/{file}": data
        for p in people
        for file, data in p.files.items()
    }


def moodle_new_folders(people: list[Person]) -> Files:
    return {name.replace("_file_/", "_file/"): data for name, data in moodle_folders(people).items()}


def moodle_flat(people: list[Person]) -> Files:
    return {name.replace("_file_/", "_file_"): data for name, data in moodle_folders(people).items()}


def moodle_blind(people: list[Person]) -> Files:
    return {
        f"Participant_{p.here}_assignsubmission_file_/{file}": data for p in people for file, data in p.files.items()
    }


def _canvas(people: list[Person], who: Callable[[Person], str]) -> Files:
    entries, attachment = {}, 70000
    for person in people:
        for file, data in person.files.items():
            attachment += 1
            entries[f"{who(person)}_{attachment}_" + re.sub(r'[\x00/\\:*?"<>|]+', "_", file)] = data
    return entries


def _canvas_name(person: Person) -> str:
    """The name by which Canvas sorts, last name first, with letters, numbers and underscores alone."""
    first, _, last = person.name.rpartition(" ")
    return re.sub(r"\W", "", re.sub(r"_(\d+)_", r"\1", f"{last}, {first}".lower()))


def canvas(people: list[Person]) -> Files:
    return _canvas(people, lambda p: f"{_canvas_name(p)}_{p.number}")


def canvas_late(people: list[Person]) -> Files:
    return _canvas(people, lambda p: f"{_canvas_name(p)}_LATE_{p.number}")


def canvas_anonymous(people: list[Person]) -> Files:
    return _canvas(people, lambda p: f"anon_x{p.number}z")


def canvas_anonymous_late(people: list[Person]) -> Files:
    return _canvas(people, lambda p: f"LATE_anon_x{p.number}z")


def gradescope(people: list[Person]) -> Files:
    entries, listing = {}, {}
    for index, person in enumerate(people):
        folder = f"submission_{9000 + index}"
        listing[folder] = {
            ":submitters": [{":name": person.name, ":sid": str(person.number), ":email": f"{person.number}@x.org"}],
            ":created_at": "2026-01-31 23:00:00.5 Z",
        }
        entries |= {f"assignment_1_export/{folder}/{file}": data for file, data in person.files.items()}
    text = json.dumps(listing).replace('"2026-01-31 23:00:00.5 Z"', "2026-01-31 23:00:00.5 Z")
    return entries | {"assignment_1_export/submission_metadata.yml": text.encode()}


def ilias(people: list[Person]) -> Files:
    return {
        f"Abgaben/{p.name.replace('_', ' ').replace('/', ' ')}_Vorname_login{p.number}_{p.number}/{file}": data
        for p in people
        for file, data in p.files.items()
    }


def ilias_late_teams(people: list[Person]) -> Files:
    entries = {}
    for person in people:
        folder = f"Abgaben/Team {person.number}/{person.name.replace('_', ' ').replace('/', ' ')}_V_x_{person.number}"
        for file, data in person.files.items():
            inner, _, name = file.rpartition("/")
            entries["/".join(filter(None, [folder, inner, f"Late Submission - {name}"]))] = data
    return entries


def blackboard(people: list[Person]) -> Files:
    entries = {}
    for person in people:
        login = f"jo_{person.number}"
        start = f"Unit one_{login}_attempt_2026-01-31-23-59-00"
        entries[f"{start}.txt"] = f"Name: {person.name} ({login})\nAssignment: Unit one\n".encode()
        entries |= {f"{start}_{file.replace('/', '-')}": data for file, data in person.files.items()}
    return entries


def brightspace(people: list[Person]) -> Files:
    entries: Files = {"index.html": b"<html></html>"} if len(people) > 99 else {}
    for person in people:
        folder = f"{person.number}-4711 - {person.name.replace('/', ' ')} - Jan 31, 2026 1159 PM"
        entries |= {f"{folder}/{file}": data for file, data in person.files.items()}
    return entries


def folders(people: list[Person]) -> Files:
    return {f"{p.name} {p.number}/{file}": data for p in people for file, data in p.files.items()}


def deep_folders(people: list[Person]) -> Files:
    return {
        f"export/course/group {p.number % 2}/{p.name} {p.number}/homework/{file}": data
        for p in people
        for file, data in p.files.items()
    }


SHAPES = {
    shape.__name__: shape
    for shape in (
        moodle_folders,
        moodle_new_folders,
        moodle_flat,
        moodle_blind,
        canvas,
        canvas_late,
        canvas_anonymous,
        canvas_anonymous_late,
        gradescope,
        ilias,
        ilias_late_teams,
        blackboard,
        brightspace,
        folders,
        deep_folders,
    )
}


def zipped(entries: Files, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def on_a_mac(entries: Files, path: Path) -> Path:
    """Unpacked and packed again: decomposed names, and a companion of each file."""
    more: Files = {".DS_Store": b"\0\0\0\1Bud1"}
    for name, data in entries.items():
        name = unicodedata.normalize("NFD", name)
        folder, _, file = name.rpartition("/")
        more[name] = data
        more[f"__MACOSX/{folder}/._{file}"] = b"\0\5\x16\7Mac OS X"
    return zipped(more, path)


def on_windows(entries: Files, path: Path) -> Path:
    more = {name.replace("/", "\\"): data for name, data in entries.items()}
    return zipped(more | {"Thumbs.db": b"\xd0\xcf", "desktop.ini": b"[x]"}, path)


def zip_in_zip(entries: Files, path: Path) -> Path:
    inner = zipped(entries, path.with_name("inner.zip"))
    return zipped({"submissions.zip": inner.read_bytes()}, path)


def unpacked(entries: Files, path: Path) -> Path:
    folder = path.with_suffix("")
    for name, data in entries.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


PACKINGS = {packing.__name__: packing for packing in (zipped, on_a_mac, on_windows, unpacked)}


def own_zip(files: Files) -> bytes:
    """What a student packs on a Mac."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"hw/{name}", data)
            archive.writestr(f"__MACOSX/hw/._{name}", b"\0\5\x16\7Mac OS X")
            archive.writestr(f"hw/.ipynb_checkpoints/{name}", b"old")
    return packed.getvalue()
