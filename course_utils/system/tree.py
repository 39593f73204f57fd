"""Where the course lies on this machine, and which units it has.

A *course tree* is a folder with ``nbgrader_config.py`` in it: the instructor's checkout, a student kit (which also has
``kit.json``) or the folder of ``course demo``.
"""

from __future__ import annotations

import ast
import difflib
import json
import os
import re
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from . import course_file
from .course_file import CourseFile
from .errors import CourseError, WrongUsage

MARKER = "nbgrader_config.py"
KIT_MARKER = "kit.json"
UNIT_NAME = re.compile(r"\d\d_\w+")  # of the course's own units, and of all units in a kit
FOLDERS = {  # by the words of nbgrader's settings, c.CourseDirectory.source_directory and so on
    "source": "notebooks",
    "release": "release",
    "submitted": "submitted",
    "autograded": "autograded",
    "feedback": "feedback",
    "solution": "solutions",
}
named_root: ContextVar[Path | None] = ContextVar("named_root", default=None)  # by --root of the command that runs
_NO_PART = re.compile(r"\..*|.*-Copy\d*|Untitled\d*|Copy of .*", re.S)  # what JupyterLab and Colab make by themselves


@dataclass(frozen=True)
class Tree:
    """A course tree: its root folder, and what follows from it."""

    root: Path

    @property
    def is_kit(self) -> bool:
        """True in a student kit, False where the sources with solutions are."""
        return (self.root / KIT_MARKER).is_file()

    def folder(self, step: str) -> Path:
        """Where what belongs to a step lies, one of ``FOLDERS``: under the name that nbgrader_config.py gives it."""
        return self.root / self.folder_name(step)

    def folder_name(self, step: str) -> str:
        """The name of a step's folder; in a student kit the usual one."""
        path = self.root / MARKER
        own = {} if self.is_kit or not path.is_file() else _named_folders(path, path.stat().st_mtime_ns)
        return own.get(step, FOLDERS[step])

    @property
    def source(self) -> Path:
        """The notebooks that are edited here: sources for an instructor, work in progress for a student."""
        return self.folder("source")

    @property
    def student_notebooks(self) -> Path:
        """Where a student's notebooks are: ``notebooks/`` in a kit, ``release/`` in a checkout."""
        return self.source if self.is_kit else self.folder("release")

    def shown(self, path: Path) -> str:
        """How a path is printed: from the course's folder on, where it lies in it."""
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    def typed(self, command: str) -> str:
        """How a reader types one of our commands: with the script that starts the kit, where that is what there is."""
        script = "start.bat" if os.name == "nt" else "start.sh"
        if not self.is_kit or not (self.root / script).is_file():
            return f"course {command}"
        return f"{'' if os.name == 'nt' else 'sh '}{script} {command}"

    @property
    def about(self) -> CourseFile:
        """What the course says of itself in course.toml, if it is an instructor's own."""
        return course_file.read(self.root)

    def units(self) -> list[str]:
        """Names of the units, in order: that of course.toml, then that of their names."""
        order = {unit: place for place, unit in enumerate(self.about.units)}
        return sorted(self._units(), key=lambda unit: (order.get(unit, len(order)), unit))

    def _units(self) -> list[str]:
        if not self.source.is_dir():
            return []
        names = [folder.name for folder in self.source.iterdir() if folder.is_dir() and folder.name[0] not in "._"]
        if self.is_kit:  # where students may have folders of their own
            known = self._units_of_kit()
            return [
                name
                for name in names
                if (UNIT_NAME.fullmatch(name) and notebook_path(self.source, name).is_file()) or name in known
            ]
        return [name for name in names if self.notebooks(name)]

    def _units_of_kit(self) -> list[str]:
        try:
            return list(json.loads((self.root / KIT_MARKER).read_text(encoding="utf-8")).get("units", {}))
        except (OSError, ValueError, AttributeError):
            return []

    def notebooks(self, unit: str) -> list[str]:
        """The notebooks of a unit by name, without the ending; the one that has the unit's name comes first.

        Copies that JupyterLab made are no part of a unit.
        """
        stems = [path.stem for path in (self.source / unit).glob("*.ipynb") if path.is_file()]
        return sorted((stem for stem in stems if not _NO_PART.fullmatch(stem)), key=lambda stem: (stem != unit, stem))

    def notebook(self, unit: str) -> str:
        """The unit's notebook, or the first of several."""
        return next(iter(self.notebooks(unit)), unit)

    def unit(self, given: str) -> str:
        """The unit that ``given`` names: in full (``02_variational_autoencoders``) or by number (``02``, ``2``)."""
        units = self.units()
        name = given.strip().rstrip("/\\")
        if name in units:
            return name
        if name.isdecimal():
            numbered = [unit for unit in units if unit_number(unit) == int(name)]
            if len(numbered) > 1:
                raise WrongUsage(f"several units have the number {name}: {', '.join(numbered)}. Name one in full.")
            if numbered:
                return numbered[0]
        if not units:
            raise CourseError(f"no units found: {self.source} holds no notebooks. Run this inside the course folder.")
        near = difflib.get_close_matches(name, units, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise WrongUsage(f"there is no unit {given!r}.{hint} Units: {', '.join(units)} (or just the number).")


@lru_cache(maxsize=64)
def _named_folders(config: Path, changed: int) -> dict[str, str]:
    """The folders that a configuration names in plain words, without running it: commands that need no nbgrader know
    them, too. Names that are made in another way are refused where nbgrader is used."""
    try:
        body = ast.parse(config.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return {}
    found = {}
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for target in map(ast.unparse, node.targets):
                step = target.removeprefix("c.CourseDirectory.").removesuffix("_directory")
                if step in FOLDERS and target == f"c.CourseDirectory.{step}_directory":
                    found[step] = node.value.value
    return found


def notebook_path(folder: Path, unit: str, notebook: str = "") -> Path:
    """Where a unit's notebook lies below ``folder``; of several the one named."""
    return folder / unit / f"{notebook or unit}.ipynb"


def unit_number(unit: str) -> int | None:
    """The number with which a unit's name begins; None where it begins with none."""
    found = re.match(r"\d+", unit)
    return int(found[0]) if found else None


def find_tree(start: Path | None = None) -> Tree:
    """The course tree around ``start``, else the one this package belongs to. Without ``start``: the one that the
    command was given with ``--root``, or that around the current folder."""
    if start is None and (root := named_root.get()) is not None:
        return Tree(root)
    here = (start or Path.cwd()).resolve()
    installed_from = Path(__file__).resolve().parents[2]
    for folder in (here, *here.parents, installed_from):
        if (folder / MARKER).is_file():
            return Tree(folder)
    raise CourseError(
        f"no course found in {here} or above it. Change into the course folder (the one with {MARKER}), or name it "
        "with --root."
    )


def chosen_tree(root: Path | None) -> Tree:
    """The course tree that a command works on: ``root``, else that around the current folder, else the one that this
    package belongs to; the last is said on standard error, for nothing else shows it."""
    if root is not None:
        return tree_at(root)
    tree = find_tree()
    if not Path.cwd().resolve().is_relative_to(tree.root):
        print(f"course: working on {tree.root}; there is no course around this folder.", file=sys.stderr)
    return tree


def tree_at(root: Path) -> Tree:
    """The course tree whose root the user named with ``--root``."""
    folder = root.expanduser().resolve()
    if not (folder / MARKER).is_file():
        raise WrongUsage(f"{folder} is not a course folder: it has no {MARKER}.")
    return Tree(folder)
