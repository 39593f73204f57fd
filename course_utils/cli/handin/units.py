"""What the units of this course have in them, read from a student kit's kit.json or from the sources."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from course_utils.system.course_file import NAME as COURSE_FILE
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.stubs import Stubs
from course_utils.system.tree import KIT_MARKER, MARKER, Tree, notebook_path

from .cells import PROVIDED, Template, TemplateCell, graded_cells

RELEASES = ".releases"  # of an instructor's tree: the cells of every release, to grade what follows an older one


def read_source(tree: Tree, unit: str, notebook: str = "", as_it_is: bool = False) -> Any:
    """The source notebook of a unit; of several the one named, else the first.

    Marks of solutions that the configuration names otherwise become the usual ones, unless ``as_it_is``.
    """
    import nbformat

    path = notebook_path(tree.source, unit, notebook or tree.notebook(unit))
    try:
        content = nbformat.read(path, as_version=4)
    except Exception as error:
        kind = type(error).__name__
        raise CourseError(f"{path} is not a readable notebook ({kind}). Restore it from git.") from error
    if not as_it_is and not tree.is_kit:
        stubs = stubs_of(tree)
        for cell in content.cells:
            cell.source = stubs.usual_marks(cell.source)
    return content


def stubs_of(tree: Tree) -> Stubs:
    """What this course releases in the place of solutions, as its nbgrader_config.py says."""
    return Stubs.of(_settings(tree))


def _around(tree: Tree, which: str) -> list[TemplateCell]:
    """The cells of the header or footer that is put around every notebook."""
    import nbformat

    given = _settings(tree).get("IncludeHeaderFooter", {}).get(which)
    if not given:
        return []
    path = tree.root / given
    try:
        return Template.of("", nbformat.read(path, as_version=4), stubs=None).cells
    except Exception as error:
        raise CourseError(
            f"{path} is not a readable notebook ({type(error).__name__}: {error}). Correct it."
        ) from error


def _settings(tree: Tree) -> Any:
    path = tree.root / MARKER
    if not path.is_file():
        return {}
    read_from = (path, tree.root / COURSE_FILE)
    return _settings_in(path, tuple(file.stat().st_mtime_ns if file.is_file() else 0 for file in read_from))


@lru_cache(maxsize=64)
def _settings_in(path: Path, changed: tuple[int, ...]) -> Any:
    from traitlets.config.loader import PyFileConfigLoader

    try:
        return PyFileConfigLoader(path.name, path=str(path.parent)).load_config()
    except Exception as error:
        raise CourseError(f"{path} cannot be read ({type(error).__name__}: {error}). Correct it.") from error


def course_cells(tree: Tree) -> dict[str, dict[str, float]]:
    """Graded cells and their points for every unit, as released."""
    if tree.is_kit:
        return _kit_facts(tree)["units"]
    units: dict[str, dict[str, float]] = {}
    for unit in tree.units():
        for notebook in tree.notebooks(unit):
            try:
                units[unit] = units.get(unit, {}) | graded_cells(read_source(tree, unit, notebook, as_it_is=True))
            except CourseError:  # this unit cannot be told apart then; the others still can
                continue
    return units


def template_of(tree: Tree, unit: str, notebook: str = "") -> Template:
    """What the unit's notebook must contain; of several the one named, else the first."""
    others = {other: list(cells) for other, cells in course_cells(tree).items() if other != unit}
    if tree.is_kit:
        facts = _kit_facts(tree)
        cells = facts.get("notebooks", {}).get(unit, {}).get(notebook) or facts["cells"].get(unit, [])
        return Template(unit, [TemplateCell(**cell) for cell in cells], others, notebook)
    notebook = notebook or tree.notebook(unit)
    for sibling in tree.notebooks(unit):
        if sibling != notebook:
            others[f"{unit}/{sibling}"] = list(graded_cells(read_source(tree, unit, sibling, as_it_is=True)))
    template = Template.of(unit, read_source(tree, unit, notebook), others, notebook, stubs_of(tree))
    cells = [*_around(tree, "header"), *template.cells, *_around(tree, "footer")]
    return replace(template, cells=cells, earlier=[of for of in earlier_cells(tree, unit, notebook) if of != cells])


def earlier_cells(tree: Tree, unit: str, notebook: str) -> list[list[TemplateCell]]:
    """The cells of a notebook in each release that was made of it here, the latest last."""
    return [
        [TemplateCell(**cell) for cell in of["cells"][notebook]]
        for of in read_releases(tree, unit)
        if notebook in of["cells"]
    ]


def read_releases(tree: Tree, unit: str) -> list[dict[str, Any]]:
    """The releases of a unit, the latest last: ``when`` (ISO 8601, UTC) and ``cells`` of each notebook."""
    path = tree.root / RELEASES / f"{unit}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise CourseError(f"{path} cannot be read ({error}). Restore it from your backup.") from error


def templates_of(tree: Tree, unit: str) -> dict[str, Template]:
    """What each notebook of the unit must contain, by its name."""
    return {notebook: template_of(tree, unit, notebook) for notebook in notebooks_of(tree, unit)}


def notebooks_of(tree: Tree, unit: str) -> list[str]:
    """The names of a unit's notebooks; in a kit those that were released, whatever a student has beside them."""
    if tree.is_kit:
        return list(_kit_facts(tree).get("notebooks", {}).get(unit, [])) or [unit]
    return tree.notebooks(unit) or [unit]


def facts_for_kit(released: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What kit.json says of the released notebooks, by unit and name: all that this module answers in a kit.

    Of the provided cells only the text is kept that may stand below a question. ``notebooks`` has the units of several.
    """
    cells = {unit: {name: _kept(unit, notebook) for name, notebook in of.items()} for unit, of in released.items()}
    return {
        "units": {
            unit: {grade_id: points for notebook in of.values() for grade_id, points in graded_cells(notebook).items()}
            for unit, of in released.items()
        },
        "cells": {unit: next(iter(of.values())) for unit, of in cells.items()},
        "notebooks": {unit: of for unit, of in cells.items() if list(of) != [unit]},
    }


def _kept(unit: str, notebook: Any) -> list[dict[str, Any]]:
    cells = Template.of(unit, notebook, stubs=None).cells
    return [asdict(cell) for cell in cells if cell.kind != PROVIDED or cell.grade_id or cell.cell_type != "code"]


def require_graded(tree: Tree, unit: str) -> None:
    """Raise WrongUsage when nothing in ``unit`` is graded, as in the scoreboard."""
    if not is_graded(tree, unit):
        raise WrongUsage(f"{unit} is not graded: there is nothing to hand in or to mark.")


def is_graded(tree: Tree, unit: str) -> bool:
    """Whether ``unit`` has graded cells; one whose notebook cannot be read counts as graded: its use will say so."""
    return course_cells(tree).get(unit) != {}


def _kit_facts(tree: Tree) -> dict[str, Any]:
    return json.loads((tree.root / KIT_MARKER).read_text(encoding="utf-8"))
