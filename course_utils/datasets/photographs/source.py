"""Where photographs come from: a zip archive, read as it is, or a folder.

The layout is that of Animals with Attributes 2: ``JPEGImages/<class>/<class>_1NNNN.jpg``, and text files beside
``JPEGImages``. Nothing is ever unpacked, so that a name in an archive can lead nowhere.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from course_utils.datasets.kinds import kind_of
from course_utils.system.errors import CourseError

IMAGES = "JPEGImages"
SUFFIXES = (".jpg", ".jpeg")


class Photo(NamedTuple):
    """One photograph: ``name`` is ``<class>/<file>``, the path below ``JPEGImages``."""

    name: str
    num_bytes: int

    @property
    def class_name(self) -> str:
        return self.name.split("/")[0]


class Source(Protocol):
    """An archive or a folder of photographs."""

    path: Path
    photos: tuple[Photo, ...]  # in the order of their names
    folders: frozenset[str]  # the class folders, empty ones too

    def read(self, name: str) -> bytes:
        """The bytes of one photograph; raises OSError, or zipfile.BadZipFile where its checksum does not match."""

    def text(self, file_name: str) -> str | None:
        """A text file beside ``JPEGImages``; None where there is none."""


def open_source(path: Path) -> Source:
    """The photographs in a zip archive, or in a folder that holds (or is) ``JPEGImages``.

    Raises:
        CourseError: there is nothing there; the archive is cut short, is not a zip, or holds names that lead outside.
    """
    if path.is_dir():
        return Folder(path)
    if path.is_file():
        return Archive(path)
    raise CourseError(f"There is no archive or folder {path}. Name AwA2-data.zip, or the folder it was unpacked to.")


class Archive:
    """A zip archive. One process reads from it at a time; each process opens its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip = open_zip(path)
        _refuse_unreadable(self._zip, path)
        names = {info.filename: info.file_size for info in self._zip.infolist() if _matters(info.filename)}
        for name in names:
            _refuse_to_leave(name, path)
        prefixes = sorted(
            {found.group(1) for name in names if (found := re.match(rf"(.*?)(?:^|(?<=/)){IMAGES}/", name))}
        )
        if len(prefixes) > 1:
            raise CourseError(f"{path} holds {len(prefixes)} folders {IMAGES} ({', '.join(prefixes)}); expected one.")
        self._prefix = prefixes[0] if prefixes else _common_folder(names)
        top = f"{self._prefix}{IMAGES}/"
        below = {name.removeprefix(top): size for name, size in names.items() if name.startswith(top)}
        self.photos, self.folders = _sorted_photos(below)

    def read(self, name: str) -> bytes:
        return self._zip.read(f"{self._prefix}{IMAGES}/{name}")

    def text(self, file_name: str) -> str | None:
        try:
            return self._zip.read(self._prefix + file_name).decode("utf-8")
        except KeyError:
            return None
        except zipfile.BadZipFile as error:
            raise CourseError(f"{file_name} in {self.path} is damaged ({error}). Get the archive again.") from None


class Folder:
    """A folder that holds ``JPEGImages``, or ``Animals_with_Attributes2/JPEGImages``, or is ``JPEGImages`` itself."""

    def __init__(self, path: Path) -> None:
        places = [path / IMAGES, *sorted(path.glob(f"*/{IMAGES}")), *([path] if path.name == IMAGES else [])]
        images = next((place for place in places if place.is_dir()), None)
        if images is None:
            raise CourseError(f"{path} holds no folder {IMAGES}. Name AwA2-data.zip, or the folder that it unpacks to.")
        self.path, self._images = path, images
        self.photos, self.folders = _sorted_photos(_below(images))

    def read(self, name: str) -> bytes:
        return (self._images / name).read_bytes()

    def text(self, file_name: str) -> str | None:
        path = self._images.parent / file_name
        return path.read_text(encoding="utf-8") if path.is_file() else None


def open_zip(path: Path) -> zipfile.ZipFile:
    """The archive at ``path``; where it is none, ``CourseError``: it is cut short, or it is another file."""
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        with path.open("rb") as file:
            beginning = file.read(512)
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror or error}).") from None
    size = path.stat().st_size
    if beginning.startswith(b"PK\x03\x04"):
        raise CourseError(
            f"{path} is cut short: it begins like a zip archive, but of its {size:,} bytes the last are not the list "
            "of contents that ends one. Delete it, then get it again with: course data fetch awa2"
        )
    kind = kind_of(beginning)
    raise CourseError(
        f"{path} is not a zip archive: its {size:,} bytes begin with {beginning[:16]!r}"
        f"{f', which is {kind}' if kind else ''}. Expected AwA2-data.zip, or the folder that it unpacks to."
    )


def _refuse_unreadable(archive: zipfile.ZipFile, path: Path) -> None:
    """Members that need a password or a method that Python does not know: told before the first is read."""
    for info in archive.infolist():
        if info.flag_bits & 1:
            raise CourseError(f"{path} is encrypted ({info.filename} needs a password). Unpack it and name the folder.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            raise CourseError(
                f"{path} is packed by method {info.compress_type}, which Python cannot read. Unpack it and name the "
                "folder."
            )


def _refuse_to_leave(name: str, path: Path) -> None:
    if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or re.match(r"[A-Za-z]:", name):
        raise CourseError(
            f"{path} holds the name {name!r}, which leads outside: this is not AwA2's archive. Delete it."
        )


def _matters(name: str) -> bool:
    """False for what macOS adds to an archive that is packed anew."""
    return not name.startswith("__MACOSX/") and not name.endswith(".DS_Store")


def _common_folder(names: Iterable[str]) -> str:
    """``folder/`` where all names begin with it, as in the archive of the text files; else nothing."""
    tops = {name.split("/")[0] for name in names}
    return f"{tops.pop()}/" if len(tops) == 1 and all("/" in name for name in names) else ""


def _below(images: Path) -> dict[str, int]:
    """Names and sizes of the files below ``images``, two levels deep; a folder's name ends with a slash."""
    found: dict[str, int] = {}
    try:
        for folder in (entry for entry in os.scandir(images) if entry.is_dir()):
            found[f"{folder.name}/"] = 0
            found |= {
                f"{folder.name}/{entry.name}": entry.stat().st_size for entry in os.scandir(folder) if entry.is_file()
            }
    except OSError as error:
        raise CourseError(f"{error.filename} cannot be read ({error.strerror}). Check its permissions.") from None
    return found


def _sorted_photos(below: dict[str, int]) -> tuple[tuple[Photo, ...], frozenset[str]]:
    photos = [
        Photo(name, size)
        for name, size in sorted(below.items())
        if name.count("/") == 1 and name.lower().endswith(SUFFIXES) and not name.split("/")[1].startswith(".")
    ]
    return tuple(photos), frozenset(name.split("/")[0] for name in below if "/" in name and not name.startswith("."))
