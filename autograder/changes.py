"""What an instructor changed while a term was running: each release's graded cells, and a log that the report shows.

``.releases/<unit>.json`` holds the cells of every release that differs from the one before, ``.changes.json`` a line
for each change: when (ISO 8601, UTC), unit, what, why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from course_utils.checks import CHECKS
from course_utils.cli.handin import templates_of
from course_utils.cli.handin.cells import TemplateCell, bare, exercise_name
from course_utils.cli.handin.units import RELEASES, read_releases
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree
from course_utils.system.whole_file import write_whole

from .template import ANSWER, SOLUTION, is_check

LOG = ".changes.json"
_CHECKS = "checks.json"


def note(tree: Tree, unit: str, what: str, why: str = "") -> None:
    """Add a line to the log."""
    entries = [*read_log(tree), {"when": _now(), "unit": unit, "what": what, "why": why}]
    write_whole(tree.root / LOG, json.dumps(entries, indent=1, ensure_ascii=False) + "\n")


def read_log(tree: Tree) -> list[dict[str, str]]:
    """The log, the latest line last. Raises CourseError where it cannot be read."""
    return _read(tree, LOG, [])


def keep_release(tree: Tree, unit: str) -> list[str]:
    """Keep the cells that have just been released, and log how they differ from the release before; returns that."""
    cells = {name: [asdict(cell) for cell in of.cells] for name, of in templates_of(tree, unit).items()}
    before = read_releases(tree, unit)
    if before and before[-1]["cells"] == cells:
        return []
    changes = list(_differences(before[-1]["cells"], cells)) if before else []
    path = tree.root / RELEASES / f"{unit}.json"
    path.parent.mkdir(exist_ok=True)
    write_whole(path, json.dumps([*before, {"when": _now(), "cells": cells}], indent=1, ensure_ascii=False) + "\n")
    for change in changes:
        note(tree, unit, f"released again: {change}")
    return changes


def note_checks(tree: Tree, unit: str) -> None:
    """Log the checks of a unit that are not what they were when it was graded last: everybody is graded again."""
    known: dict[str, str] = _read(tree, f"{RELEASES}/{_CHECKS}", {})
    now = {
        name: hashlib.sha256(CHECKS.source(name).encode()).hexdigest()
        for template in templates_of(tree, unit).values()
        for cell in template.cells
        if is_check(cell.source) and (name := exercise_name(cell.grade_id)) in CHECKS
    }
    for name, digest in now.items():
        if known.get(name, digest) != digest:
            note(tree, unit, f"the check of {name} was changed; what was graded before is graded again")
    if known | now != known:
        (tree.root / RELEASES).mkdir(exist_ok=True)
        write_whole(tree.root / RELEASES / _CHECKS, json.dumps(known | now, indent=1, sort_keys=True) + "\n")


def _differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """What is not as it was, a phrase for each cell and kind of change."""
    old, new = (
        {
            (name, cell["grade_id"]): TemplateCell(**cell)
            for name, of in cells.items()
            for cell in of
            if cell["grade_id"]
        }
        for cells in (before, now)
    )
    for key, cell in new.items():
        was = old.get(key)
        if was is None:
            yield f"{cell.grade_id} was added"
            continue
        if was.points != cell.points:
            yield f"points of {cell.grade_id}: {was.points:g} before, now {cell.points:g}"
        if cell.kind in (SOLUTION, ANSWER):
            if bare(was.stub) != bare(cell.stub):
                yield f"what stands in {cell.grade_id} to begin with"
        elif not is_check(cell.source) and was.source != cell.source:
            yield f"the text of {cell.grade_id}"
    yield from (f"{grade_id} was taken out" for name, grade_id in old if (name, grade_id) not in new)
    given = [
        [cell["source"] for of in cells.values() for cell in of if not cell["grade_id"]] for cells in (before, now)
    ]
    if given[0]:  # releases of earlier versions kept graded cells alone
        yield from _other_texts(*given)


def _other_texts(before: list[str], now: list[str]) -> Iterator[str]:
    """The cells without points that are not as they were, by their first words."""
    changed = [text for text in now if text not in before]
    gone = [text for text in before if text not in now]
    for verb, texts in (("the text of", changed), ("taken out:", gone[len(changed) :])):
        for text in texts:
            words = " ".join(text.split())
            yield f"{verb} the cell that begins with: {words[:60]}{'...' if len(words) > 60 else ''}"


def _read(tree: Tree, name: str, otherwise: Any) -> Any:
    try:
        return json.loads((tree.root / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return otherwise
    except (OSError, ValueError) as error:
        raise CourseError(f"{name} cannot be read ({error}). Restore it from your backup, or remove it.") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
