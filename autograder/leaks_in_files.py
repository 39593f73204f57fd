"""The release gate on files: nothing beside a notebook that goes out holds a solution, whatever its kind."""

from __future__ import annotations

import html
import io
import re
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from nbformat import NotebookNode
from nbgrader import utils

from course_utils.cli.handin import MAX_MEGABYTES, MOST_BYTES
from course_utils.system.stubs import is_blank

from .leaks import HIDDEN_TESTS, MARK_SCHEME, SHORTEST, SOLUTION
from .submissions import MOST_FILES, other_files

_DOCUMENTS = {".pdf", ".doc", ".docx", ".odt", ".rtf", ".pages", ".ppt", ".pptx", ".epub"}  # that are not looked into
_DEEPEST = 3  # archives in archives
_MOST = 50_000_000  # bytes of one file that are looked at


def find_large_files(folder: Path) -> list[str]:
    """Whether what lies beside a unit's notebooks is more than a sandbox is given."""
    left_out = [note for note in other_files(folder)[1] if note.endswith("too much data")]
    most = f"at most {MOST_FILES} files and {MAX_MEGABYTES} MB beside the notebooks are given to a submission"
    return [f"{note.split(' was left out')[0]} is too much: {most}" for note in left_out]


def find_leaks_in_files(sources: dict[str, NotebookNode], folder: Path) -> list[str]:
    """What the files of a released unit give away, one sentence each; ``sources`` are its notebooks by name."""
    secrets = list(_secrets(sources))
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        relative = path.relative_to(folder)
        if relative.suffix == ".ipynb":
            if len(relative.parts) > 1 or relative.stem not in sources:
                found.append(f"{relative.as_posix()} is no notebook of the unit")
            continue
        with path.open("rb") as file:
            data = file.read(_MOST)
        found += _of_file(PurePosixPath(relative.as_posix()), data, secrets, sources)
    return found


def _of_file(
    path: PurePosixPath, data: bytes, secrets: list[tuple[str, list[str]]], sources: dict[str, NotebookNode]
) -> list[str]:
    if path.suffix.lower() in _DOCUMENTS and path.name.split(".")[0] in sources:
        return [f"{path} looks like an export of the notebook, and cannot be looked into"]
    for text in _texts(data):
        for mark in SOLUTION + MARK_SCHEME + HIDDEN_TESTS:
            if mark in text:
                return [f"{path} contains {mark!r}"]
        lines = {line.strip() for line in text.splitlines()}
        for what, telling in secrets:
            if all(line in lines for line in telling):
                return [f"{path} contains the {what}: {telling[0]}"]
    return []


def _secrets(sources: dict[str, NotebookNode]) -> Iterator[tuple[str, list[str]]]:
    """What must not go out, with the lines that tell it."""
    for notebook in sources.values():
        given = {line.strip() for cell in notebook.cells for line in _visible(cell).splitlines()}
        for cell in notebook.cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
            hidden = [line.strip() for line in _confidential(cell).splitlines()]
            telling = [line for line in hidden if len(line) >= SHORTEST and line[0] != "#" and line not in given]
            if telling:
                kind = "solution" if utils.is_solution(cell) else "confidential part"
                yield f"{kind} of {name}", telling


def _confidential(cell: NotebookNode) -> str:
    regions = re.findall(r"(?s)BEGIN (?:SOLUTION|MARK SCHEME|HIDDEN TESTS)[^\n]*\n(.*?)[^\n]*END ", cell.source)
    if regions or not utils.is_solution(cell):
        return "\n".join(regions)
    return "" if is_blank(cell.source) else cell.source


def _visible(cell: NotebookNode) -> str:
    regions = r"(?s)BEGIN (SOLUTION|MARK SCHEME|HIDDEN TESTS).*?END \1"
    return re.sub(regions, "", cell.source) if re.search(regions, cell.source) or not utils.is_solution(cell) else ""


def _texts(data: bytes, depth: int = 0) -> Iterator[str]:
    """The texts that a file holds, in each of the ways in which it may be read."""
    text = data.decode("utf-8", "replace")
    yield text
    if "<" in text and "\0" not in text:
        yield html.unescape(re.sub(r"<[^>]*>", "", text))
    if "\\n" in text and "\0" not in text:
        yield re.sub(r'",?$|^\s*"', "", text.replace("\\n", "\n").replace('\\"', '"'), flags=re.MULTILINE)
    if depth < _DEEPEST:
        for member in _members(data):
            yield from _texts(member, depth + 1)


def _members(data: bytes) -> Iterator[bytes]:
    """The files of an archive."""
    try:
        if zipfile.is_zipfile(io.BytesIO(data)):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for info in archive.infolist():
                    if not info.is_dir() and info.file_size < MOST_BYTES:
                        yield archive.read(info)
        elif data[:2] == b"\x1f\x8b" or data[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(data)) as packed:
                for member in packed:
                    if member.isfile() and member.size < MOST_BYTES and (file := packed.extractfile(member)):
                        yield file.read()
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, tarfile.TarError):
        return
