"""What the commands share: the tree, its units, the database, and how they speak."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from course_utils.cli.handin import is_graded, require_graded, safe_text
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import Tree, chosen_tree, find_tree

if TYPE_CHECKING:
    from ..platforms import Exported


def _complete_units(incomplete: str) -> list[str]:
    """The units of the course around the current folder, for the shell."""
    try:
        return [unit for unit in find_tree().units() if unit.startswith(incomplete)]
    except CourseError:
        return []


Units = Annotated[
    list[str] | None,
    typer.Argument(help="Units, e.g. 01 02; none means all.", show_default=False, autocompletion=_complete_units),
]
Named = Annotated[list[str] | None, typer.Argument(help="Units, e.g. 02.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All units.")]


def use_database(url: str | None) -> None:
    """Make the gradebook at `url` the one that this command uses."""
    if url is None:
        return
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    from ..nbgrader_course import DATABASE

    try:
        make_url(url).get_dialect().import_dbapi()
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        hint = (
            "pip install -c constraints.txt -e '.[cluster]'"
            if url.startswith("postgres")
            else "see sqlalchemy's documentation of database URLs"
        )
        raise WrongUsage(f"--db {url!r} cannot be used ({error}): {hint}.") from None
    os.environ[DATABASE] = url


def instructor_tree(context: typer.Context) -> Tree:
    tree = chosen_tree(context.obj["root"])
    _refuse_foreign(tree)
    if tree.is_kit:
        raise WrongUsage("this is a student kit; grading and releasing need the instructor's checkout.")
    return tree


def _refuse_foreign(tree: Tree) -> None:
    """Raise WrongUsage where a checkout is worked on by the code of another one, which is not the same. Who has asked
    for that code, with PYTHONPATH, means it."""
    import course_utils

    package, own = Path(course_utils.__file__).resolve().parent, (tree.root / "course_utils").resolve()
    asked = [Path(place).resolve() for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    if own.is_dir() and own != package and package.parent not in asked and _code(own) != _code(package):
        raise WrongUsage(
            f"{tree.root} has a course_utils of its own, which differs from that of {package.parent}, whose `course` "
            f"this is. Run {tree.root / 'course'} instead."
        )


def _code(package: Path) -> dict[str, bytes]:
    return {path.relative_to(package).as_posix(): path.read_bytes() for path in package.rglob("*.py")}


def chosen_units(tree: Tree, given: list[str] | None, all_units: bool) -> list[str]:
    if given and all_units:
        raise WrongUsage("name units or use --all, not both.")
    units = [tree.unit(name) for name in given] if given else tree.units()
    if not units:
        raise CourseError(f"{tree.source} holds no units.")
    return list(dict.fromkeys(units))


def require_named(given: list[str] | None, all_units: bool, command: str) -> None:
    if not given and not all_units:
        raise WrongUsage(f"name a unit, or use --all. Example: course {command} 02")


def graded_units(tree: Tree, given: list[str] | None, all_units: bool) -> list[str]:
    """As ``chosen_units``; of all units those in which something is graded. One that is named must be graded."""
    chosen = chosen_units(tree, given, all_units)
    for unit in chosen if given else ():
        require_graded(tree, unit)
    return [unit for unit in chosen if is_graded(tree, unit)]


def require_platform(option: str, platform: str | None) -> None:
    if platform not in (None, "canvas", "moodle"):
        raise WrongUsage(f"{option} {platform!r}: use canvas or moodle.")


def print_exported(exported: Exported, platform: str, tree: Tree) -> None:
    for path in exported.files:
        print(f"For {platform}: {tree.shown(path)}")
    for note in exported.notes:
        warn(f"note: {note}")


def warn(text: str) -> None:
    """One line on standard error, whatever is in the names and reasons."""
    print(f"course: {' '.join(safe_text(text).split())}", file=sys.stderr)
