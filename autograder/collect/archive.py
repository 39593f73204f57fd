"""The files of a folder or zip. Names inside archives are never used as paths, and sizes are not believed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from course_utils.cli.handin import MOST_BYTES, shown
from course_utils.system.errors import CourseError

from ..submissions import MOST_FILES
from .names import is_junk

MOST_TOTAL = 4_000_000_000
_MOST_ENTRIES = 100_000
_DEEPEST = 3  # archives in archives
_COMPRESSED: dict[str, Any] = {".gz": gzip.open, ".tgz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_ARCHIVES = (".zip", ".tar", *_COMPRESSED)
UNREADABLE = (
    *(OSError, ValueError, RuntimeError, EOFError, NotImplementedError),
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
)


@dataclass(frozen=True)
class Entry:
    """One file of an export: where it was, how large it says it is, and how to read it."""

    path: PurePosixPath
    size: int
    read: Callable[[], bytes]


@contextmanager
def opened(source: Path, left_out: list[str], folders: set[PurePosixPath]) -> Iterator[list[Entry]]:
    """The files of an export that somebody may have handed in; links are listed. ``folders`` gets all folders, those
    without files included. Raises CourseError."""
    if source.is_dir():
        yield list(_entries_of_folder(source, left_out, folders))
        return
    try:
        archive = zipfile.ZipFile(source)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise CourseError(f"{source} is neither a folder nor a zip that can be read ({error}).") from None
    with archive:
        if len(archive.infolist()) > _MOST_ENTRIES:
            raise CourseError(f"{source} holds more than {_MOST_ENTRIES} files.")
        for info in archive.infolist():
            path = _path_of(info)
            folders.add(path if info.is_dir() else path.parent)
        yield list(entries_of_zip(archive, left_out))


def _entries_of_folder(source: Path, left_out: list[str], found: set[PurePosixPath]) -> Iterator[Entry]:
    for folder, folders, names in os.walk(source, followlinks=False):
        folders.sort()
        found.add(PurePosixPath(Path(folder).relative_to(source).as_posix()))
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
    return _parts(name)


def _parts(name: str) -> PurePosixPath:
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return PurePosixPath(*parts) if parts else PurePosixPath("file")


def unpacked(entry: Entry, left_out: list[str], depth: int = 0) -> list[Entry]:
    """The entry itself, or what is in it if it is an archive (zip, tar, or one file made smaller); archives in it are
    opened too. A notebook that only has an archive's name is a file as any other. Raises one of ``UNREADABLE``."""
    ending = entry.path.suffix.lower()
    if ending not in _ARCHIVES or depth >= _DEEPEST:
        return [entry]
    data = entry.read()
    if data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return [entry]
    found = []
    for one in _of_zip(data, left_out) if ending == ".zip" else _of_tar(entry.path, data, left_out):
        found += unpacked(replace(one, path=entry.path / one.path), left_out, depth + 1)
    if sum(one.size for one in found) > MOST_BYTES or len(found) > MOST_FILES:
        raise ValueError(f"archives of {len(found)} files and more than {MOST_BYTES / 1e6:.0f} MB")
    return found


def _of_zip(data: bytes, left_out: list[str]) -> list[Entry]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        inside = list(entries_of_zip(archive, left_out))
        _bounded(len(inside), sum(found.size for found in inside))
        return [_held(one.path, one.read()) for one in inside]


def _of_tar(path: PurePosixPath, data: bytes, left_out: list[str]) -> list[Entry]:
    if path.suffix.lower() != ".tar":
        with _COMPRESSED[path.suffix.lower()](io.BytesIO(data)) as file:
            data = file.read(MOST_BYTES + 1)
        _bounded(1, len(data))
    if path.suffix.lower() not in (".tar", ".tgz") and not path.stem.lower().endswith(".tar"):
        return [_held(PurePosixPath(path.stem), data)]  # one file that was made smaller
    found: list[Entry] = []
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            inside = _parts(member.name)
            if member.isdir() or is_junk(inside):
                continue
            file = archive.extractfile(member) if member.isreg() else None
            if file is None:
                left_out.append(f"{shown(inside)}: a link")
                continue
            _bounded(len(found) + 1, member.size + sum(one.size for one in found))
            found.append(_held(inside, file.read()))
    return found


def _bounded(files: int, size: int) -> None:
    if files > MOST_FILES or size > MOST_BYTES:
        raise ValueError(f"an archive of {files} files and {size / 1e6:.0f} MB")


def _held(path: PurePosixPath, data: bytes) -> Entry:
    return Entry(path, len(data), partial(bytes, data))


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > min(MOST_BYTES, info.file_size):
        raise ValueError("larger than it says")
    return data
