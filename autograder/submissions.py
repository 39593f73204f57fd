"""What students have handed in: which file is meant, and that nothing of it leads elsewhere."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from course_utils.cli.handin import (
    MAX_MEGABYTES,
    MOST_BYTES,
    names_file,
    parse_notebook,
    read_notebook,
    readable_name,
    template_of,
)
from course_utils.cli.handin.cells import identify
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree, notebook_path
from course_utils.system.whole_file import whole_file, write_whole

from .grades_file import MISSING, UNREADABLE

MOST_FILES = 200
_IGNORED = {".ipynb_checkpoints", "__pycache__", "runs", "__MACOSX"}
_NOTEBOOKS = (".ipynb", ".ipynb.txt", ".ipynb.json")  # as browsers and mail programs save one

TIMESTAMP, SECRET = "timestamp.txt", "submission_secret.txt"
EXCHANGE_FILES = (TIMESTAMP, SECRET)  # nbgrader's exchange adds them; where feedback goes follows from the secret

Problem = tuple[str, str]  # status, reason


@dataclass(frozen=True)
class Submission:
    """One student's notebook of one unit, with the files beside it."""

    name: str
    notebook: bytes
    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def digest(self) -> str:
        digest = hashlib.sha256(self.name.encode() + b"\0" + self.notebook)
        for path, data in sorted(self.files.items()):
            digest.update(path.encode() + b"\0" + hashlib.sha256(data).digest())
        return digest.hexdigest()


def find_submission(tree: Tree, unit: str, student: str, notebook: str = "") -> Submission | Problem:
    """Read what `student` has handed in for `unit`, of several notebooks the one named; or why it cannot be read."""
    folder, wanted = tree.folder("submitted") / student / unit, notebook or tree.notebook(unit)
    if not os.path.lexists(folder):
        return MISSING, _nothing(unit, wanted)
    if not _is_plain(folder, stat.S_ISDIR):
        return UNREADABLE, f"{unit} is not a folder but a link or a file"
    try:
        path, notes = _choose_notebook(tree, folder, unit, wanted)
    except OSError as error:
        return UNREADABLE, f"{unit} cannot be read ({error.strerror})"
    if path is None:
        return MISSING, _nothing(unit, wanted) + notes
    size = path.stat().st_size
    if size > MOST_BYTES:
        return UNREADABLE, f"{readable_name(path.name)} has {size / 1e6:.0f} MB, more than {MAX_MEGABYTES}"
    try:
        data = _read(path)
    except OSError as error:
        return UNREADABLE, f"{readable_name(path.name)} cannot be read ({error.strerror})"
    files, left_out = other_files(folder)
    files |= notebooks_run_by(data, path, tree.notebooks(unit)) | given_files(tree, unit)
    return Submission(readable_name(path.name), data, files, ([notes] if notes else []) + left_out)


def notebooks_run_by(data: bytes, path: Path, siblings: list[str]) -> dict[str, bytes]:
    """The notebooks beside one that its code names, such as in ``%run other.ipynb``, by name; ``siblings`` are the
    unit's own."""
    there = [other for other in sorted(path.parent.glob("*.ipynb")) if other != path and other.stem not in siblings]
    if not there:
        return {}
    try:
        notebook = parse_notebook(data, path.name)
    except CourseError:
        return {}
    return {
        other.name: read_plain(other)
        for other in there
        if names_file(notebook, other.name) and _is_plain(other, stat.S_ISREG) and other.stat().st_size <= MOST_BYTES
    }


def given_files(tree: Tree, unit: str) -> dict[str, bytes]:
    """What lies beside a unit's source for all its students to read, such as data: as it is there, not as handed in."""
    return other_files(tree.source / unit)[0]


def _nothing(unit: str, notebook: str) -> str:
    return f"no {unit}/{notebook}.ipynb was handed in"


def is_trouble(unit: str, problem: Problem) -> bool:
    """Whether something was handed in that could not be graded; not, where nothing was."""
    status, reason = problem
    nothing = re.compile(rf"no {re.escape(unit)}/[^/]+\.ipynb was handed in")
    return status == UNREADABLE or (status == MISSING and not nothing.fullmatch(reason))


def _choose_notebook(tree: Tree, folder: Path, unit: str, wanted: str) -> tuple[Path | None, str]:
    """The notebook, and a note when it does not have the name it should; or None, and what is there instead."""
    exact, siblings = notebook_path(folder.parent, unit, wanted), tree.notebooks(unit)
    if _is_plain(exact, stat.S_ISREG):
        return exact, ""
    others = sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(_NOTEBOOKS) and not _is_junk(path.name) and _is_plain(path, stat.S_ISREG)
        if path.stem not in siblings
    )
    named = [path for path in others if path.name.lower().startswith(wanted.lower())]
    if len(named) == 1 or (not named and len(others) == 1 and len(siblings) < 2):
        chosen = (named or others)[0]
        return chosen, f"the file was named {readable_name(chosen.name)}"
    if named:  # unit.ipynb, saved again and again by a browser
        chosen = max(named, key=lambda path: (path.stat().st_mtime, path.name))
        return chosen, f"the file was named {readable_name(chosen.name)}, the latest of {len(named)}"
    known = [path for path in others if _is_of_unit(tree, unit, wanted, path)]
    if len(known) == 1:
        return known[0], f"the file was named {readable_name(known[0].name)}"
    there = others or sorted(path for path in folder.iterdir() if not _is_junk(path.name) and path.name != TIMESTAMP)
    if len(siblings) > 1 and not others:  # the other notebooks were handed in, and this one was not
        there = []
    return None, f"; found instead: {', '.join(readable_name(path.name) for path in there[:5])}" if there else ""


def _is_of_unit(tree: Tree, unit: str, wanted: str, path: Path) -> bool:
    """Whether a notebook has something of the one that is wanted in it, whatever its name."""
    try:
        identify(read_notebook(path), template_of(tree, unit, wanted), path.name)
    except CourseError:
        return False
    return True


def _is_junk(name: str) -> bool:
    """What systems leave beside a file."""
    return name.startswith("._") or name in (".DS_Store", "Thumbs.db", "desktop.ini")


def other_files(folder: Path) -> tuple[dict[str, bytes], list[str]]:
    """Regular files beside the notebook, never through links, up to a number and a size."""
    files: dict[str, bytes] = {}
    notes, left = [], MOST_BYTES
    for path, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name not in _IGNORED)
        for name in sorted(names):
            file = Path(path) / name
            relative = readable_name(file.relative_to(folder).as_posix())
            if file.suffix in (".ipynb", ".safetensors") or name.lower().endswith(_NOTEBOOKS) or _is_junk(name):
                continue
            if relative in files:
                notes.append(f"another {relative} was left out: the names are the same in letters that can be shown")
                continue
            if not _is_plain(file, stat.S_ISREG):
                notes.append(f"{relative} was left out: not a regular file")
                continue
            if file.stat().st_size > left or len(files) >= MOST_FILES:
                notes.append(f"{relative} was left out: too much data")
                continue
            try:
                files[relative] = _read(file)
            except OSError:
                notes.append(f"{relative} was left out: it cannot be read")
                continue
            left -= len(files[relative])
    return files, notes[:20]


def exchange_files(folder: Path) -> dict[str, bytes]:
    """What nbgrader's exchange has added to a submission."""
    return {name: _read(folder / name) for name in EXCHANGE_FILES if _is_plain(folder / name, stat.S_ISREG)}


def lay(files: dict[str, bytes], folder: Path) -> None:
    """Put files into ``folder``; what is the same already is left alone."""
    for name, data in files.items():
        path = folder / name
        if not (path.is_file() and path.read_bytes() == data):
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as scratch:
                scratch.write_bytes(data)


def carry(files: dict[str, bytes], folder: Path) -> None:
    """Lay the exchange's files among ``files`` into ``folder``; those that are missing are not left from earlier."""
    for name in EXCHANGE_FILES:
        if name in files:
            write_whole(folder / name, files[name].decode("utf-8", "replace"))
        else:
            (folder / name).unlink(missing_ok=True)


def _is_plain(path: Path, kind) -> bool:
    try:
        return kind(os.lstat(path).st_mode)
    except OSError:
        return False


def read_plain(path: Path) -> bytes:
    """A regular file, up to a size. Raises OSError for what is none: a pipe or a device may never end."""
    if not _is_plain(path, stat.S_ISREG):
        raise FileNotFoundError(errno.ENOENT, "not a regular file", str(path))
    return _read(path)


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        return file.read(MOST_BYTES + 1)
