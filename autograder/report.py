"""The page about a graded class, and tables that learning platforms import."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from html import escape
from pathlib import Path

from nbformat import NotebookNode

from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

from .beliefs import beliefs_section
from .collect import read_roster
from .examiner.settings import RECORD
from .gradebook import read_graded
from .grades_file import CRASHED, MISSING, REPAIRED, TIMED_OUT, UNREADABLE, Grade, number, read_grades
from .release import read_source
from .similar import Pair, similar_pairs
from .summary import class_sections, page, table

_SLOWEST, _MOST_PAIRS = 10, 50


def write_report(tree: Tree, path: Path, units: list[str] | None = None, title: str = "Class report") -> Path:
    """Write the page about the graded units; returns its path. Raises CourseError when nothing is graded."""
    grades = [grade for grade in read_grades(tree.root / "grades.csv") if units is None or grade.unit in units]
    if not grades:
        raise CourseError("nothing is graded yet. Run `course grade UNIT` first.")
    notebooks = {unit: _graded_notebooks(tree, unit, grades) for unit in sorted({grade.unit for grade in grades})}
    beliefs = beliefs_section(tree, {unit: sorted({g.student for g in grades if g.unit == unit}) for unit in notebooks})
    given = {unit: _given_text(tree, unit) for unit in notebooks}
    path.write_text(report_page(grades, notebooks, given, title, beliefs), encoding="utf-8")
    return path


def report_page(
    grades: list[Grade],
    notebooks: dict[str, dict[str, NotebookNode]],
    given: dict[str, str],
    title: str,
    beliefs: str = "",
) -> str:
    """The page as HTML: no script, nothing loaded from elsewhere, everything that students wrote escaped. ``beliefs``
    is a section of its own, made from the submissions."""
    pairs = {unit: similar_pairs(of, given.get(unit, "")) for unit, of in notebooks.items()}
    parts = [
        f"<p>{escape(_isolation(notebooks))}</p>",
        *class_sections(grades),
        beliefs,
        _misconceptions(notebooks),
        _trouble(grades),
        _repairs(notebooks),
        _slowest(notebooks),
        _alike(pairs),
    ]
    return page(title, "\n".join(parts))


def platform_table(tree: Tree, platform: str) -> str:
    """Points of each student and unit as CSV that `canvas` or `moodle` imports."""
    grades, roster = read_grades(tree.root / "grades.csv"), read_roster(tree)
    units = sorted({grade.unit for grade in grades})
    most = {unit: _most(grades, unit) for unit in units}
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\r\n")
    if platform == "canvas":
        writer.writerow(["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *units])
        writer.writerow(["    Points Possible", "", "", "", "", *[number(most[unit]) for unit in units]])
    else:
        writer.writerow(["Full name", "Identifier", *units])
    for student in sorted({grade.student for grade in grades}):
        known = roster.get(student, {})
        points = [_points(grades, student, unit) for unit in units]
        row = (
            [known.get("name", student), known.get("id", "")]
            if platform == "canvas"
            else [known.get("name", student), f"Participant {known['id']}" if known.get("id") else student]
        )
        writer.writerow([_plain(cell) for cell in row] + ([""] * 3 if platform == "canvas" else []) + points)
    return lines.getvalue()


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _most(grades: list[Grade], unit: str) -> float:
    cells = {grade.exercise: grade.max_score for grade in grades if grade.unit == unit}
    return sum(cells.values())


def _points(grades: list[Grade], student: str, unit: str) -> str:
    """The sum, or nothing while something is not known."""
    own = [grade for grade in grades if (grade.student, grade.unit) == (student, unit)]
    return "" if not own or any(grade.score is None for grade in own) else number(sum(grade.score for grade in own))


def _graded_notebooks(tree: Tree, unit: str, grades: list[Grade]) -> dict[str, NotebookNode]:
    students = sorted(
        {grade.student for grade in grades if grade.unit == unit and grade.status not in (MISSING, UNREADABLE)}
    )
    found = {student: read_graded(tree.root, unit, student) for student in students}
    return {student: notebook for student, notebook in found.items() if notebook is not None}


def _given_text(tree: Tree, unit: str) -> str:
    """What everybody was given: the text of the released cells."""
    path = tree.root / "release" / unit / f"{unit}.ipynb"
    if not path.is_file():
        return "\n\n".join(cell.source for cell in read_source(tree, unit).cells if "nbgrader" not in cell.metadata)
    import nbformat

    return "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)


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


def _misconceptions(notebooks: dict[str, dict[str, NotebookNode]]) -> str:
    """By the causes that the laws named, each counted once per student."""
    held: dict[tuple[str, str], set[str]] = defaultdict(set)
    for of in notebooks.values():
        for student, notebook in of.items():
            for cell in notebook.cells:
                for law in cell.metadata.get(RECORD, {}).get("laws", []):
                    if law.get("cause_id") and law["cause_id"] != "not_written":
                        exercise = cell.metadata.nbgrader.grade_id.removeprefix("test_")
                        held[exercise, law["cause"]].add(student)
    rows = [
        [
            str(len(who)),
            escape(exercise),
            escape(cause),
            escape(", ".join(sorted(who)[:8]) + (" ..." if len(who) > 8 else "")),
        ]
        for (exercise, cause), who in sorted(held.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    return table("Misconceptions, by number of students", ["students", "exercise", "misconception", "who"], rows)


def _trouble(grades: list[Grade]) -> str:
    rows = [
        [escape(g.student), escape(g.unit), escape(g.exercise), escape(g.status), escape(g.reason)]
        for g in grades
        if g.status in (TIMED_OUT, CRASHED, UNREADABLE, MISSING)
    ]
    return table("Timed out, crashed, unreadable or missing", ["student", "unit", "exercise", "status", "reason"], rows)


def _repairs(notebooks: dict[str, dict[str, NotebookNode]]) -> str:
    rows = [
        [escape(student), escape(unit), escape(str(note))]
        for unit, of in notebooks.items()
        for student, notebook in of.items()
        for note in notebook.metadata.get(RECORD, {}).get("repairs", [])
    ]
    return table(f"Repairs (rows have the status {REPAIRED})", ["student", "unit", "what"], rows)


def _slowest(notebooks: dict[str, dict[str, NotebookNode]]) -> str:
    times = [
        (nb.metadata.get(RECORD, {}).get("seconds") or 0, student, unit)
        for unit, of in notebooks.items()
        for student, nb in of.items()
    ]
    rows = [
        [f"{seconds:.1f} s", escape(student), escape(unit)]
        for seconds, student, unit in sorted(times, reverse=True)[:_SLOWEST]
    ]
    return table("Slowest submissions", ["time", "student", "unit"], rows)


def _alike(pairs: dict[str, list[Pair]]) -> str:
    """Identical or nearly identical submissions, side by side."""
    shown = []
    for unit, found in pairs.items():
        for pair in found[:_MOST_PAIRS]:
            first, second = (
                f"<div><strong>{escape(name)}</strong><pre>{escape(text)}</pre></div>"
                for name, text in zip((pair.first, pair.second), pair.texts)
            )
            shown.append(
                f"<details><summary>{escape(unit)}, {pair.what}: {escape(pair.first)} and {escape(pair.second)}, "
                f'{pair.share:.0%} the same</summary><div class="beside">{first}{second}</div></details>'
            )
    note = "<p>Short exercises have few right answers: likeness proves nothing, it says where to look.</p>"
    return "<h2>Identical or nearly identical submissions</h2>" + note + ("".join(shown) or "<p>none</p>")
