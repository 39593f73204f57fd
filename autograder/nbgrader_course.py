"""nbgrader, driven as a library on one course tree, with the same configuration as its own commands."""

from __future__ import annotations

import io
import logging
import os
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jupyter_core.paths import jupyter_config_path
from nbgrader.api import Gradebook
from nbgrader.apps import NbGrader
from nbgrader.converters.base import BaseConverter, NbGraderException
from nbgrader.coursedir import CourseDirectory
from sqlalchemy.exc import DatabaseError, SAWarning
from traitlets.config import Application, Config

from course_utils.checks import CHECKS, own_sources
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

DATABASE = "COURSE_DB"  # environment variable: URL of the gradebook, instead of the configured one
_LOCKED = (
    "the gradebook is locked: another `course grade`, formgrader or a database browser is writing to it. "
    "End that, or wait, and run this again: it goes on where it stopped."
)


class NbGraderCourse:
    """nbgrader configured by the tree's nbgrader_config.py; its log is kept instead of printed, unless debugging."""

    def __init__(self, tree: Tree, debug: bool = False) -> None:
        self.tree = tree
        _put_scripts_on_path()
        warnings.filterwarnings("ignore", category=SAWarning, module="nbgrader")
        self.app = NbGrader(raise_config_file_errors=True)
        self._log = io.StringIO()
        self.app.log.handlers = [logging.StreamHandler(self._log)] + ([logging.StreamHandler()] if debug else [])
        self.app.log.propagate = False
        self.app.log.setLevel(logging.INFO)
        # As nbgrader's own commands do, but never from the current folder, which may be another course tree.
        Application.load_config_file(self.app, "nbgrader_config", path=[str(tree.root), *jupyter_config_path()])
        if os.environ.get(DATABASE):
            self.app.update_config(Config({"CourseDirectory": {"db_url": os.environ[DATABASE]}}))
        CHECKS.use(own_sources(tree.root))
        if not tree.is_kit:
            from . import configuration  # which reads all of nbgrader

            configuration.check(self.app.config, tree.root)

    def directory(self, **overrides: Any) -> CourseDirectory:
        """nbgrader's idea of the tree, with some of its settings replaced."""
        return CourseDirectory(parent=self.app, **overrides)

    def has_gradebook(self) -> bool:
        """Whether there is a gradebook already: opening one makes it."""
        url = self.directory().db_url
        return not url.startswith("sqlite:///") or os.path.exists(url.removeprefix("sqlite:///"))

    @contextmanager
    def gradebook(self) -> Iterator[Gradebook]:
        """The open gradebook of the tree."""
        directory = self.directory()
        try:
            with Gradebook(directory.db_url, directory.course_id) as gradebook:
                yield gradebook
        except DatabaseError as error:
            raise CourseError(_refusal(str(error.orig), directory.db_url)) from error

    def convert(
        self,
        converter: type[BaseConverter],
        unit: str,
        student: str | None = None,
        settings: dict[str, Any] | None = None,
        notebooks: list[str] | None = None,
        **overrides: Any,
    ) -> None:
        """Run one of nbgrader's converters on one unit (and student); what is there already is replaced.

        ``settings`` configures the converter, ``overrides`` the course directory; ``notebooks`` are those of the unit
        (default: all that the tree has). Raises CourseError with the last line of whatever went wrong.
        """
        directory = self.directory(assignment_id=unit, **({"student_id": student} if student else {}), **overrides)
        names = notebooks or self.tree.notebooks(unit) or [unit]
        converter = type(converter.__name__, (_OwnNotebooks, converter), {"names": names})
        self._log.seek(0)
        self._log.truncate()
        try:
            converter(coursedir=directory, parent=self.app, force=True, **(settings or {})).start()
        except (NbGraderException, SystemExit) as error:
            cause = self._cause() or str(error)
            if cause.startswith("sqlalchemy.exc."):
                raise CourseError(_refusal(cause, directory.db_url)) from error
            raise CourseError(f"{unit}{f' of {student}' if student else ''}: {cause}") from error

    def _cause(self) -> str:
        """The last exception line of the log: nbgrader logs the traceback and raises something general."""
        lines, causes = self._log.getvalue().splitlines(), []
        for at, line in enumerate(lines):
            if line and not line[0].isspace() and ("Error: " in line or "Exception: " in line):
                more = [] if line.partition(": ")[2].strip() else [each.strip() for each in lines[at + 1 : at + 5]]
                causes.append(" ".join([line.strip(), *filter(None, more)]))
        return causes[-1] if causes else ""


def _refusal(said: str, url: str) -> str:
    """What it means that a database refused, and what to do."""
    if "locked" in said:
        return _LOCKED
    name = url.removeprefix("sqlite:///")
    do = (
        f"Restore {name} from your backup, or move it away and grade again: a new one is made, without marks by hand."
        if name != url
        else "Check the address, and that the database answers."
    )
    return f"the gradebook cannot be used ({' '.join(said.split())[:200]}). {do}"


class _OwnNotebooks:
    """Lets a converter work on the notebooks of the unit by exact name, and on no copies of them: nbgrader takes names
    for patterns, so that a student called ``ann [2]`` would never be found."""

    names: list[str]
    coursedir: Any  # the converter's
    _format_source: Callable[[str, str], str]

    def init_notebooks(self) -> None:
        folder = self._format_source(self.coursedir.assignment_id, self.coursedir.student_id)
        self.assignments = {folder: [os.path.join(folder, f"{name}.ipynb") for name in self.names]}
        self.notebooks: list[str] = []


def _put_scripts_on_path() -> None:
    """nbgrader starts `alembic` by its bare name, which is only found where the environment is activated."""
    scripts = sysconfig.get_path("scripts")
    if scripts not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join(filter(None, [scripts, os.environ.get("PATH")]))
