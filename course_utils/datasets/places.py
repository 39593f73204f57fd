"""Where data sets may lie on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from course_utils.system import settings
from course_utils.system.errors import CourseError
from course_utils.system.tree import find_tree


def user_cache() -> Path:
    """The user's cache folder for this course."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("latent-space-course", appauthor=False))


def cache_folder() -> Path:
    """The folder that downloads go to: ``$COURSE_DATA`` if it can be written to, else the user's cache."""
    named = settings.folder("COURSE_DATA")
    return named if named and os.access(named, os.W_OK) else user_cache()


def candidates() -> list[Path]:
    """The folders to look in, in order: ``$COURSE_DATA``, ``data/`` of the course folder, the user's cache.

    Raises:
        CourseError: ``$COURSE_DATA`` is not a folder.
    """
    folders = []
    if (named := settings.folder("COURSE_DATA")) is not None:
        if not named.is_dir():
            raise CourseError(f"COURSE_DATA is {str(named)!r}, which is not a folder. Correct it, or unset it.")
        folders.append(named)
    try:
        folders.append(find_tree().root / "data")
    except CourseError:
        pass
    return [*folders, user_cache()]
