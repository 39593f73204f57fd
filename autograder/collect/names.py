"""Names of files: what may be one on every system, and what is no submission at all."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from course_utils.cli.handin import readable_name

_JUNK_FILES = {"thumbs.db", "desktop.ini", "ehthumbs.db"}
_JUNK_FOLDERS = {"__macosx", ".ipynb_checkpoints", "__pycache__", ".git", ".fseventsd", ".spotlight-v100", ".trashes"}
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}  # on Windows
# What nbgrader, Python or this course would read for the instructor's if it lay beside a notebook.
_MEANT_FOR_THE_GRADER = {
    "timestamp.txt",
    "submission_secret.txt",
    "nbgrader_config.py",
    "sitecustomize.py",
    "usercustomize.py",
    "conftest.py",
    "roster.json",
    "grading-seeds.json",
    "kit.json",
    "gradebook.db",
    "grades.csv",
    "grades.json",
    "pyvenv.cfg",
}
_PACKAGES = {"course_utils", "autograder", "nbgrader"}
_MOST_CHARACTERS, _MOST_BYTES = 80, 180


def safe_name(text: str) -> str:
    """A name as the name of a folder: no separators, nothing hidden, none that Windows reserves, not too long, in one
    Unicode form; may be empty."""
    text = unicodedata.normalize("NFC", readable_name(text.replace("\0", " ")))
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff/\\:*?\"<>|]+", " ", text)
    text = " ".join(text.split()).lstrip(".~ ").strip(". ")[:_MOST_CHARACTERS]
    text = text.encode()[:_MOST_BYTES].decode(errors="ignore").strip(". ")
    return f"{text}_" if text.split(".")[0].strip().lower() in _RESERVED else text


def safe_file_name(text: str) -> str:
    """The name of a file, made safe as ``safe_name`` does; the ending stays, however long the name is."""
    stem, dot, ending = text.rpartition(".")
    if not dot or not stem or len(ending) > 12:
        return safe_name(text) or "file"
    return f"{safe_name(stem)[:60] or 'file'}.{safe_name(ending)}"


def folded(text: str) -> str:
    """Equal for names that a file system may take for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold())


def is_junk(path: PurePosixPath) -> bool:
    """What systems and Jupyter leave in folders and archives, and nobody has handed in."""
    *folders, name = [part.lower() for part in path.parts] or [""]
    if name.startswith("._") or name in _JUNK_FILES or name.startswith((".ds_store", "icon\r")):
        return True
    return any(folder in _JUNK_FOLDERS for folder in folders)


def is_meant_for_the_grader(path: PurePosixPath) -> bool:
    """What would mean something to whoever grades: only the platform and the instructor may say it."""
    name = folded(path.name).strip(". ")
    return (
        path.name.startswith(".")
        or name in _MEANT_FOR_THE_GRADER
        or name.endswith((".pth", "_config.py", "_config.json"))
        or any(folded(part).removesuffix(".py") in _PACKAGES for part in path.parts)
    )
