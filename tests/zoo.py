"""A small folder in AwA2's layout, and the same as an archive: toy animals, a few of each kind."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

TOP = "Animals_with_Attributes2"
PER_CLASS = 2


def make(folder: Path) -> Path:
    """80 photographs of 40 kinds below ``folder``; returns ``Animals_with_Attributes2``."""
    from course_utils.datasets import toy_animals

    return toy_animals.write(folder, size=32, per_class=PER_CLASS)


def files(root: Path) -> dict[str, bytes]:
    """All files below ``root``, by their names in an archive."""
    return {
        f"{TOP}/{path.relative_to(root).as_posix()}": path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def packed(contents: dict[str, bytes]) -> bytes:
    """A zip archive in memory."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return stream.getvalue()
