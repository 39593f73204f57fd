"""Collecting from learning platforms, and the page about a class: complete, safe, and escaped."""

from __future__ import annotations

import io
import zipfile

import nbformat
import pytest
from miniature import make_tree
from nbformat.v4 import new_code_cell, new_notebook

from autograder.collect import collect, read_roster, safe_name
from autograder.grades_file import Grade
from autograder.report import report_page
from autograder.similar import similar_pairs
from autograder.summary import summarise
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

UNIT = "01_double"
NOTEBOOK = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


@pytest.fixture
def tree(tmp_path):
    return Tree(make_tree(tmp_path / "course"))


def archive(path, files: dict[str, bytes]):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in files.items():
            target.writestr(name, data)
    return path


def bytes_of_zip(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    archive(target, files)
    return target.getvalue()


@pytest.mark.parametrize(
    ("name", "student", "number"),
    [
        ("Ada Lovelace_1234_assignsubmission_file_/work.ipynb", "Ada Lovelace", "1234"),
        ("lovelaceada_1234_5678_01_double.ipynb", "lovelaceada", "1234"),
        ("lovelaceada_LATE_1234_5678_01_double-1.ipynb", "lovelaceada", "1234"),
        ("ada/01_double.ipynb", "ada", None),
        ("ada.ipynb", "ada", None),
    ],
)
def test_each_platforms_names_lead_to_the_student(tree, tmp_path, name, student, number):
    collect(tree, UNIT, archive(tmp_path / "export.zip", {name: NOTEBOOK}))
    assert (tree.root / "submitted" / student / UNIT / f"{UNIT}.ipynb").read_bytes() == NOTEBOOK
    assert read_roster(tree).get(student, {}).get("id") == number


def test_a_students_own_zip_is_unpacked(tree, tmp_path):
    inner = bytes_of_zip({f"{UNIT}/{UNIT}.ipynb": NOTEBOOK, f"{UNIT}/data.csv": b"1"})
    collect(tree, UNIT, archive(tmp_path / "export.zip", {"Ada_1_assignsubmission_file_/ada.zip": inner}))
    assert sorted(path.name for path in (tree.root / "submitted/Ada" / UNIT).iterdir()) == [f"{UNIT}.ipynb", "data.csv"]


@pytest.mark.parametrize("name", ["../../evil.ipynb", "/etc/evil.ipynb", "..\\..\\evil.ipynb", "a/../../../evil.ipynb"])
def test_no_path_in_an_archive_leads_out_of_submitted(tree, tmp_path, name):
    before = set(tmp_path.rglob("*")) | set(tree.root.rglob("*"))
    source = archive(
        tmp_path / "export.zip", {name: NOTEBOOK, "ok_1_assignsubmission_file_/z.zip": bytes_of_zip({name: NOTEBOOK})}
    )
    collect(tree, UNIT, source)
    new = {path for path in (set(tmp_path.rglob("*")) | set(tree.root.rglob("*"))) - before if path != source}
    assert all(path == tree.root / "submitted" or (tree.root / "submitted") in path.parents for path in new), new


def test_a_zip_bomb_and_links_are_left_out_and_the_others_come_in(tree, tmp_path):
    link = zipfile.ZipInfo("bob/link.ipynb")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "export.zip", "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("mallory/bomb.zip", bytes_of_zip({"x.ipynb": bytes(60_000_000)}))
        target.writestr(link, "/etc/passwd")
        target.writestr("carol/broken.zip", b"PK\x03\x04 not a zip")
        target.writestr("ada/01.ipynb", NOTEBOOK)
    result = collect(tree, UNIT, tmp_path / "export.zip")
    assert list(result.students) == ["ada"] and len(result.left_out) == 4, result
    assert result.submissions == 4 and set(result.without) == {"bob", "carol", "mallory"}


def test_a_source_without_submissions_is_one_clear_error(tree, tmp_path):
    with pytest.raises(CourseError, match="does not exist"):
        collect(tree, UNIT, tmp_path / "nothing.zip")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(CourseError, match="neither a folder nor a zip"):
        collect(tree, UNIT, tmp_path / "text.zip")


@pytest.mark.parametrize(
    ("given", "safe"), [("../../root", "root"), (".hidden", "hidden"), ("a/b\x00c", "a b c"), ("..", ""), ("~x", "x")]
)
def test_names_become_folders_that_hide_and_lead_nowhere(given, safe):
    assert safe_name(given) == safe


def graded(source: str, cause_id: str = "sum", **record) -> nbformat.NotebookNode:
    solution = new_code_cell(source, metadata={"nbgrader": {"grade_id": "kl", "solution": True, "grade": False}})
    laws = [{"cause_id": cause_id, "cause": "you <b>sum</b>", "name": "law"}]
    test = new_code_cell(
        "", metadata={"nbgrader": {"grade_id": "test_kl", "solution": False, "grade": True}, "course": {"laws": laws}}
    )
    return new_notebook(
        cells=[solution, test],
        metadata={"course": {"level": "namespaces", "seconds": 1.5, "repairs": ["<i>r</i>"], **record}},
    )


def test_report_shows_each_part_and_escapes_what_students_wrote():
    code = (
        "def kl(mu, logvar):\n"
        + "".join(f"    a{i} = mu * {i} + logvar\n" for i in range(12))
        + "    return a1  # <script>X()</script>\n"
    )
    renamed = code.replace("logvar", "lv").replace("# <script>X()</script>", "")
    notebooks = {
        "02_u": {"<eve>": graded(code), "bob": graded(renamed), "zoe": graded("def kl(m, v):\n    return m.sum()\n")}
    }
    grades = [Grade(name, "02_u", "kl", 1.0, 4, "graded", "x") for name in notebooks["02_u"]] + [
        Grade("dan", "02_u", "kl", 0.0, 4, "timed_out", "an endless loop")
    ]
    page = report_page(grades, notebooks, {}, "Class")
    assert "isolated by namespaces" in page and ">3</td>" in page and ">you &lt;b&gt;sum" in page
    assert "&lt;i&gt;r&lt;/i&gt;" in page and "an endless loop" in page and "1.5 s" in page
    assert "100% the same" in page and "&lt;eve&gt;" in page
    assert "<script" not in page and "<eve>" not in page and "://" not in page


def test_a_reason_that_is_a_misconception_is_listed_once_and_what_is_not_written_is_none():
    notebooks = {"02_u": {"eve": graded("x"), "bob": graded("x", "not_written"), "zoe": graded("x", "")}}
    grades = [Grade(name, "02_u", "kl", 0.0, 4, "graded", f"reason of {name}") for name in notebooks["02_u"]]
    page = report_page(grades, notebooks, {}, "Class")
    assert "reason of eve" not in page and "reason of bob" in page and "reason of zoe" in page
    assert page.count("you &lt;b&gt;sum") == 1


def test_other_reasons_have_a_row_each_and_leave_out_whose_notebook_could_not_be_graded():
    grades = [
        Grade(name, "02_u", each, 0.0, 4, "graded", "not written yet") for name in "ab" for each in ("kl", "loss")
    ]
    grades += [Grade("c", "02_u", each, 0.0, 4, "unreadable", "damaged") for each in ("kl", "loss")]
    grades += [Grade("d", "02_u", "q_why", 1.0, 4, "graded", "marked by hand")]
    *_, reasons = summarise(grades).tables
    assert reasons.rows == [["2", "kl, loss", "not written yet"]]


def test_likeness_sees_through_names_and_comments_and_not_into_what_was_given():
    code = "def f(mu):\n" + "".join(f"    a{i} = mu * {i} + 2\n" for i in range(12)) + "    return a1\n"
    same = {"a": graded(code), "b": graded(code.replace("mu", "m") + "# mine\n")}
    assert [(p.first, p.second) for p in similar_pairs(same)] == [("a", "b")]
    assert similar_pairs(same, common=code) == []
