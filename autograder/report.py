"""The page about a graded class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from nbformat import NotebookNode

from course_utils.cli.handin import exercise_name
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree, notebook_path
from course_utils.system.whole_file import write_whole

from .beliefs import Shown, class_beliefs
from .changes import read_log
from .examiner.settings import RECORD
from .gradebook import read_graded
from .grades_file import MISSING, REPAIRED, TROUBLE, UNREADABLE, Grade, present_grades
from .release import read_source
from .safe_html import render_page
from .similar import similar_pairs
from .summary import Cell, Place, Table, summarise

_SLOWEST, _MOST_PAIRS = 10, 50


def write_report(tree: Tree, path: Path, units: list[str] | None = None, title: str = "Class report") -> Path:
    """Write the page about the graded units; returns its path. Raises CourseError when nothing is graded."""
    grades = [grade for grade in present_grades(tree.root) if units is None or grade.unit in units]
    if not grades:
        raise CourseError("nothing is graded yet. Run `course grade UNIT` first.")
    notebooks = {unit: _graded_notebooks(tree, unit, grades) for unit in sorted({grade.unit for grade in grades})}
    beliefs = class_beliefs(tree, {unit: sorted({g.student for g in grades if g.unit == unit}) for unit in notebooks})
    given = {unit: _given_text(tree, unit) for unit in notebooks}
    changes = [entry for entry in read_log(tree) if entry["unit"] in notebooks]
    write_whole(path, report_page(grades, notebooks, given, title, beliefs, changes))
    return path


def report_page(
    grades: list[Grade],
    notebooks: dict[str, dict[str, NotebookNode]],
    given: dict[str, str],
    title: str,
    beliefs: Sequence[Shown] = (),
    changes: Sequence[dict[str, str]] = (),
) -> str:
    """The page as HTML: no script, nothing loaded from elsewhere, everything that students wrote escaped."""
    pairs = {unit: similar_pairs(of, given.get(unit, "")) for unit, of in notebooks.items()}
    return render_page(
        "report.html.j2",
        title=title,
        isolation=_isolation(notebooks),
        summary=summarise(grades, _explained(grades, notebooks)),
        beliefs=beliefs,
        made=f"Made on {datetime.now():%d %B %Y, %H:%M}.",
        misconceptions=_by_misconception(notebooks),
        tables=[*([_changes(changes)] if changes else []), _trouble(grades), _repairs(notebooks), _slowest(notebooks)],
        alike=[(unit, pair) for unit, found in pairs.items() for pair in found[:_MOST_PAIRS]],
    )


def _graded_notebooks(tree: Tree, unit: str, grades: list[Grade]) -> dict[str, NotebookNode]:
    students = sorted(
        {grade.student for grade in grades if grade.unit == unit and grade.status not in (MISSING, UNREADABLE)}
    )
    found = {student: _graded_notebook(tree, unit, student) for student in students}
    return {student: notebook for student, notebook in found.items() if notebook is not None}


def _graded_notebook(tree: Tree, unit: str, student: str) -> NotebookNode | None:
    """What was graded of a student: of several notebooks the cells of all, and what was noted of each."""
    found = [read_graded(tree.root, unit, student, name) for name in tree.notebooks(unit) or [unit]]
    notebooks = [notebook for notebook in found if notebook is not None]
    for other in notebooks[1:]:
        record, more = notebooks[0].metadata.setdefault(RECORD, {}), other.metadata.get(RECORD, {})
        record["repairs"] = [*record.get("repairs", []), *more.get("repairs", [])]
        record["seconds"] = (record.get("seconds") or 0) + (more.get("seconds") or 0)
        notebooks[0].cells += other.cells
    return notebooks[0] if notebooks else None


def _given_text(tree: Tree, unit: str) -> str:
    """What everybody was given: the text of the released cells."""
    import nbformat

    texts: list[str] = []
    for name in tree.notebooks(unit) or [unit]:
        path = notebook_path(tree.folder("release"), unit, name)
        if path.is_file():
            texts += [cell.source for cell in nbformat.read(path, as_version=4).cells]
        else:
            texts += [cell.source for cell in read_source(tree, unit, name).cells if "nbgrader" not in cell.metadata]
    return "\n\n".join(texts)


def _isolation(notebooks: dict[str, dict[str, NotebookNode]]) -> str:
    levels = Counter(
        nb.metadata.get(RECORD, {}).get("level") or "not recorded" for of in notebooks.values() for nb in of.values()
    )
    words = {
        "none": "NOT isolated (--unsafe)",
        "namespaces": "isolated by namespaces",
        "landlock": "isolated by Landlock",
    }
    return (
        "Submissions were run: "
        + "; ".join(f"{count} {words.get(level, level)}" for level, count in levels.items())
        + "."
    )


def _misconceptions(notebooks: dict[str, dict[str, NotebookNode]]) -> Iterator[tuple[Place, str]]:
    """Every cause that a law named, and where; that nothing was written is none."""
    for unit, of in notebooks.items():
        for student, notebook in of.items():
            for cell in notebook.cells:
                for law in cell.metadata.get(RECORD, {}).get("laws", []):
                    if law.get("cause_id") and law["cause_id"] != "not_written":
                        yield (unit, student, exercise_name(cell.metadata.nbgrader.grade_id)), law["cause"]


def _explained(grades: list[Grade], notebooks: dict[str, dict[str, NotebookNode]]) -> set[Place]:
    """Where lost points are explained by a cause, which stands among the misconceptions."""
    decided = {(grade.unit, grade.student, grade.exercise) for grade in grades if grade.score is not None}
    return decided & {place for place, _ in _misconceptions(notebooks)}


def _by_misconception(notebooks: dict[str, dict[str, NotebookNode]]) -> Table:
    """By the causes that the laws named, each counted once per student."""
    held: dict[tuple[str, str], set[str]] = defaultdict(set)
    for (_, student, exercise), cause in _misconceptions(notebooks):
        held[exercise, cause].add(student)
    rows = [
        [str(len(who)), exercise, cause, ", ".join(sorted(who)[:8]) + (" ..." if len(who) > 8 else "")]
        for (exercise, cause), who in sorted(held.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    return Table("Misconceptions, by number of students", ["students", "exercise", "misconception", "who"], rows)


def _trouble(grades: list[Grade]) -> Table:
    """One row for what befell a student in a unit, however many exercises it took."""
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for grade in grades:
        if grade.status in TROUBLE:
            found[grade.student, grade.unit, grade.status, grade.reason].append(grade.exercise)
    rows: list[list[str | Cell]] = [
        [student, unit, exercises[0] if len(exercises) == 1 else f"{len(exercises)} exercises", status, reason]
        for (student, unit, status, reason), exercises in found.items()
    ]
    return Table("Timed out, crashed, unreadable or missing", ["student", "unit", "exercise", "status", "reason"], rows)


def _changes(changes: Sequence[dict[str, str]]) -> Table:
    rows = [[entry["when"][:16].replace("T", " "), entry["unit"], entry["what"], entry["why"]] for entry in changes]
    return Table("What was changed during the term (UTC)", ["when", "unit", "what", "why"], rows)


def _repairs(notebooks: dict[str, dict[str, NotebookNode]]) -> Table:
    rows = [
        [student, unit, str(note)]
        for unit, of in notebooks.items()
        for student, notebook in of.items()
        for note in notebook.metadata.get(RECORD, {}).get("repairs", [])
    ]
    return Table(f"Repairs (rows have the status {REPAIRED})", ["student", "unit", "what"], rows)


def _slowest(notebooks: dict[str, dict[str, NotebookNode]]) -> Table:
    times = [
        (nb.metadata.get(RECORD, {}).get("seconds") or 0, student, unit)
        for unit, of in notebooks.items()
        for student, nb in of.items()
    ]
    rows = [[f"{seconds:.1f} s", student, unit] for seconds, student, unit in sorted(times, reverse=True)[:_SLOWEST]]
    return Table("Slowest submissions", ["time", "student", "unit"], rows)
