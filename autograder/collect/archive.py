"""The files of a folder or zip. Names inside archives are never used as paths, and sizes are not believed."""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from course_utils.cli.handin import MOST_BYTES, shown
from course_utils.system.errors import CourseError

from ..submissions import MOST_FILES
from .names import is_junk

MOST_TOTAL = 4_000_000_000
_MOST_ENTRIES = 100_000
_DEEPEST = 3  # zips in zips
UNREADABLE = (OSError, ValueError, RuntimeError, zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error)


@dataclass(frozen=True)
class Entry:
    """One file of an export: where it was, how large it says it is, and how to read it."""

    path: PurePosixPath
    size: int
    read: Callable[[], bytes]


@contextmanager
def opened(source: Path, left_out: list[str]) -> Iterator[list[Entry]]:
    """The files of an export that somebody may have handed in; links are listed. Raises CourseError."""
    if source.is_dir():
        yield list(_entries_of_folder(source, left_out))
        return
    try:
        archive = zipfile.ZipFile(source)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise CourseError(f"{source} is neither a folder nor a zip that can be read ({error}).") from None
    with archive:
        if len(archive.infolist()) > _MOST_ENTRIES:
            raise CourseError(f"{source} holds more than {_MOST_ENTRIES} files.")
        yield list(entries_of_zip(archive, left_out))


def _entries_of_folder(source: Path, left_out: list[str]) -> Iterator[Entry]:
    for folder, folders, names in os.walk(source, followlinks=False):
        folders.sort()
        for name in sorted(names) + [name for name in folders if (Path(folder) / name).is_symlink()]:
            path = Path(folder) / name
            inside = PurePosixPath(path.relative_to(source).as_posix())
            if is_junk(inside):
                continue
            try:
                plain = stat.S_ISREG(path.lstat().st_mode)
                size = path.lstat().st_size
            except OSError as error:
                left_out.append(f"{shown(inside)}: {error.strerror}")
                continue
            if not plain:
                left_out.append(f"{shown(inside)}: a link" if path.is_symlink() else f"{shown(inside)}: not a file")
                continue
            yield Entry(inside, size, path.read_bytes)


def entries_of_zip(archive: zipfile.ZipFile, left_out: list[str]) -> Iterator[Entry]:
    """The files of a zip that somebody may have handed in."""
    for info in archive.infolist():
        inside = _path_of(info)
        if info.is_dir() or info.filename.endswith("\\") or is_junk(inside):
            continue
        if stat.S_ISLNK(info.external_attr >> 16):
            left_out.append(f"{shown(inside)}: a link")
            continue
        yield Entry(inside, info.file_size, partial(_read, archive, info))


def _path_of(info: zipfile.ZipInfo) -> PurePosixPath:
    """The name of a member. Macs write UTF-8 without saying so, which Python then takes for the code page 437."""
    name = info.filename
    if not info.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except (UnicodeEncodeError, UnicodeDecodeError):
            pass
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return PurePosixPath(*parts) if parts else PurePosixPath("file")


def unpacked(entry: Entry, left_out: list[str], depth: int = 0) -> list[Entry]:
    """The entry itself, or what is in it if it is a zip; zips in it are opened too. Raises one of ``UNREADABLE``."""
    if entry.path.suffix.lower() != ".zip" or depth >= _DEEPEST:
        return [entry]
    with zipfile.ZipFile(io.BytesIO(entry.read())) as archive:
        inside = list(entries_of_zip(archive, left_out))
        total = sum(found.size for found in inside)
        if len(inside) > MOST_FILES or total > MOST_BYTES:
            raise ValueError(f"an archive of {len(inside)} files and {total / 1e6:.0f} MB")
        found = []
        for one in inside:
            data = one.read()
            held = Entry(entry.path / one.path, len(data), partial(bytes, data))
            found += unpacked(held, left_out, depth + 1)
        if sum(one.size for one in found) > MOST_BYTES or len(found) > MOST_FILES:
            raise ValueError(f"archives of {len(found)} files and more than {MOST_BYTES / 1e6:.0f} MB")
        return found


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > min(MOST_BYTES, info.file_size):
        raise ValueError("larger than it says")
    return data
