"""What goes back to a platform, read as its importer reads it.

The two importers below follow the platforms' documented rules: Moodle's grading worksheet and feedback files of an
assignment, Canvas' gradebook and re-uploaded submissions.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from datetime import datetime

import nbformat
import pytest
from miniature import make_tree
from nbgrader.api import Gradebook
from platform_exports import SHAPES, Person, zipped

from autograder.collect import collect, read_roster
from autograder.grades_file import Grade, write_grades
from autograder.nbgrader_course import NbGraderCourse
from autograder.platforms import pack_feedback, write_tables
from autograder.release import release_units
from course_utils.cli import app as cli
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

UNIT, NEXT = "01_double", "02_other"
NOTEBOOK = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


def moodle_worksheet(text: str, participants: dict[int, str]) -> dict[str, tuple[float | None, str]]:
    """Grades and comments by user. Columns by their names; the number after "Participant "; others are passed over."""
    rows = list(csv.reader(io.StringIO(text)))
    at = {name: index for index, name in enumerate(rows[0])}
    assert {"Identifier", "Grade", "Last modified (grade)"} <= set(at), "Moodle refuses the file"
    taken = {}
    for row in rows[1:]:
        number = row[at["Identifier"]][len("Participant ") :]
        if not number.isdecimal() or int(number) not in participants:
            continue
        grade, comment = row[at["Grade"]], row[at["Feedback comments"]] if "Feedback comments" in at else ""
        taken[participants[int(number)]] = (None if grade in ("", "-") else float(grade), comment)
    return taken


def moodle_feedback(archive: zipfile.ZipFile, participants: dict[int, str]) -> dict[str, str]:
    """The file of each user: a part of the path of at least four pieces between underscores, the second a number.
    Hidden files are passed over."""
    taken = {}
    for path in archive.namelist():
        parts = path.split("/")
        if parts[-1].startswith((".", "~")):
            continue
        while parts:
            pieces = parts.pop(0).split("_", 4)
            if len(pieces) < 4 or not pieces[1].isdecimal() or int(pieces[1]) not in participants:
                continue
            assert pieces[2:4] == ["assignfeedback", "file"], path
            assert pieces[4:] and pieces[4].endswith(".html"), path
            taken[participants[int(pieces[1])]] = archive.read(path).decode()
            break
    return taken


def canvas_gradebook(
    text: str, users: dict[int, str], assignments: dict[int, str], before: dict[tuple[str, str], float] | None = None
) -> dict[tuple[str, str], float]:
    """Scores by user and assignment: people by ID, assignments by the number at the end of the column's name. An empty
    cell takes away what was there ``before``; a row is no person's if its first cell says Points Possible."""
    rows = list(csv.reader(io.StringIO(text)))
    assert "Student" in rows[0][0] and "ID" in rows[0][1], "Canvas refuses the file"
    assert rows[0][2:5] == ["SIS User ID", "SIS Login ID", "Section"], "Canvas takes a column for an assignment"
    columns = {i: re.fullmatch(r"(.+) \((\d+)\)", name) for i, name in enumerate(rows[0][5:], 5)}
    scores = dict(before or {})
    for row in rows[1:]:
        if "Points Possible" in row[0] or not row[1].isdecimal() or int(row[1]) not in users:
            continue
        for i, match in columns.items():
            if match and int(match[2]) in assignments:
                place = users[int(row[1])], assignments[int(match[2])]
                scores.pop(place, None)
                if row[i]:
                    scores[place] = float(row[i])
    return scores


def canvas_submissions(archive: zipfile.ZipFile, attachments: dict[tuple[str, str], str]) -> dict[str, str]:
    """The file of each user, by the parts of its name between underscores, "LATE" left out: of an anonymous assignment
    the second and third, else the first two numbers. A last part that begins with "link" is passed over."""
    taken = {}
    for name in archive.namelist():
        pieces = [piece for piece in name.rsplit("/")[-1].split("_") if piece != "LATE"]
        numbers = pieces[1:3] if pieces[0] == "anon" else [piece for piece in pieces if piece.isdecimal()][:2]
        if tuple(numbers) in attachments and not pieces[-1].startswith("link") and not name.startswith("._"):
            taken[attachments[tuple(numbers)]] = archive.read(name).decode()
    return taken


@pytest.fixture
def tree(tmp_path):
    return Tree(make_tree(tmp_path / "course"))


PEOPLE = ["Ada Lovelace", "Jürgen Groß", "Ada Lovelace", "=O_Neil, Ann"]


def collected(tree, tmp_path, shape: str) -> list[str]:
    """The folders of the class, in its order, after two units were collected with other participants' numbers."""
    for unit, first in ((UNIT, 1000), (NEXT, 2000)):
        people = [
            Person(name, 500 + index, first + index, {"w.ipynb": NOTEBOOK + b"\n" * index})
            for index, name in enumerate(PEOPLE)
        ]
        collect(tree, unit, zipped(SHAPES[shape](people), tmp_path / f"{unit}.zip"))
    lengths = {
        len(path.read_bytes()) - len(NOTEBOOK): path.parts[-3]
        for path in (tree.root / "submitted").glob(f"*/{UNIT}/*.ipynb")
    }
    return [lengths[index] for index in range(len(PEOPLE))]


def graded(tree, folders: list[str], unit: str = UNIT) -> None:
    rows = []
    for index, folder in enumerate(folders):
        rows.append(Grade(folder, unit, "double", index / 2, 2, "graded", "" if index == 4 else "<b>broken</b>: adds"))
        rows.append(Grade(folder, unit, "q", 3.0, 3, "graded", "marked by hand"))
    write_grades(tree.root, rows)


def late(tree, folder: str, penalty: float) -> None:
    with NbGraderCourse(tree).gradebook() as gradebook:
        enter(gradebook, folder, penalty)


def enter(gradebook: Gradebook, folder: str, penalty: float) -> None:
    gradebook.update_or_create_assignment(UNIT)
    gradebook.update_or_create_notebook(UNIT, UNIT)
    gradebook.update_or_create_grade_cell("q", UNIT, UNIT, max_score=3, cell_type="markdown")
    gradebook.update_or_create_solution_cell("q", UNIT, UNIT)
    gradebook.update_or_create_student(folder)
    submission = gradebook.update_or_create_submission(UNIT, folder)
    submission.notebooks[0].late_submission_penalty = penalty
    gradebook.find_grade("q", UNIT, UNIT, folder).manual_score = 2.0
    gradebook.find_comment("q", UNIT, UNIT, folder).manual_comment = "say <why>"
    gradebook.db.commit()


def test_moodle_takes_the_worksheet_with_marks_and_penalties(tree, tmp_path):
    folders = collected(tree, tmp_path, "moodle_folders")
    graded(tree, folders)
    late(tree, folders[1], 1.5)
    exported = write_tables(tree, "moodle", [UNIT, NEXT])
    assert [path.name for path in exported.files] == [f"grades-moodle-{UNIT}.csv"] and not exported.notes
    participants = {1000 + index: f"user {index}" for index in range(4)}
    taken = moodle_worksheet(exported.files[0].read_text(encoding="utf-8"), participants)
    assert {user: points for user, (points, _) in taken.items()} == {
        "user 0": 3.0,
        "user 1": 0.5 + 2 - 1.5,
        "user 2": 4.0,
        "user 3": 4.5,
    }
    comment = taken["user 1"][1]
    assert (
        "handed in late: 1.5 points less" in comment and "say &lt;why&gt;" in comment and "&lt;b&gt;broken" in comment
    )


@pytest.mark.parametrize(
    ("encoding", "separator"), [("utf-8-sig", ","), ("utf-8-sig", ";"), ("cp1252", ";"), ("utf-16", "\t")]
)
def test_moodles_own_worksheet_is_filled_in(tree, tmp_path, encoding, separator):
    folders = collected(tree, tmp_path, "moodle_folders")
    graded(tree, folders)
    modified = "Saturday, 31 January 2026, 11:59 PM"
    assert datetime.strptime(modified, "%A, %d %B %Y, %I:%M %p")
    given = tmp_path / "Grades.csv"
    with given.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(["Identifier", "Full name", "Status", "Grade", "Last modified (grade)", "Feedback comments"])
        writer.writerows([f"Participant {1000 + i}", PEOPLE[i], "x", "-", modified, ""] for i in (0, 1, 2))
    exported = write_tables(tree, "moodle", [UNIT], given)
    rows = list(csv.DictReader(exported.files[0].read_text(encoding="utf-8").splitlines()))
    assert [row["Grade"] for row in rows] == ["3", "3.5", "4"] and {row["Status"] for row in rows} == {"x"}
    assert {row["Last modified (grade)"] for row in rows} == {modified} and len(exported.notes) == 1


def test_canvas_takes_the_table_with_its_numbers(tree, tmp_path):
    folders = collected(tree, tmp_path, "canvas_late")
    graded(tree, folders)
    late(tree, folders[1], 5.5)
    given = tmp_path / "gradebook.csv"
    given.write_text(
        "Student,ID,SIS User ID,SIS Login ID,Section,Double (4711),01 quiz of week 3,Final Score\n"
        '    Points Possible,,,,,5,3,(read only)\n"Lovelace, Ada",500,s500,ada,A,,,\n"Groß, Jürgen",501,,,A,,,\n',
        encoding="utf-8",
    )
    exported = write_tables(tree, "canvas", [UNIT], given)
    text = exported.files[0].read_text(encoding="utf-8")
    users, assignments = {500 + i: f"user {i}" for i in range(4)}, {4711: UNIT}
    taken = canvas_gradebook(text, users, assignments)
    assert taken == {(f"user {i}", UNIT): points for i, points in enumerate([3.0, 0.0, 4.0, 4.5])}
    assert "s500,ada,A" in text and len(exported.notes) == 2 and "'=" not in text.split("\n")[0]
    with pytest.raises(CourseError, match=r"no single assignment .* Double \(4711\)"):
        graded(tree, folders, NEXT)
        write_tables(tree, "canvas", [NEXT], given)


def test_what_canvas_has_stays_where_nothing_is_known(tree, tmp_path):
    """An answer that waits to be marked, and a unit that somebody did not hand in."""
    folders = collected(tree, tmp_path, "canvas")
    graded(tree, folders)
    rows = [Grade(folder, UNIT, "q", None if i == 0 else 3.0, 3, "needs_marking") for i, folder in enumerate(folders)]
    rows += [Grade(folders[1], NEXT, "q", 2.0, 3, "graded")]
    write_grades(tree.root, rows)
    given = tmp_path / "gradebook.csv"
    given.write_text(
        "Student,ID,SIS User ID,SIS Login ID,Section,Double (4711),02 other (4712)\n    Points Possible,,,,,3,3\n"
        '"Lovelace, Ada",500,,,A,2.5,1.5\n"Groß, Jürgen",501,,,A,1,1\n',
        encoding="utf-8",
    )
    text = write_tables(tree, "canvas", [UNIT, NEXT], given).files[0].read_text(encoding="utf-8")
    users, before = {500: "ada", 501: "jürgen"}, {("ada", "4711"): 2.5, ("ada", "4712"): 1.5, ("jürgen", "4711"): 1.0}
    taken = canvas_gradebook(text, users, {4711: "4711", 4712: "4712"}, before)
    assert taken == {
        ("ada", "4711"): 2.5,
        ("ada", "4712"): 1.5,
        ("jürgen", "4711"): 3.0,
        ("jürgen", "4712"): 2.0,
    }


def test_a_person_put_in_by_hand_is_not_the_row_of_points_possible(tree, tmp_path):
    folders = [*collected(tree, tmp_path, "canvas"), "by hand"]
    graded(tree, folders)
    given = tmp_path / "gradebook.csv"
    given.write_text(
        "Student,ID,SIS User ID,SIS Login ID,Section,Double (4711)\n    Points Possible,,,,,5\nAda,500,,,A,\n"
    )
    text = write_tables(tree, "canvas", [UNIT], given).files[0].read_text(encoding="utf-8")
    assert "by hand,,,,,5\n" in text and text.count("Points Possible") == 1


def test_without_canvas_export_the_column_has_the_units_name_and_this_is_said(tree, tmp_path):
    graded(tree, collected(tree, tmp_path, "canvas"))
    exported = write_tables(tree, "canvas", [UNIT])
    assert exported.files[0].read_text(encoding="utf-8").splitlines()[0].endswith(f",Section,{UNIT}")
    assert any("number of the assignment is not known" in note for note in exported.notes)


@pytest.mark.parametrize("platform", ["canvas", "moodle"])
def test_what_is_not_known_stays_open_and_who_is_not_known_is_named(tree, platform):
    write_grades(
        tree.root,
        [
            Grade("ada", UNIT, "double", 2, 2, "graded"),
            Grade("ada", UNIT, "q", 1, 3, "graded"),
            Grade("=bob", UNIT, "double", 1, 2, "graded"),
            Grade("=bob", UNIT, "q", None, 3, "needs_marking"),
        ],
    )
    exported = write_tables(tree, platform, [UNIT])
    rows = list(csv.reader(exported.files[0].read_text(encoding="utf-8").splitlines()))
    points = {row[0 if platform == "canvas" else 1]: row[-1 if platform == "canvas" else 2] for row in rows[1:]}
    assert points["ada"] == "3" and points["'=bob"] == "", points
    assert sum("will not find this row" in note for note in exported.notes) == 2


def pages_of(tree, folders: list[str]):
    for folder in folders:
        page = tree.root / "feedback" / folder / UNIT / f"{UNIT}.html"
        page.parent.mkdir(parents=True)
        page.write_text(folder, encoding="utf-8")
        yield page


@pytest.mark.parametrize("shape", ["moodle_folders", "moodle_flat", "moodle_blind"])
def test_moodle_takes_the_packed_feedback(tree, tmp_path, shape):
    folders = collected(tree, tmp_path, shape)
    exported = pack_feedback(tree, UNIT, "moodle", list(pages_of(tree, folders)))
    with zipfile.ZipFile(exported.files[0]) as archive:
        taken = moodle_feedback(archive, {1000 + index: folder for index, folder in enumerate(folders)})
    assert taken == {folder: folder for folder in folders} and not exported.notes


@pytest.mark.parametrize("shape", ["canvas", "canvas_late", "canvas_anonymous"])
def test_canvas_takes_the_packed_feedback(tree, tmp_path, shape):
    folders = collected(tree, tmp_path, shape)
    exported = pack_feedback(tree, UNIT, "canvas", list(pages_of(tree, folders)))
    attachments = {
        (f"x{500 + i}z" if "anon" in shape else str(500 + i), str(70001 + i)): folder
        for i, folder in enumerate(folders)
    }
    with zipfile.ZipFile(exported.files[0]) as archive:
        assert canvas_submissions(archive, attachments) == {folder: folder for folder in folders}


@pytest.mark.parametrize("shape", ["canvas", "moodle_folders"])
def test_no_name_keeps_a_page_from_its_student(tree, tmp_path, shape):
    """The importers pass over hidden files and links, and cut names at underscores."""
    people = [
        Person(name, 500 + i, 1000 + i, {file: NOTEBOOK + b"\n" * i})
        for i, (name, file) in enumerate(
            [("Ada_B", "link.ipynb"), ("~tilde", "link_1_2.ipynb"), (".dot", "._x_7.ipynb"), ("4711", "12_34.ipynb")]
        )
    ]
    collect(tree, UNIT, zipped(SHAPES[shape](people), tmp_path / "export.zip"))
    folders = {
        len(p.read_bytes()) - len(NOTEBOOK): p.parts[-3] for p in (tree.root / "submitted").glob(f"*/{UNIT}/*.ipynb")
    }
    exported = pack_feedback(tree, UNIT, shape.split("_")[0], list(pages_of(tree, folders.values())))
    with zipfile.ZipFile(exported.files[0]) as archive:
        if shape == "canvas":
            attachments = {(str(500 + i), str(70001 + i)): folder for i, folder in folders.items()}
            taken = canvas_submissions(archive, attachments)
        else:
            taken = moodle_feedback(archive, {1000 + i: folder for i, folder in folders.items()})
    assert taken == {folder: folder for folder in folders.values()} and len(taken) >= 3


def test_pages_of_people_whom_the_platform_does_not_know_are_named(tree, tmp_path):
    folders = collected(tree, tmp_path, "moodle_folders")
    exported = pack_feedback(tree, UNIT, "moodle", list(pages_of(tree, [folders[0], "by hand"])))
    assert len(exported.notes) == 1 and exported.notes[0].startswith("by hand")
    with pytest.raises(CourseError, match="no page of"):
        pack_feedback(tree, UNIT, "canvas", [tree.root / "feedback" / folders[0] / UNIT / f"{UNIT}.html"])


@pytest.mark.parametrize("kind", ["text", "link"])
@pytest.mark.parametrize("who", ["writerann_7", "writerann_LATE_7", "anon_x7z", "LATE_anon_x7z"])
def test_who_handed_in_no_file_is_told_from_who_is_not_in_the_export(tree, tmp_path, who, kind):
    """Canvas takes a page back in the place of a file; who wrote into the text box is in its export all the same."""
    both = who.replace("7", "8")
    entries = {
        who.replace("7", "6") + "_70001_w.ipynb": NOTEBOOK,
        f"{who}_{kind}.html": b"<p>all is in the other place</p>",
        f"{both}_{kind}.html": b"<p>and a file</p>",
        f"{both}_70002_essay.pdf": b"%PDF-1.7",
    }
    collect(tree, UNIT, zipped(entries, tmp_path / "export.zip"))
    folder_of = {record["units"][UNIT]["identifier"]: folder for folder, record in read_roster(tree).items()}
    numbers = [f"x{n}z" if "anon" in who else str(n) for n in (6, 7, 8)]
    assert sorted(folder_of) == numbers
    with_file, without, with_both = (folder_of[number] for number in numbers)
    pages = list(pages_of(tree, [with_file, without, with_both, "by hand"]))
    exported = pack_feedback(tree, UNIT, "canvas", pages)
    with zipfile.ZipFile(exported.files[0]) as archive:
        taken = canvas_submissions(archive, {(numbers[0], "70001"): "file", (numbers[2], "70002"): "both"})
    assert taken == {"file": with_file, "both": with_both}
    said = dict(note.split(": ", 1) for note in exported.notes)
    assert set(said) == {without, "by hand"}
    assert "handed in no file" in said[without] and "not in the export" not in said[without]
    assert "not in the export" in said["by hand"] and "no file" not in said["by hand"]


@pytest.fixture
def course(tree, capsys, monkeypatch, tmp_path):
    """Run one command line on the tree; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    if not any(command.name == "test" for command in cli.app.registered_commands):
        cli.load_plugins()

    def run(*arguments):
        code = cli.run(["--root", str(tree.root), *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_from_the_export_to_the_worksheet_and_the_packed_feedback(tree, course, tmp_path):
    with (tree.root / "nbgrader_config.py").open("a", encoding="utf-8") as config:
        config.write('\nc.LateSubmissionPlugin.penalty_method = "zero"\n')
    release_units(tree, [UNIT])
    with NbGraderCourse(tree).gradebook() as gradebook:
        gradebook.update_or_create_assignment(UNIT, duedate="2026-01-31 12:00:00 UTC")
    given = nbformat.read(tree.root / "release" / UNIT / f"{UNIT}.ipynb", as_version=4)
    for cell in given.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = {"double": "def double(x):\n    return 2 * x\n", "q_double": ""}.get(name, cell.source)
    work = nbformat.writes(given).encode()
    people = [Person(name, 500 + i, 1000 + i, {"w.ipynb": work + b"\n" * i}) for i, name in enumerate(["Ada", "Ada"])]
    listing = (
        'Identifier,Last modified (submission)\r\nParticipant 1000,"Friday, 30 January 2026, 9:00 AM"\r\n'
        'Participant 1001,"Tuesday, 3 February 2026, 9:00 AM"\r\n'
    )
    export = SHAPES["moodle_folders"](people) | {"Grades.csv": listing.encode()}
    code, out, _ = course("collect", "01", zipped(export, tmp_path / "export.zip"))
    assert code == 0 and "2 submissions in submitted/; the export holds 2, left out: 0." in out
    assert course("grade", "01", "--unsafe")[0] == 0
    code, out, _ = course("feedback", "01", "--zip", "moodle")
    assert code == 0 and f"{UNIT}-moodle.zip" in out
    participants = {1000: "early", 1001: "late"}
    with zipfile.ZipFile(tree.root / "feedback" / f"{UNIT}-moodle.zip") as archive:
        pages = moodle_feedback(archive, participants)
    assert "handed in late" in pages["late"] and "handed in late" not in pages["early"]
    code, out, err = course("report", "01", "--csv", "moodle")
    taken = moodle_worksheet((tree.root / f"grades-moodle-{UNIT}.csv").read_text(encoding="utf-8"), participants)
    assert code == 0 and not err and taken["early"][0] == 2.0 and taken["late"][0] == 0.0
    assert "handed in late: 2 points less" in taken["late"][1]
    assert course("feedback", "01", "--zip", "word")[0] == 2 and course("report", "--like", "x.csv")[0] == 2


def test_collect_says_by_its_exit_code_whether_everybody_is_accounted_for(tree, course, tmp_path):
    export = {"Ada_1_assignsubmission_file_/w.ipynb": NOTEBOOK, "Bob_2_assignsubmission_file_/essay.pdf": b"%PDF"}
    code, out, err = course("collect", "01", zipped(export, tmp_path / "1.zip"))
    assert code == 0, err
    assert "left out: 1." in out and "course: left out: Bob: nothing that is the notebook" in err
    export |= {"Eve_3_assignsubmission_file_/hw.zip": b"PK\3\4 broken"}
    code, out, err = course("collect", "01", zipped(export, tmp_path / "2.zip"))
    assert code == 1 and "the export holds 3, left out: 2." in out and "course: left out: Eve: " in err
