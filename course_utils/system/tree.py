"""Where the course lies on this machine, and which units it has.

A *course tree* is a folder with ``nbgrader_config.py`` in it: the instructor's checkout, a student kit (which also has
``kit.json``) or the folder of ``course demo``.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import CourseError, WrongUsage

MARKER = "nbgrader_config.py"
KIT_MARKER = "kit.json"
UNIT_NAME = re.compile(r"\d\d_\w+")


@dataclass(frozen=True)
class Tree:
    """A course tree: its root folder, and what follows from it."""

    root: Path

    @property
    def is_kit(self) -> bool:
        """True in a student kit, False where the sources with solutions are."""
        return (self.root / KIT_MARKER).is_file()

    @property
    def source(self) -> Path:
        """The notebooks that are edited here: sources for an instructor, work in progress for a student."""
        return self.root / "notebooks"

    @property
    def student_notebooks(self) -> Path:
        """Where a student's notebooks are: ``notebooks/`` in a kit, ``release/`` in a checkout."""
        return self.source if self.is_kit else self.root / "release"

    def units(self) -> list[str]:
        """Names of the units, in order."""
        if not self.source.is_dir():
            return []
        return sorted(
            folder.name
            for folder in self.source.iterdir()
            if UNIT_NAME.fullmatch(folder.name) and notebook_path(self.source, folder.name).is_file()
        )

    def unit(self, given: str) -> str:
        """The unit that ``given`` names: in full (``02_variational_autoencoders``) or by number (``02``, ``2``)."""
        units = self.units()
        name = given.strip().rstrip("/\\")
        if name in units:
            return name
        if name.isdecimal():
            for unit in units:
                if int(unit[:2]) == int(name):
                    return unit
        if not units:
            raise CourseError(f"no units found: {self.source} holds no notebooks. Run this inside the course folder.")
        near = difflib.get_close_matches(name, units, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise WrongUsage(f"there is no unit {given!r}.{hint} Units: {', '.join(units)} (or just the number).")


def notebook_path(folder: Path, unit: str) -> Path:
    """Where a unit's notebook lies below ``folder``."""
    return folder / unit / f"{unit}.ipynb"


def find_tree(start: Path | None = None) -> Tree:
    """The course tree around ``start`` (default: the current folder), else the one this package belongs to."""
    here = (start or Path.cwd()).resolve()
    installed_from = Path(__file__).resolve().parents[2]
    for folder in (here, *here.parents, installed_from):
        if (folder / MARKER).is_file():
            return Tree(folder)
    raise CourseError(
        f"no course found in {here} or above it. Change into the course folder (the one with {MARKER}), or name it "
        "with --root."
    )


def tree_at(root: Path) -> Tree:
    """The course tree whose root the user named with ``--root``."""
    folder = root.expanduser().resolve()
    if not (folder / MARKER).is_file():
        raise WrongUsage(f"{folder} is not a course folder: it has no {MARKER}.")
    return Tree(folder)
