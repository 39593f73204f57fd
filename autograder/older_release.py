"""Which release a submission was made from, and by which cells it is graded.

A unit may be released again in mid-term: a question corrected, points changed, an exercise added, a test repaired. What
follows an older release is graded by that release's cells, and nobody is said to have changed what the instructor did:

points        those of the present release, for everybody
a test        the present one, as long as the exercise above it is the same in both releases (the test was repaired, or
              its points changed); the older one where the exercise itself was changed: its code, or a release changed
              the words in it together with the test (words alone are a typo that was corrected)
a question    as the student had it; its mark scheme is the present one where only that was changed
read-only     as the student had it
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from itertools import pairwise

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

    lines = {line.strip() for cell in notebook.cells for line in cell.source.splitlines()}

    def likeness(at: int) -> tuple[int, int, int]:
        of = [cell for cell in releases[at] if cell.grade_id]
        same = sum(bare(cell.source) in texts for cell in of if cell.kind not in (SOLUTION, ANSWER))
        same += sum((cell.grade_id, cell.points) in points for cell in of)
        gone = sum(line.strip() not in lines for cell in of if cell.kind == SOLUTION for line in cell.stub.splitlines())
        # Where cells do not tell, what is left of the stubs does; of those that fit equally well it is the latest.
        return same - sum(cell.grade_id not in ids for cell in of), -gone, at

    since = releases[max(range(len(releases)), key=likeness) :]
    had = {cell.grade_id: cell for cell in since[0] if cell.grade_id}
    others = {test for before, now in pairwise(since) for test in _other_exercises(before, now)}
    cells = [_combined(cell, had, cell.grade_id in others) for cell in template.cells]
    added = frozenset(cell.grade_id for cell in template.cells if cell.grade_id and cell.grade_id not in had)
    return Fitting(replace(template, cells=cells), known, added)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else -1.0


def _other_exercises(before: list[TemplateCell], now: list[TemplateCell]) -> set[str]:
    """The tests above which an exercise became another one from one release to the next."""
    had = {cell.grade_id: cell for cell in before if cell.grade_id}
    others: set[str] = set()
    above: list[tuple[TemplateCell, TemplateCell]] = []  # the exercises since the last test, as they were and are
    below_a_test = False
    for cell in now:
        old = had.get(cell.grade_id)
        if cell.kind == SOLUTION:
            above, below_a_test = ([] if below_a_test else above), False
            above += [(old, cell)] if cell.grade_id and old is not None else []
        elif cell.kind == TEST:
            below_a_test = True
            test_changed = old is not None and _with_points(old, 0) != _with_points(cell, 0)
            if any(
                _code(was.stub) != _code(is_now.stub) or (test_changed and bare(was.stub) != bare(is_now.stub))
                for was, is_now in above
            ):
                others.add(cell.grade_id)
    return others


def _code(stub: str) -> str:
    """What a stub says to Python: without comments and docstrings."""
    try:
        tree = ast.parse(stub)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return bare(stub)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0] = ast.Pass()
    return ast.dump(tree)


def _with_points(cell: TemplateCell, points: float) -> str:
    """A test with other points in the call of its check."""
    return re.sub(r"\bpoints=[\d.]+", f"points={points:g}", cell.source) if is_check(cell.source) else cell.source


def _combined(cell: TemplateCell, had: dict[str, TemplateCell], exercise_changed: bool) -> TemplateCell:
    """The present cell with what stays of the older one."""
    old = had.get(cell.grade_id)
    if not cell.grade_id or old is None or (old.kind, old.cell_type) != (cell.kind, cell.cell_type):
        return cell
    if cell.kind in (SOLUTION, ANSWER):
        return replace(cell, stub=old.stub, defines=list(dict.fromkeys([*old.defines, *cell.defines])))
    if cell.kind == TEST:
        return replace(cell, source=_with_points(old, cell.points)) if exercise_changed else cell
    same = cell.kind == TASK and bare(cell.source) == bare(old.source)
    return cell if same or cell.kind not in (TASK, PROVIDED) else replace(cell, source=old.source)
