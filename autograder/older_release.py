"""Which release a submission was made from, and by which cells it is graded.

A unit may be released again in mid-term: a question corrected, points changed, an exercise added, a test repaired. What
follows an older release is graded by that release's cells, and nobody is said to have changed what the instructor did:

points        those of the present release, for everybody
a test        the present one, as long as the exercise above it is the same in both releases (the test was repaired, or
              its points changed); the older one where the exercise itself was changed
a question    as the student had it; its mark scheme is the present one where only that was changed
read-only     as the student had it
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from nbformat import NotebookNode

from course_utils.cli.handin.cells import bare, marks_of

from .template import ANSWER, PROVIDED, SOLUTION, TASK, TEST, Template, TemplateCell, is_check

ADDED = "it came with a later release of the unit than the one that was handed in"


@dataclass(frozen=True)
class Fitting:
    """The template that fits a submission, and what any release has had in each cell, by grade id."""

    template: Template
    known: dict[str, list[TemplateCell]]
    added: frozenset[str]  # grade ids that the student's release did not have


def fit(notebook: NotebookNode, template: Template) -> Fitting:
    """The template for a notebook that was made from the present release or one before."""
    releases = [*template.earlier, template.cells]
    known: dict[str, list[TemplateCell]] = {}
    for cells in releases:
        for cell in cells:
            if cell.grade_id:
                known.setdefault(cell.grade_id, []).append(cell)
    if not template.earlier:
        return Fitting(template, known, frozenset())
    texts = {bare(cell.source) for cell in notebook.cells}
    marks = [marks for cell in notebook.cells if isinstance(marks := marks_of(cell), dict)]
    points = {(str(of.get("grade_id")), _number(of.get("points"))) for of in marks}
    ids = {grade_id for grade_id, _ in points}

    def likeness(at: int) -> tuple[int, int]:
        of = [cell for cell in releases[at] if cell.grade_id]
        same = sum(bare(cell.source) in texts for cell in of if cell.kind not in (SOLUTION, ANSWER))
        same += sum((cell.grade_id, cell.points) in points for cell in of)
        return same - sum(cell.grade_id not in ids for cell in of), at  # of those that fit equally well the latest

    had = {cell.grade_id: cell for cell in releases[max(range(len(releases)), key=likeness)] if cell.grade_id}
    cells = [_combined(cell, had) for cell in _with_exercises(template.cells, had)]
    added = frozenset(cell.grade_id for cell in template.cells if cell.grade_id and cell.grade_id not in had)
    return Fitting(replace(template, cells=cells), known, added)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else -1.0


def _with_exercises(cells: list[TemplateCell], had: dict[str, TemplateCell]) -> Iterator[tuple[TemplateCell, bool]]:
    """Each cell, and whether the exercises above it since the last test were other ones in the student's release."""
    changed, below_a_test = False, False
    for cell in cells:
        if cell.kind == SOLUTION:
            if below_a_test:
                changed = below_a_test = False
            changed |= cell.grade_id in had and bare(had[cell.grade_id].stub) != bare(cell.stub)
        below_a_test |= cell.kind == TEST
        yield cell, changed


def _combined(pair: tuple[TemplateCell, bool], had: dict[str, TemplateCell]) -> TemplateCell:
    """The present cell with what stays of the older one."""
    cell, exercise_changed = pair
    old = had.get(cell.grade_id)
    if not cell.grade_id or old is None or (old.kind, old.cell_type) != (cell.kind, cell.cell_type):
        return cell
    if cell.kind in (SOLUTION, ANSWER):
        return replace(cell, stub=old.stub, defines=list(dict.fromkeys([*old.defines, *cell.defines])))
    if cell.kind == TEST:
        if not exercise_changed:
            return cell
        text = re.sub(r"\bpoints=[\d.]+", f"points={cell.points:g}", old.source) if is_check(old.source) else old.source
        return replace(cell, source=text)
    same = cell.kind == TASK and bare(cell.source) == bare(old.source)
    return cell if same or cell.kind not in (TASK, PROVIDED) else replace(cell, source=old.source)
