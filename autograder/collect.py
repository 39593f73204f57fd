"""From what a learning platform exports to submitted/<student>/<unit>/.

Understood: Moodle's folders (`Ada Lovelace_1234_assignsubmission_file_`), Canvas' flat names
(`lovelaceada_1234_5678_unit.ipynb`), and plain folders or files named after the student; each in a folder or a zip, and
each submission a notebook or a zip, such as `course submit` writes. Names inside archives are never used as paths.
"""

from __future__ import annotations

import json
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from course_utils.cli.handin import MOST_BYTES
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree, notebook_path
from course_utils.system.whole_file import write_whole

from .submissions import MOST_FILES

ROSTER = ".roster.json"  # in submitted/: what the platform calls each student
_MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_\w+")
_CANVAS = re.compile(r"(?P<name>[^_]+)_(?:LATE_|late_)?(?P<id>\d+)_(?P<submission>\d+)_(?P<file>.+)")
_MOST_TOTAL = 4_000_000_000
_MOST_ENTRIES = 100_000


@dataclass(frozen=True)
class Entry:
    """One file of an export: where it was, and how to read it."""

    path: PurePosixPath
    size: int
    read: Callable[[], bytes]


@dataclass
class Collected:
    """What was found: students, and what was left out with the reason."""

    students: dict[str, list[str]]
    left_out: list[str]


def collect(tree: Tree, unit: str, source: Path) -> Collected:
    """Copy the submissions of `unit` in `source`, a folder or a zip, to submitted/. Raises CourseError."""
    if not source.exists():
        raise CourseError(f"{source} does not exist; expected the folder or zip that your platform exported.")
    result = Collected({}, [])
    roster = read_roster(tree)
    total = 0
    for entry in _entries(source, result):
        who, number = _whose(entry.path)
        student = safe_name(who)
        if not student:
            result.left_out.append(f"{entry.path}: no student can be told from its place")
            continue
        total += entry.size
        if entry.size > MOST_BYTES or total > _MOST_TOTAL:
            result.left_out.append(f"{entry.path}: {entry.size / 1e6:.0f} MB is too large")
            continue
        try:
            files = _unpacked(entry)
        except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            result.left_out.append(f"{entry.path}: {error or type(error).__name__}")
            continue
        if number:
            roster[student] = {"id": number, "name": who}
        folder = tree.root / "submitted" / student / unit
        result.students.setdefault(student, []).extend(_write(folder, unit, files))
    if not result.students:
        raise CourseError(f"{source} holds no submissions. " + ("; ".join(result.left_out[:3]) or "It is empty."))
    write_whole(tree.root / "submitted" / ROSTER, json.dumps(roster, indent=1, ensure_ascii=False))
    return result


def read_roster(tree: Tree) -> dict[str, dict[str, str]]:
    """What the platform calls each student, as far as an export told."""
    path = tree.root / "submitted" / ROSTER
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        return {}


def safe_name(text: str) -> str:
    """A student's name as the name of a folder: no separators, nothing hidden, not too long; may be empty."""
    text = re.sub(r"[\x00-\x1f/\\:*?\"<>|]+", " ", text)
    return " ".join(text.split()).lstrip(".~").strip(". ")[:80]


def _entries(source: Path, result: Collected) -> Iterator[Entry]:
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.is_symlink() or not path.is_file():
                if path.is_symlink():
                    result.left_out.append(f"{path.name}: a link")
                continue
            yield Entry(PurePosixPath(path.relative_to(source).as_posix()), path.stat().st_size, path.read_bytes)
        return
    if not zipfile.is_zipfile(source):
        raise CourseError(f"{source} is neither a folder nor a zip.")
    with zipfile.ZipFile(source) as archive:
        if len(archive.infolist()) > _MOST_ENTRIES:
            raise CourseError(f"{source} holds more than {_MOST_ENTRIES} files.")
        for info in archive.infolist():
            if info.is_dir():
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                result.left_out.append(f"{info.filename}: a link")
                continue
            yield Entry(PurePosixPath(info.filename.replace("\\", "/")), info.file_size, partial(_read, archive, info))


def _whose(path: PurePosixPath) -> tuple[str, str]:
    """The student's name and number on the platform, from where a file lies."""
    parts = [part for part in path.parts if part not in ("/", "..", ".")]
    for part in parts[:-1]:
        if match := _MOODLE.match(part):
            return match["name"], match["id"]
    if parts and (match := _CANVAS.match(parts[-1])):
        return match["name"], match["id"]
    if len(parts) > 1:
        return parts[0], ""
    return (PurePosixPath(parts[0]).stem if parts else ""), ""


def _unpacked(entry: Entry) -> dict[str, bytes]:
    """The files of one submission by their bare names. Raises for archives that lie about their size."""
    data = entry.read()
    if entry.path.suffix.lower() != ".zip":
        return {_bare_name(entry.path): data}
    import io

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = [
            info for info in archive.infolist() if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16)
        ]
        if len(infos) > MOST_FILES or sum(info.file_size for info in infos) > MOST_BYTES:
            raise ValueError(f"an archive of {len(infos)} files and {sum(i.file_size for i in infos) / 1e6:.0f} MB")
        return {_bare_name(PurePosixPath(info.filename.replace("\\", "/"))): _read(archive, info) for info in infos}


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > min(MOST_BYTES, info.file_size):
        raise ValueError("larger than it says")
    return data


def _bare_name(path: PurePosixPath) -> str:
    match = _CANVAS.match(path.name)
    return safe_name(match["file"] if match else path.name) or "file"


def _write(folder: Path, unit: str, files: dict[str, bytes]) -> list[str]:
    """Write into a folder that holds nothing else by these names; a notebook that is alone gets the unit's name."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise CourseError(f"{folder} is in the way: not a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    notebooks = [name for name in files if name.lower().endswith(".ipynb")]
    written = []
    for name, data in files.items():
        target = notebook_path(folder.parent, unit) if [name] == notebooks else folder / name
        if target.is_symlink():
            target.unlink()
        target.write_bytes(data)
        written.append(target.name)
    return written
