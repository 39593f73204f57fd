"""Checks: the laws that each exercise must obey, and the misconceptions that break them.

`engine` runs laws on a candidate and makes a score of what they say; `exercises` holds one module for each exercise;
`shared` what several of them have in common. A module in `exercises` is found by being there; so is one in the folder
`checks/` of an instructor's own course, which is written in the same way and packed into its kit as one of `exercises`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from course_utils.system.errors import CourseError
from course_utils.system.tree import find_tree

from .engine.score import Cause, LawResult, Score

if TYPE_CHECKING:
    from .engine.law import Check

EXERCISES = Path(__file__).parent / "exercises"


OWN = "checks"  # folder of a course of one's own


def own_sources(root: Path) -> dict[str, str]:
    """The checks that the course in ``root`` has beside those of this package, as text, by exercise."""
    paths = sorted((root / OWN).glob("*.py")) if (root / OWN).is_dir() else []
    return {path.stem: path.read_text(encoding="utf-8") for path in paths if not path.stem.startswith("_")}


class _Checks(Mapping[str, "Check"]):
    """The check of each exercise, by its name; its module is imported when it is asked for."""

    def __init__(self) -> None:
        self._names = sorted(path.stem for path in EXERCISES.glob("*.py") if not path.stem.startswith("_"))
        self._own: dict[str, str] | None = None
        self._modules: dict[tuple[str, str], ModuleType] = {}

    @property
    def own(self) -> dict[str, str]:
        """The course's own checks, as text: what `use` was given, else those of the course around this folder."""
        if self._own is None:
            try:
                tree = find_tree()
                self._own = {} if tree.is_kit else own_sources(tree.root)
            except (CourseError, OSError):
                self._own = {}
        return self._own

    def use(self, own: dict[str, str]) -> None:
        """Have these checks beside the package's, and no others. Raises CourseError when a name is taken."""
        if taken := sorted(set(own) & set(self._names)):
            raise CourseError(f"{OWN}/{taken[0]}.py has the name of a check that the course has already. Rename it.")
        self._own = dict(own)

    def source(self, exercise: str) -> str:
        """The text of a check's module."""
        return self.own.get(exercise) or (EXERCISES / f"{exercise}.py").read_text(encoding="utf-8")

    def __getitem__(self, exercise: str) -> Check:
        if exercise in self._names:
            check: Check = import_module(f"{__name__}.exercises.{exercise}").CHECK
        elif exercise in self.own:
            check = self._module(exercise, self.own[exercise]).CHECK
        else:
            raise KeyError(exercise)
        return check

    def _module(self, exercise: str, text: str) -> ModuleType:
        """A check of one's own as a module beside those of the package, so that it may import as they do."""
        if (exercise, text) not in self._modules:
            name = f"{__name__}.exercises.{exercise}"
            specification = spec_from_loader(name, loader=None, origin=f"{OWN}/{exercise}.py")
            assert specification is not None
            module = module_from_spec(specification)
            sys.modules[name] = module
            exec(compile(text, str(EXERCISES / f"{exercise}.py"), "exec"), module.__dict__)  # an error names it so
            self._modules[exercise, text] = module
        return self._modules[exercise, text]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted([*self._names, *self.own]))

    def __contains__(self, exercise: object) -> bool:
        return exercise in self._names or exercise in self.own  # imports nothing

    def __len__(self) -> int:
        return len(self._names) + len(self.own)


CHECKS = _Checks()

__all__ = ["CHECKS", "Cause", "Check", "LawResult", "Score"]


def __getattr__(name: str) -> Any:
    """`Check` at its first use: it imports torch, which whoever asks for names or reads a score does not need."""
    if name != "Check":
        raise AttributeError(name)
    from .engine.law import Check

    return Check
