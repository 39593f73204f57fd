"""The way back: tables and packed pages that learning platforms import, by their documented rules.

Moodle   "Upload grading worksheet" of one assignment finds people by its Identifier, and needs Grade and Last modified
         (grade). "Upload multiple feedback files in a zip" takes <name>_<participant>_assignfeedback_file_<file>,
         but no name that begins with a dot or a tilde.
Canvas   The gradebook's import finds people by ID and assignments by the number in "<name> (<number>)"; an empty cell
         takes a score away. "Upload submissions" of an assignment takes files named as they were exported, by the
         numbers in the name, but none whose last part begins with "link".
"""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from course_utils.cli.handin import exercise_name, safe_text, templates_of
from course_utils.cli.handin.cells import labels_of
from course_utils.system.errors import CourseError
from course_utils.system.spreadsheet import rows_of
from course_utils.system.tree import Tree, unit_number
from course_utils.system.whole_file import whole_zip, write_whole

from .collect import read_roster, safe_name
from .grades_file import MISSING, NEEDS_MARKING, Grade, escape_formula, number, present_grades

CANVAS, MOODLE = PLATFORMS = "canvas", "moodle"
NO_TIME = "-"  # as Moodle writes it
_CANVAS_PEOPLE = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
_WORKSHEET = ["Identifier", "Full name", "Grade", "Maximum grade", "Last modified (grade)", "Feedback comments"]


@dataclass
class Exported:
    """Files for a platform, and what it will not take, with the reason."""

    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """What a student is told of a unit: points after a penalty (None while something is not known), and why."""

    points: float | None
    most: float
    penalty: float
    comments: str
    missing: bool


def write_tables(tree: Tree, platform: str, units: Iterable[str], given: Path | None = None) -> Exported:
    """Write the tables of the graded ``units``: grades-moodle-<unit>.csv for each, or grades-canvas.csv for all.

    ``given`` is what the platform exported (Canvas' gradebook, Moodle's worksheet of the one unit): its people, its
    numbers and the assignments' names are taken over. Raises CourseError.
    """
    grades = present_grades(tree.root)
    graded = [unit for unit in units if any(grade.unit == unit for grade in grades)]
    results = {unit: read_results(tree, unit, grades) for unit in graded}
    exported = Exported()
    if platform == CANVAS:
        path = tree.root / "grades-canvas.csv"
        write_whole(path, canvas_table(tree, results, _rows_of(given), exported.notes))
        exported.files.append(path)
        return exported
    if given is not None and len(graded) != 1:
        raise CourseError("a grading worksheet of Moodle is of one unit: name that unit.")
    for unit in graded:
        path = tree.root / f"grades-moodle-{unit}.csv"
        write_whole(path, moodle_worksheet(tree, unit, results[unit], _rows_of(given), exported.notes))
        exported.files.append(path)
    return exported


def moodle_worksheet(
    tree: Tree, unit: str, results: dict[str, Result], given: list[list[str]] | None, notes: list[str]
) -> str:
    """The offline grading worksheet of a unit's assignment."""
    roster = read_roster(tree)
    rows = []
    for student, result in results.items():
        record = roster.get(student, {})
        said = record.get("units", {}).get(unit, {})
        number_here = said.get("identifier", "") if said.get("platform") == MOODLE else ""
        identifier = f"Participant {number_here}" if number_here else ""
        name = record.get("name", student)
        rows.append((identifier, name, result))
        if not identifier and given is None and not result.missing:
            notes.append(f"{student}: Moodle's number for {unit} is not known, so that Moodle will not find this row")
    if given is not None:
        return _fill_worksheet(given, rows, notes)
    table = [_WORKSHEET]
    for identifier, name, result in rows:
        points = number(result.points)
        table.append([identifier, escape_formula(name), points, number(result.most), NO_TIME, result.comments])
    return _text(table)


def _fill_worksheet(given: list[list[str]], rows: list[tuple[str, str, Result]], notes: list[str]) -> str:
    """Moodle's own worksheet, with grades and comments in it."""
    header, *people = given
    columns = {name: header.index(name) for name in header}
    if not {"Identifier", "Grade", "Last modified (grade)"} <= set(columns):
        raise CourseError(
            "this is no grading worksheet of Moodle: it lacks Identifier, Grade or Last modified (grade)."
        )
    names = [row[columns["Full name"]] for row in people] if "Full name" in columns else []
    for identifier, name, result in rows:
        hits = [row for row in people if identifier and _digits(row[columns["Identifier"]]) == _digits(identifier)]
        if not hits and not identifier and names.count(name) == 1:
            hits = [row for row in people if row[columns["Full name"]] == name]
        if len(hits) != 1:
            notes.append(f"{name}: not in the worksheet") if not result.missing else None
            continue
        if result.points is not None:
            hits[0][columns["Grade"]] = number(result.points)
        if "Feedback comments" in columns:
            hits[0][columns["Feedback comments"]] = result.comments
    return _text([header, *people])


def _digits(identifier: str) -> str:
    """The number at the end: what stands before it is in the language of the site."""
    return identifier[len(identifier.rstrip("0123456789")) :]


def canvas_table(
    tree: Tree, results: dict[str, dict[str, Result]], given: list[list[str]] | None, notes: list[str]
) -> str:
    """The gradebook's table of some units."""
    roster = read_roster(tree)
    students = sorted({student for of in results.values() for student in of})
    headers = {unit: _assignment(unit, given[0] if given else None) for unit in results}
    if given is None:
        how = "--like FILE takes it from an export of its gradebook, else Canvas asks which one is meant"
        notes += [f"{unit}: Canvas' number of the assignment is not known; {how}" for unit in results]
    people, unknown = _canvas_people(students, roster, given)
    notes += [f"{student}: {why}" for student, why in unknown.items()]
    most = {unit: max((result.most for result in of.values()), default=0.0) for unit, of in results.items()}
    held = _held(given)
    table = [[*_CANVAS_PEOPLE, *headers.values()]]
    table.append(["    Points Possible", "", "", "", "", *[number(most[unit]) for unit in results]])
    for student, cells in people.items():
        before = held.get(cells[1], {}) if cells[1] else {}
        points = [
            before.get(headers[unit], "")
            if student not in of or of[student].points is None
            else number(of[student].points)
            for unit, of in results.items()
        ]
        table.append([*(escape_formula(cell) for cell in cells), *points])
    return _text(table)


def _held(given: list[list[str]] | None) -> dict[str, dict[str, str]]:
    """What Canvas has in each column by a person's ID: an empty cell in an import would take it away."""
    if given is None or "ID" not in given[0]:
        return {}
    at = given[0].index("ID")
    return {row[at]: dict(zip(given[0], row, strict=False)) for row in given[1:] if row[at]}


def _canvas_people(
    students: list[str], roster: dict[str, Any], given: list[list[str]] | None
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The first five cells of each student's row, and why Canvas will not find some."""
    people, unknown = {}, {}
    by_id = {}
    if given is not None:
        where = [given[0].index(name) if name in given[0] else None for name in _CANVAS_PEOPLE]
        for row in given[1:]:
            cells = ["" if at is None or at >= len(row) else row[at] for at in where]
            if cells[1].isdecimal():  # not the row of points possible
                by_id[cells[1]] = cells
    for student in students:
        record = roster.get(student, {})
        known = record.get("id", "") if record.get("platform", CANVAS) == CANVAS else ""
        if not known.isdecimal():
            known = ""
        name = record.get("name", student)
        same = [cells for cells in by_id.values() if cells[0] == name]
        if given is not None and known not in by_id and not known and len(same) == 1:
            known = same[0][1]
        people[student] = by_id.get(known) or [name, known, "", "", ""]
        if not known:
            unknown[student] = "Canvas' number is not known, so that Canvas will not find this row"
        elif given is not None and known not in by_id:
            unknown[student] = "not in the gradebook that Canvas exported"
    return people, unknown


def _assignment(unit: str, header: list[str] | None) -> str:
    """The name of the column: as Canvas has it, ``<name> (<number>)``, if its export is there."""
    if header is None:
        return unit
    titled = {name: _plain(match[1]) for name in header if (match := re.fullmatch(r"(.+) \(\d+\)", name))}
    wanted = _plain(unit)
    number = unit_number(unit)
    start = re.compile("(?!)" if number is None else rf"(?:unit )?0*{number}\b")
    words = re.sub(r"^\d+\s*", "", wanted)
    hits = [name for name, title in titled.items() if wanted in title] or [
        name for name, title in titled.items() if words and words in title
    ]
    hits = hits or [name for name, title in titled.items() if start.match(title)]
    if len(hits) != 1:
        raise CourseError(f"no single assignment of Canvas is {unit}; its columns: {', '.join(titled) or 'none'}.")
    return hits[0]


def _plain(title: str) -> str:
    return " ".join(re.sub(r"[\W_]+", " ", title.lower()).split())


def read_results(tree: Tree, unit: str, grades: list[Grade]) -> dict[str, Result]:
    """What each student of a unit is told: grades.csv with the marks, comments and penalties of the gradebook."""
    own: dict[str, list[Grade]] = {}
    for grade in grades:
        if grade.unit == unit:
            own.setdefault(grade.student, []).append(grade)
    marked, comments, penalties = _gradebook(tree, unit)
    results = {}
    for student, rows in sorted(own.items()):
        rows = [_as_marked(row, marked) for row in rows]
        known = [row.score for row in rows if row.score is not None]
        penalty = penalties.get(student, 0.0)
        points = max(0.0, sum(known) - penalty) if len(known) == len(rows) else None
        said = [_line(row, comments.get((student, row.exercise), "")) for row in rows]
        if penalty:
            said.append(f"handed in late: {number(penalty)} points less")
        text = "<br>".join(html.escape(_printable(line), quote=False) for line in said)
        missing = all(row.status == MISSING for row in rows)
        results[student] = Result(points, sum(row.max_score for row in rows), penalty, text, missing)
    return results


def _as_marked(row: Grade, marked: dict[tuple[str, str], float]) -> Grade:
    mark = marked.get((row.student, row.exercise))
    return row if mark is None or mark == row.score else replace(row, score=mark)


def _line(row: Grade, comment: str) -> str:
    points = f"{number(row.score)} of {number(row.max_score)}" if row.score is not None else "not marked yet"
    reason = row.reason if row.status != NEEDS_MARKING and (row.score or 0) < row.max_score else ""
    return ". ".join(part for part in (f"{row.exercise}: {points}", reason, comment) if part)


def _printable(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in safe_text(text)).split())


def _gradebook(tree: Tree, unit: str) -> tuple[dict, dict, dict[str, float]]:
    """Marks given by hand and comments by student and exercise, and late penalties by student.

    Nothing where there is no gradebook. Raises CourseError where there is one that cannot be read: a table without
    its penalties would be wrong.
    """
    from nbgrader.api import MissingEntry

    from .nbgrader_course import NbGraderCourse

    labels = labels_of(templates_of(tree, unit))
    course = NbGraderCourse(tree)
    if not course.has_gradebook():
        return {}, {}, {}
    marked, comments, penalties = {}, {}, {}
    with course.gradebook() as gradebook:
        try:
            submissions = gradebook.find_assignment(unit).submissions
        except MissingEntry:
            return {}, {}, {}
        for submission in submissions:
            student = submission.student_id
            if submission.late_submission_penalty:
                penalties[student] = float(submission.late_submission_penalty)
            for notebook in submission.notebooks:

                def label(grade_id: str, of: str = notebook.name) -> str:
                    return labels.get((of, grade_id), exercise_name(grade_id))

                for grade in notebook.grades:
                    if grade.manual_score is not None:
                        marked[student, label(grade.name)] = float(grade.score)
                for comment in notebook.comments:
                    if comment.comment:
                        comments[student, label(comment.name)] = comment.comment
    return marked, comments, penalties


def _rows_of(path: Path | None) -> list[list[str]] | None:
    """The rows of a table that a platform exported, all as long as the first."""
    if path is None:
        return None
    try:
        rows = rows_of(path.read_bytes())
    except (OSError, ValueError, csv.Error) as error:
        raise CourseError(f"{path} cannot be read as a table ({error}).") from None
    return [row + [""] * (len(rows[0]) - len(row)) for row in rows]


def _text(table: list[list[str]]) -> str:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\r\n").writerows(table)
    return lines.getvalue()


def pack_feedback(tree: Tree, unit: str, platform: str, pages: list[Path]) -> Exported:
    """Pack feedback pages as a platform takes them back, to feedback/<unit>-<platform>.zip."""
    roster = read_roster(tree)
    exported = Exported([tree.folder("feedback") / f"{unit}-{platform}.zip"])
    named: dict[str, Path] = {}
    for page in pages:
        student = page.parent.parent.name
        record = roster.get(student, {})
        said = record.get("units", {}).get(unit, {})
        name = _packed_name(platform, page.stem, record.get("name", student), said)
        if not name:
            exported.notes.append(f"{student}: {_why_not_packed(platform, unit, said)}; not packed")
        elif name in named and named[name].parent == page.parent:
            exported.notes.append(f"{student}: {platform} takes one page of each student; {page.name} is not packed")
        elif name in named:
            exported.notes.append(f"{student}: {named[name].parent.parent.name} has the same number; not packed")
        else:
            named[name] = page
    if not named:
        raise CourseError(f"no page of {unit} can be packed for {platform}: collect the unit from its export first.")
    with whole_zip(exported.files[0]) as packed:
        for name, page in sorted(named.items()):
            packed.write(page, name)
    return exported


def _why_not_packed(platform: str, unit: str, said: dict[str, Any]) -> str:
    """Why a page has no name by which the platform would take it."""
    if said.get("platform") != platform or not said.get("identifier"):
        return f"not in the export of {platform} from which {unit} was collected"
    return f"handed in no file (a text or a link), and {platform} takes a page back in the place of a file only"


def _packed_name(platform: str, page: str, name: str, said: dict[str, Any]) -> str:
    if said.get("platform") != platform:
        return ""
    if platform == CANVAS:
        anonymous = str(said.get("file", "")).removeprefix("LATE_").startswith("anon_")
        letters = "".join(filter(str.isalpha, name.lower()))[:60]
        person = "anon" if anonymous else letters if letters not in ("", "anon") else "student"
        numbers = said.get("identifier", ""), said.get("attachment", "")
        return "_".join([person, *numbers, "feedback.html"]) if all(numbers) else ""
    person = safe_name(name).replace("_", " ").strip() or "Participant"  # Moodle counts the underscores
    return f"{person}_{said['identifier']}_assignfeedback_file_{page}.html" if said.get("identifier") else ""
