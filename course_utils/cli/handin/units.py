"""What the units of this course have in them, read from a student kit's kit.json or from the sources."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import KIT_MARKER, Tree, notebook_path

from .cells import PROVIDED, Template, TemplateCell, graded_cells


def read_source(tree: Tree, unit: str) -> Any:
    """The source notebook of a unit."""
    import nbformat

    path = notebook_path(tree.source, unit)
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        kind = type(error).__name__
        raise CourseError(f"{path} is not a readable notebook ({kind}). Restore it from git.") from error


def course_cells(tree: Tree) -> dict[str, dict[str, float]]:
    """Graded cells and their points for every unit, as released."""
    if tree.is_kit:
        return _kit_facts(tree)["units"]
    units = {}
    for unit in tree.units():
        try:
            units[unit] = graded_cells(read_source(tree, unit))
        except CourseError:  # this unit cannot be told apart then; the others still can
            continue
    return units


def template_of(tree: Tree, unit: str) -> Template:
    """What the unit's notebook must contain."""
    others = {other: list(cells) for other, cells in course_cells(tree).items() if other != unit}
    if tree.is_kit:
        return Template(unit, [TemplateCell(**cell) for cell in _kit_facts(tree)["cells"].get(unit, [])], others)
    return Template.of(unit, read_source(tree, unit), others)


def facts_for_kit(released: dict[str, Any]) -> dict[str, Any]:
    """What kit.json says of the released notebooks, by unit: all that this module answers in a kit.

    Of the provided cells only the text is kept that may stand below a question.
    """
    templates = {unit: Template.of(unit, notebook) for unit, notebook in released.items()}
    return {
        "units": {unit: graded_cells(notebook) for unit, notebook in released.items()},
        "cells": {
            unit: [asdict(cell) for cell in template.cells if cell.kind != PROVIDED or cell.cell_type != "code"]
            for unit, template in templates.items()
        },
    }


def require_graded(tree: Tree, unit: str) -> None:
    """Raise WrongUsage when nothing in ``unit`` is graded, as in the scoreboard."""
    if not is_graded(tree, unit):
        raise WrongUsage(f"{unit} is not graded: there is nothing to hand in or to mark.")


def is_graded(tree: Tree, unit: str) -> bool:
    """Whether ``unit`` has graded cells; one whose notebook cannot be read counts as graded: its use will say so."""
    return course_cells(tree).get(unit) != {}


def _kit_facts(tree: Tree) -> dict[str, Any]:
    return json.loads((tree.root / KIT_MARKER).read_text(encoding="utf-8"))
