"""Honest work reaches the marker and the student whatever a notebook, a picture, a table or a clock looks like."""

from __future__ import annotations

import csv
import datetime
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time

import nbformat
import pytest
from miniature import hand_in, make_tree

from autograder import gradebook
from autograder.feedback import feedback_unit
from autograder.grade import CHANGED, changed_texts, grade_unit
from autograder.grades_file import Grade, read_grades, replace_unit, write_grades
from autograder.nbgrader_course import NbGraderCourse
from autograder.preprocessors import SettleGrades
from autograder.release import release_units
from course_utils.cli.handin import parse_notebook
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="submissions are isolated on Linux")
UNIT = "01_double"
RIGHT = {
    "double": "def double(x):\n    return 2 * x",
    "triple": "def triple(x):\n    return 3 * x",
    "q_double": "It stays.",
}
ALL = {"double": 2, "triple": 2, "q_double": None}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Tree:
    tree = Tree(make_tree(tmp_path_factory.mktemp("released") / "course"))
    release_units(tree, tree.units())
    return tree


@pytest.fixture
def tree(tmp_path) -> Tree:
    tree = Tree(make_tree(tmp_path / "course"))
    release_units(tree, tree.units())
    return tree


def change(path, edit) -> None:
    """Edit a notebook as plain JSON, which can hold what nbformat cannot write."""
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(
        {cell["metadata"].get("nbgrader", {}).get("grade_id", str(i)): cell for i, cell in enumerate(content["cells"])}
    )
    path.write_text(json.dumps(content), encoding="utf-8")


def scores(rows, student) -> dict[str, float | None]:
    return {row.exercise: row.score for row in rows if row.student == student}


def appended(grade_id, text):
    return lambda cells: cells[grade_id].update(source="".join(cells[grade_id]["source"]) + text)


def outputs(*given):
    return lambda cells: cells["6"].update(outputs=list(given))


def stream(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


def deep(levels):
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


ODD = {
    "surrogate in a comment": appended("double", "  # half an emoji: \ud83d"),
    "surrogate in a text that is printed": appended("double", "\nprint('\ud83d')"),
    "surrogate made while it runs": appended("double", "\nprint(chr(0xd83d))"),
    "surrogate in an answer": appended("q_double", " \udcff"),
    "surrogate in an experiment's output": outputs(stream("\ud83d")),
    "surrogate in a traceback": outputs(
        {"output_type": "error", "ename": "\ud83d", "evalue": "\ud83d", "traceback": ["\ud83d"]}
    ),
    "surrogate in metadata": lambda cells: cells["double"]["metadata"].update({"\ud83d": "\ud83d"}),
    "surrogate in a tag": lambda cells: cells["0"]["metadata"].update(tags=["\ud83d"]),
    "NUL in a comment": appended("double", "  # \0"),
    "NUL in an answer": appended("q_double", "\0"),
    "NUL in an output": outputs(stream("a\0b")),
    "metadata a little too deep": lambda cells: cells["0"]["metadata"].update(deep=deep(80)),
    "metadata very deep": lambda cells: cells["0"]["metadata"].update(deep=deep(900)),
    "metadata very large": lambda cells: cells["0"]["metadata"].update(large=["x" * 1000] * 8000),
}


def pipe(path):
    os.mkfifo(path)


STAMPS = {  # what can lie there in place of the time of handing in
    "words": lambda path: path.write_text("the day before yesterday"),
    "a year beyond counting": lambda path: path.write_text("99999999999999999999-01-01 00:00:00 UTC"),
    "an offset beyond a day": lambda path: path.write_text("2026-01-01 00:00:00 +99:99"),
    "no UTF-8": lambda path: path.write_bytes(b"\xff\xfe\x00\xd8" * 9),
    "half a character": lambda path: path.write_bytes(b"2026-01-01 \xed\xa0\xbd"),
    "NULs": lambda path: path.write_bytes(bytes(5_000_000)),
    "a pipe": pipe,
    "a link to a pipe": lambda path: (pipe(path.with_name("p")), path.symlink_to("p")),
    "a link to what never ends": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
}
NAMES = [
    b"\xfc.txt",
    b"\xff\xfe",
    b"\xed\xa0\xbd.py",
    b"a\nb\x1b[2J.csv",
    "A\u030a.txt".encode(),
    b"\xff.ipynb",
    b"d\xff/x",
]


@linux
def test_odd_texts_cost_neither_their_author_nor_anybody_else_anything(released):
    for number, edit in enumerate(ODD.values()):
        change(hand_in(released.root, f"odd {number}", UNIT, RIGHT), edit)
    hand_in(released.root, "zoe", UNIT, RIGHT)
    beside = hand_in(released.root, "file", UNIT, RIGHT).parent
    (beside / os.fsdecode(b"d\xff")).mkdir()
    for name in NAMES:
        (beside / os.fsdecode(name)).write_text("a name that is not UTF-8, or odd")
    for name, make in STAMPS.items():
        make(hand_in(released.root, f"time {name}", UNIT, RIGHT).parent / "timestamp.txt")
    rows = grade_unit(released, UNIT)
    others = ["zoe", "file", *(f"time {name}" for name in STAMPS)]
    wrong = {name: scores(rows, f"odd {number}") for number, name in enumerate(ODD)}
    wrong |= {name: scores(rows, name) for name in others}
    assert not {name: got for name, got in wrong.items() if got != ALL}
    assert len(feedback_unit(released, UNIT)) == len(ODD) + len(others)
    assert len(read_grades(released.root / "grades.csv")) == 3 * (len(ODD) + len(others))


def test_what_is_too_deep_for_any_program_is_cut_and_the_rest_is_read():
    text = json.dumps({"cells": [], "metadata": {"a": "DEEP", "b": "]["}})
    notebook = parse_notebook(text.replace('"DEEP"', "[" * 100_000 + "]" * 100_000).encode(), "x")
    assert notebook.metadata.b == "]["


@linux
@pytest.mark.parametrize("step", ["SaveInOpenGradebook", "SettleGrades", "write_whole"])
def test_a_result_that_cannot_be_kept_is_its_authors_trouble_alone(tree, monkeypatch, step, capsys):
    for student in ("ada", "bea", "zoe"):
        hand_in(tree.root, student, UNIT, RIGHT)
    if step == "SettleGrades":  # a step of the configuration
        settle = SettleGrades.preprocess

        def stopped(self, notebook, resources):
            if resources["nbgrader"]["student"] == "bea":
                raise SystemExit("of one submission")
            return settle(self, notebook, resources)

        monkeypatch.setattr(SettleGrades, "preprocess", stopped)
    real = getattr(gradebook, step, None)

    def failing(*args, **kwargs):
        if step == "write_whole":
            if "bea" in str(args[0]):
                raise UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "surrogates not allowed")
            return real(*args, **kwargs)
        made = real(*args, **kwargs)
        preprocess = made.preprocess

        def watched(notebook, resources):
            if resources["nbgrader"]["student"] == "bea":
                raise SystemExit("of one submission")
            return preprocess(notebook, resources)

        made.preprocess = watched
        return made

    if step != "SettleGrades":
        monkeypatch.setattr(gradebook, step, failing)
    rows = grade_unit(tree, UNIT)
    assert scores(rows, "ada") == scores(rows, "zoe") == ALL
    own = [row for row in rows if row.student == "bea"]
    assert len(own) == 3 and all(row.undecided and "could not be kept" in row.reason for row in own)
    monkeypatch.undo()
    assert scores(grade_unit(tree, UNIT), "bea") == ALL, "the next run does not repair it"


PICTURES = {
    "gif": ("See ![a](attachment:anim.gif)", {"anim.gif": {"image/gif": "R0lGODlhAQABAAAAACw="}}, "data:image/gif"),
    "webp": ("![a](attachment:a.webp)", {"a.webp": {"image/webp": "UklGRg=="}}, "data:image/webp"),
    "svg": ("![a](attachment:a.svg)", {"a.svg": {"image/svg+xml": "<svg/>"}}, "cannot be shown"),
    "missing": ("See ![a](attachment:3f9c0e3e.png)", {}, "cannot be shown"),
    "none at all": ("![a](attachment:)", {"a.png": {"image/png": PIXEL}}, "cannot be shown"),
    "reference": ("![a][b]\n\n[b]: attachment:gone.png", {}, None),
    "link": ("[a](attachment:gone.png)", {}, None),
    "brackets": ("![p](attachment:photo(1).png)", {"photo(1).png": {"image/png": PIXEL}}, PIXEL),
    "quoted": ("![p](attachment:a%20b%C3%BC.png)", {"a bü.png": {"image/png": PIXEL}}, PIXEL),
    "narrow space": ("![p](<attachment:9\u202fPM.png>)", {"9\u202fPM.png": {"image/png": PIXEL}}, PIXEL),
    "space": ("![p](attachment:a b.png)", {"a b.png": {"image/png": PIXEL}}, PIXEL),
    "title": ('![p](attachment:a.png "t")', {"a.png": {"image/png": PIXEL}}, PIXEL),
    "tag": ('<img src="attachment:a.png">', {"a.png": {"image/png": PIXEL}}, PIXEL),
    "empty": ("![p](attachment:a.png)", {"a.png": {}}, "cannot be shown"),
    "no base64": ("![p](attachment:a.png)", {"a.png": {"image/png": '"><script>'}}, "cannot be shown"),
    "words about it": ("an attachment: see below", {}, "an attachment: see below"),
}


@linux
def test_a_picture_of_any_kind_stops_nobodys_page_and_is_shown_or_named(tree):
    for number, (source, attachments, _) in enumerate(PICTURES.values()):
        path = hand_in(tree.root, f"s{number}", UNIT, RIGHT)
        change(path, lambda cells: cells["q_double"].update(source=source, attachments=attachments))
    grade_unit(tree, UNIT)
    pages = {page.parts[-3]: page.read_text(encoding="utf-8") for page in feedback_unit(tree, UNIT)}
    for number, (name, (_, _, shown)) in enumerate(PICTURES.items()):
        assert f"s{number}" in pages, f"{name}: no page"
        assert shown is None or shown in pages[f"s{number}"], name


def test_a_page_that_cannot_be_made_is_named_when_the_others_are_done(released, monkeypatch):
    for student in ("ada", "bea", "cay"):
        hand_in(released.root, student, "02_other", {})
        path = released.root / "autograded" / student / "02_other" / "02_other.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((released.root / "submitted" / student / "02_other" / "02_other.ipynb").read_bytes())
    made = []

    def convert(self, converter, unit, student, notebooks):
        if student == "bea":
            raise RuntimeError("generator raised StopIteration")
        made.append(student)

    monkeypatch.setattr(NbGraderCourse, "convert", convert)
    with pytest.raises(CourseError, match="bea .generator raised StopIteration"):
        feedback_unit(released, "02_other")
    assert {"ada", "cay"} <= set(made)


SPREADSHEETS = {
    "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "semicolons and decimal commas": lambda data: data.replace(b",", b";").replace(b"2.5", b"2,5"),
    "tabs in UTF-16": lambda data: data.decode().replace(",", "\t").encode("utf-16"),
    "an empty row": lambda data: data + b",,,,,,\r\n",
    "cp1252": lambda data: data.decode().encode("cp1252"),
    "a separator's line": lambda data: b"sep=;\r\n" + data.replace(b",", b";"),
    "line feeds, blanks": lambda data: data.replace(b"\r\n", b"\n") + b"\n\n  \n",
    "one more column": lambda data: b"\r\n".join(line + b"," for line in data.split(b"\r\n")),
}


@pytest.mark.parametrize("kind", SPREADSHEETS)
def test_grades_that_a_spreadsheet_program_has_saved_are_read(tmp_path, kind):
    rows = [Grade("Jörg", "01_a", "kl", 2.5, 4, "graded", "x"), Grade("zoe", "01_a", "kl", None, 4, "needs_marking")]
    write_grades(tmp_path, rows)
    path = tmp_path / "grades.csv"
    path.write_bytes(SPREADSHEETS[kind](path.read_bytes()))
    assert read_grades(path) == rows
    replace_unit(tmp_path, "02_b", [])
    assert read_grades(path) == rows


DATED = b"student;unit;exercise;score;max_score;status;reason\r\nada;01_a;kl;02. Mai;4;graded;x\r\n"


@pytest.mark.parametrize(
    "content", [b"", b"a,b\r\n1,2\r\n", b"PK\x03\x04\x00\xff", b"student,unit\r\nada,01\r\n", DATED]
)
def test_unreadable_grades_are_named_kept_aside_and_made_anew(tmp_path, capsys, content):
    rows = [Grade("ada", "01_a", "kl", 1.0, 4, "graded", "x")]
    write_grades(tmp_path, rows)
    (tmp_path / "grades.csv").write_bytes(content)
    with pytest.raises(CourseError, match=r"grades.csv"):
        read_grades(tmp_path / "grades.csv")
    replace_unit(tmp_path, "02_b", [])
    assert read_grades(tmp_path / "grades.csv") == rows
    assert (tmp_path / "grades-unreadable.csv").read_bytes() == content and "grades.csv" in capsys.readouterr().err


@linux
def test_a_new_database_grades_everybody_and_what_was_moved_away_keeps_its_grades(tree):
    for student in ("ada", "bea"):
        hand_in(tree.root, student, UNIT, RIGHT)
    grade_unit(tree, UNIT)
    (tree.root / "gradebook.db").unlink()
    lines: list[str] = []
    rows = grade_unit(tree, UNIT, progress=lines.append)
    assert scores(rows, "ada") == scores(rows, "bea") == ALL and not any("unchanged" in line for line in lines)
    (tree.root / "submitted" / "bea").rename(tree.root / "kept")
    assert scores(grade_unit(tree, UNIT), "bea") == ALL
    assert len(feedback_unit(tree, UNIT)) == 2


@linux
@pytest.mark.parametrize("kind", ["locked", "of another program", "no database"])
def test_a_gradebook_that_refuses_is_one_line_for_every_command(tree, course, kind):
    hand_in(tree.root, "ada", UNIT, RIGHT)
    assert course(tree, "grade", "01")[0] == 0
    file = tree.root / "gradebook.db"
    other = sqlite3.connect(file)
    if kind == "locked":
        other.execute("BEGIN EXCLUSIVE")
    elif kind == "of another program":
        file.unlink()
        other = sqlite3.connect(file)
        other.execute("CREATE TABLE student (title)")
        other.commit()
    else:
        file.write_bytes(b"this is no database " * 500)
    wanted = "formgrader or a database browser" if kind == "locked" else "Restore"
    for words in (
        ("grade", "01"),
        ("feedback", "01"),
        ("report", "01", "--csv", "moodle"),
        ("withdraw", "01", "double", "--full", "--why", "x"),
    ):
        code, _, err = course(tree, *words)
        assert code == 1 and wanted in err and "Traceback" not in err and "[SQL" not in err, (words, err)
    other.close()
    assert scores(read_grades(tree.root / "grades.csv"), "ada") == ALL


@linux
def test_a_locked_gradebook_is_one_line_and_loses_nothing(tree):
    hand_in(tree.root, "ada", UNIT, RIGHT)
    grade_unit(tree, UNIT)
    hand_in(tree.root, "ada", UNIT, RIGHT | {"q_double": "Another answer."})
    other = sqlite3.connect(tree.root / "gradebook.db")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(CourseError, match="locked"):
        grade_unit(tree, UNIT)
    other.close()
    assert scores(read_grades(tree.root / "grades.csv"), "ada") == ALL
    assert scores(grade_unit(tree, UNIT), "ada") == ALL


def test_a_jupyter_server_without_the_course_runs_no_submission(tree, tmp_path):
    mark = tmp_path / "mark"
    hand_in(tree.root, "ada", UNIT, RIGHT | {"double": f"open({str(mark)!r}, 'w')"})
    script = """
import sys
sys.modules["autograder"] = sys.modules["course_utils"] = None  # not to be had
from nbgrader.apps import NbGrader
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Application
app = NbGrader()
Application.load_config_file(app, "nbgrader_config", path=[sys.argv[1]])
print(NbGraderAPI(CourseDirectory(parent=app), parent=app).autograde("01_double", "ada")["success"])
"""
    done = subprocess.run([sys.executable, "-c", script, str(tree.root)], cwd=tree.root, capture_output=True, text=True)
    assert not mark.exists() and "True" not in done.stdout, done.stdout
    assert "autograder" in done.stderr and "could not be imported" in done.stderr, "and it says what is missing"


@linux
def test_a_mark_is_shown_as_what_it_is_after_another_hand_in(tree, capsys):
    for student in ("ada", "bea", "cay"):
        hand_in(tree.root, student, UNIT, RIGHT)
    grade_unit(tree, UNIT)
    with NbGraderCourse(tree).gradebook() as book:
        for student, name in (("ada", "q_double"), ("bea", "q_double"), ("cay", "test_double")):
            grade = book.find_grade(name, UNIT, UNIT, student)
            grade.manual_score, grade.needs_manual_grade = 1, False
        book.db.commit()
    hand_in(tree.root, "ada", UNIT, RIGHT | {"triple": "def triple(x):\n    return x + 2 * x"})
    hand_in(tree.root, "bea", UNIT, RIGHT | {"q_double": "Something else."})
    hand_in(tree.root, "cay", UNIT, RIGHT | {"double": "def double(x):\n    return x + x"})
    for _ in range(2):  # the second time nothing has changed since
        rows = {(row.student, row.exercise): row for row in grade_unit(tree, UNIT)}
        pages = {page.parts[-3]: page.read_text(encoding="utf-8") for page in feedback_unit(tree, UNIT)}
        assert rows["ada", "q_double"].reason == "marked by hand"
        assert "q_double</a>: 1 of 3 points</li>" in pages["ada"]
        for student, name in (("bea", "q_double"), ("cay", "double")):
            assert rows[student, name].score == 1 and rows[student, name].reason.endswith(CHANGED)
            assert f"{name}</a>: 1 of" in pages[student] and "(marked before you handed in again)" in pages[student]
    assert changed_texts(tree, rows["bea", "q_double"]) == ["marked: It stays.", "now: Something else."]
    hand_in(tree.root, "bea", UNIT, RIGHT)  # back to what was marked
    grade_unit(tree, UNIT)
    assert [row.reason for row in grade_unit(tree, UNIT, run=False, student="bea") if row.exercise == "q_double"] == [
        "marked by hand"
    ]


@linux
def test_a_penalty_follows_a_corrected_time_and_a_moved_due_date_both_ways(tree, course):
    with open(tree.root / "nbgrader_config.py", "a") as config:
        config.write('\nc.LateSubmissionPlugin.penalty_method = "zero"\n')
    stamp = hand_in(tree.root, "ada", UNIT, RIGHT).parent / "timestamp.txt"

    def penalty(when: str | None, due: int) -> float | None:
        stamp.unlink(missing_ok=True) if when is None else stamp.write_text(when)
        with NbGraderCourse(tree).gradebook() as book:
            book.update_or_create_assignment(UNIT, duedate=datetime.datetime(2026, 1, due))
        grade_unit(tree, UNIT)
        with NbGraderCourse(tree).gradebook() as book:
            return book.find_submission_notebook(UNIT, UNIT, "ada").late_submission_penalty

    late, early = "2026-01-05 10:00:00 UTC", "2026-01-01 10:00:00 UTC"
    steps = [(late, 2, 4), (early, 2, None), (late, 2, 4), (late, 9, None), (late, 2, 4), (None, 2, None)]
    assert [penalty(when, due) for when, due, _ in steps] == [wanted for *_, wanted in steps]
    assert penalty("the day before yesterday", 2) is None

    def told() -> tuple[str, bool]:
        """The points of Moodle's table and whether the page names a penalty, without grading again."""
        assert course(tree, "report", "01", "--csv", "moodle")[0] == course(tree, "feedback", "01")[0] == 0
        with (tree.root / f"grades-moodle-{UNIT}.csv").open(encoding="utf-8") as table:
            points = next(csv.DictReader(table))["Grade"]
        page = (tree.root / "feedback" / "ada" / UNIT / f"{UNIT}.html").read_text(encoding="utf-8")
        return points, "handed in late: 4 points less" in page

    hand_in(tree.root, "ada", UNIT, RIGHT | {"q_double": ""})
    grade_unit(tree, UNIT)
    for when, wanted in ((late, ("0", True)), (early, ("4", False)), (late, ("0", True))):
        stamp.write_text(when)
        assert told() == wanted
    shutil.rmtree(tree.root / "submitted" / "ada")
    assert told() == ("0", True), "moved away, it keeps its grades"


FAULTS = {
    "an import in the check": ("def check(function, expected, points):\n    import no_such_module\n", "no_such_module"),
    "an import above it": ("from course_utils.checks.engine.score import Draw\n", "Draw"),
    "an error in the check": ("def check(function, expected, points):\n    return {}['score']\n", "KeyError"),
}


@linux
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_course_is_undecided_and_mended_by_the_next_run(tmp_path, fault):
    tree = Tree(make_tree(tmp_path / "course"))
    source = tree.root / "notebooks" / UNIT / f"{UNIT}.ipynb"
    good = source.read_text(encoding="utf-8")
    release_units(tree, [UNIT])
    hand_in(tree.root, "ada", UNIT, RIGHT)
    notebook = nbformat.reads(good, as_version=4)
    notebook.cells[1].source = FAULTS[fault][0] + ("" if "def check" in FAULTS[fault][0] else notebook.cells[1].source)
    nbformat.write(notebook, source)
    for _ in range(2):
        rows = {row.exercise: row for row in grade_unit(tree, UNIT)}
        for name in ("double", "triple"):
            assert rows[name].score is None and rows[name].undecided and FAULTS[fault][1] in rows[name].reason, rows
    assert not rows["q_double"].undecided
    source.write_text(good, encoding="utf-8")
    assert scores(grade_unit(tree, UNIT), "ada") == ALL


OWN_MODULES = {
    "written": "%%writefile my_double.py\ndef double(x):\n    return 2 * x\n",
    "beside": "1",
    "in a folder": "%mkdir -p tools\nopen('tools/own.py', 'w').write('from my_double import double')",
}


@linux
def test_own_modules_work_as_they_do_in_jupyter(tree):
    for student, cell in OWN_MODULES.items():
        where = "tools.own" if student == "in a folder" else "my_double"
        path = hand_in(tree.root, student, UNIT, RIGHT | {"double": f"from {where} import double"})
        notebook = nbformat.read(path, as_version=4)
        notebook.cells.insert(1, nbformat.v4.new_code_cell(cell))
        nbformat.write(notebook, path)
        if student != "written":
            (path.parent / "my_double.py").write_text("def double(x):\n    return 2 * x\n")
    rows = grade_unit(tree, UNIT)
    assert {student: scores(rows, student) for student in OWN_MODULES} == dict.fromkeys(OWN_MODULES, ALL)


def test_the_clock_of_a_call_counts_neither_imports_nor_what_others_compute(tmp_path, monkeypatch):
    from course_utils.checks.engine.worker import TooSlow, Worker

    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.8)\nready = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    worker = Worker()

    def importing():
        import slow_to_import

        return slow_to_import.ready

    assert worker.run(importing, 0.4) is True and worker.counted < 0.4
    with pytest.raises(TooSlow):
        worker.run(lambda: time.sleep(30), 0.2)

    def endless():
        while True:
            pass

    with pytest.raises(TooSlow):
        worker.run(endless, 0.2)
    worker.close()
