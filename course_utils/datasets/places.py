"""Where data sets may lie on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from course_utils.errors import CourseError
from course_utils.tree import find_tree


def cache_folder() -> Path:
    """The folder that downloads go to: ``$COURSE_DATA`` if it can be written to, else the user's cache."""
    import platformdirs

    named = os.environ.get("COURSE_DATA")
    if named and os.access(named, os.W_OK):
        return Path(named)
    return Path(platformdirs.user_cache_dir("latent-space-course", appauthor=False))


def candidates() -> list[Path]:
    """The folders to look in, in order: ``$COURSE_DATA``, ``data/`` of the course folder, the user's cache."""
    folders = []
    if named := os.environ.get("COURSE_DATA"):
        if not Path(named).is_dir():
            raise CourseError(f"COURSE_DATA is {named!r}, which is not a folder. Correct it, or unset it.")
        folders.append(Path(named))
    try:
        folders.append(find_tree().root / "data")
    except CourseError:
        pass
    folders.append(cache_folder())
    return folders
